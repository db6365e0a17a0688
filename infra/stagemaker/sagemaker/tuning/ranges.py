"""From the ranges of a request to those of the search, with what may be wrong with them. The sentences are ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from stagemaker.jobs.tunable import Tunable, TuningRules
from stagemaker.sagemaker.tuning.request import MOST_RANGES
from stagemaker.search.ranges import Categorical, Continuous, Integer, Range, Scaling, Space
from stagemaker.wire.errors import ValidationError

OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"
"""Tells the container of a training job which metric is the objective; the search sets it."""
_MOST_INTEGER = 2**53
_MOST_FLOAT = 1e300
"""Beyond these the arithmetic of the search is no longer exact, or has no end."""
_HINT_FACTOR = 10
"""How far Autotune looks from a hint, in both directions, where nothing more is known."""


def read_space(
    given: Mapping[str, Any], static: Mapping[str, str], rules: TuningRules | None, image: str, *, autotune: bool
) -> Space:
    """The ranges to search. Raises ValidationException."""
    hints = given.get("AutoParameters", [])
    if hints and not autotune:
        raise ValidationError("AutoParameters need Autotune with the mode Enabled, which chooses their ranges.")
    space: list[Range] = [
        *(_integer(entry) for entry in given.get("IntegerParameterRanges", [])),
        *(_continuous(entry) for entry in given.get("ContinuousParameterRanges", [])),
        *(_categorical(entry) for entry in given.get("CategoricalParameterRanges", [])),
        *(_from_hint(entry, rules) for entry in hints),
    ]
    if not space and autotune and rules:
        space = [_advised(name, one) for name, one in rules.tunables.items() if name not in static]
    _check_names(space, static)
    if rules:
        for each in space:
            _check_tunable(each, rules, image)
    return tuple(space)


def _check_names(space: list[Range], static: Mapping[str, str]) -> None:
    names = [each.name for each in space]
    if not names:
        raise ValidationError("At least one hyperparameter range is required.")
    if len(names) > MOST_RANGES:
        raise ValidationError(f"At most {MOST_RANGES} hyperparameters can be searched, and {len(names)} are given.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValidationError(f"The hyperparameter [{twice}] has more than one range.")
    if OBJECTIVE_HYPERPARAMETER in (*names, *static):
        raise ValidationError(f"The hyperparameter [{OBJECTIVE_HYPERPARAMETER}] is set by the tuning job itself.")
    if both := next((name for name in names if name in static), None):
        raise ValidationError(f"The hyperparameter [{both}] is given both as static and with a range.")


def _integer(entry: Mapping[str, str]) -> Integer:
    name, scaling = entry["Name"], Scaling(entry.get("ScalingType", "Auto"))
    low, high = (_number(entry, end, int) for end in ("MinValue", "MaxValue"))
    _check_order(name, low, high)
    if scaling is Scaling.REVERSE_LOGARITHMIC:
        raise ValidationError(f"ReverseLogarithmic scaling is not supported for the integer range of [{name}].")
    if scaling is Scaling.LOGARITHMIC and low <= 0:
        raise ValidationError(f"Logarithmic scaling of [{name}] needs a MinValue greater than 0.")
    return Integer(name, int(low), int(high), scaling)


def _continuous(entry: Mapping[str, str]) -> Continuous:
    name, scaling = entry["Name"], Scaling(entry.get("ScalingType", "Auto"))
    low, high = (_number(entry, end, float) for end in ("MinValue", "MaxValue"))
    _check_order(name, low, high)
    if scaling is Scaling.LOGARITHMIC and low <= 0:
        raise ValidationError(f"Logarithmic scaling of [{name}] needs a MinValue greater than 0.")
    if scaling is Scaling.REVERSE_LOGARITHMIC and not 0 <= low <= high < 1:
        raise ValidationError(f"ReverseLogarithmic scaling of [{name}] needs a range within 0 <= x < 1.")
    return Continuous(name, low, high, scaling)


def _categorical(entry: Mapping[str, Any]) -> Categorical:
    values = entry["Values"]
    if twice := next((value for value in values if values.count(value) > 1), None):
        raise ValidationError(f"The value [{twice}] of [{entry['Name']}] is given twice.")
    return Categorical(entry["Name"], tuple(values))


def _number(entry: Mapping[str, str], end: str, kind: type[int | float]) -> float:
    text = entry[end]
    try:
        value = math.nan if "_" in text else kind(text)  # Python reads 1_000, a container may not
    except ValueError:
        value = math.nan
    if not abs(value) <= (_MOST_INTEGER if kind is int else _MOST_FLOAT):
        what = "a whole number of at most 2^53" if kind is int else "a number of at most 1e300"
        raise ValidationError(f"The {end} of the hyperparameter [{entry['Name']}], [{text}], must be {what}.")
    return value


def _check_order(name: str, low: float, high: float) -> None:
    if low > high:
        raise ValidationError(f"The MinValue of [{name}], [{low}], must not be greater than its MaxValue, [{high}].")


def _check_tunable(each: Range, rules: TuningRules, image: str) -> None:
    """The algorithm must let it be searched, and accept every value."""
    rule = rules.tunables.get(each.name)
    if rule is None:
        raise ValidationError(
            f"The hyperparameter [{each.name}] isn't tunable in the [{image}] algorithm. "
            f"Choose from [{', '.join(rules.tunables)}], or give it a static value."
        )
    if isinstance(each, Continuous) and rule.integer:
        raise ValidationError(f"The hyperparameter [{each.name}] takes integers: give it an IntegerParameterRange.")
    for value in _ends(each, rule):
        if not rule.low <= value <= rule.high:
            raise ValidationError(
                f"The range of the hyperparameter [{each.name}] reaches [{value:g}], and the [{image}] algorithm "
                f"accepts {rule.low:g} to {rule.high:g}."
            )


def _ends(each: Range, rule: Tunable) -> Iterable[float]:
    if not isinstance(each, Categorical):
        return each.low, each.high
    kind = int if rule.integer else float
    return [_number({"Name": each.name, "value": text}, "value", kind) for text in each.values]


def _from_hint(entry: Mapping[str, str], rules: TuningRules | None) -> Range:
    """A range around a hint: the recommended one of an algorithm of AWS's, widened to hold it, else a factor of 10."""
    name, text = entry["Name"], entry["ValueHint"]
    rule = rules.tunables.get(name) if rules else None
    whole = rule.integer if rule else text.strip().lstrip("+-").isdecimal()
    hint = _number({"Name": name, "ValueHint": text}, "ValueHint", int if whole else float)
    if rule:
        return _ranged(name, min(hint, rule.advised[0]), max(hint, rule.advised[1]), whole=whole)
    if hint == 0:
        raise ValidationError(f"The ValueHint of [{name}] is 0, which says nothing of its size: give it a range.")
    ends = sorted((hint / _HINT_FACTOR, hint * _HINT_FACTOR))
    if whole:
        return _ranged(name, math.ceil(ends[0]), math.floor(ends[1]), whole=True)
    # A share stays one.
    return Continuous(name, ends[0], min(ends[1], 1.0) if 0 < hint <= 1 else ends[1])


def _advised(name: str, rule: Tunable) -> Range:
    return _ranged(name, *rule.advised, whole=rule.integer)


def _ranged(name: str, low: float, high: float, *, whole: bool) -> Range:
    return Integer(name, int(low), int(high)) if whole else Continuous(name, float(low), float(high))
