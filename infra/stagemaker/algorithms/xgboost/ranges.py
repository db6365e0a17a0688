"""What values a hyperparameter may take. A range prints as AWS prints it in its error messages."""

from __future__ import annotations

import math
import re
from typing import Protocol

from stagemaker.algorithms.xgboost.errors import UserError

_INTERVAL = re.compile(r"([\[(])([^,]+), ([^\])]+)([\])])")
_METRICS_WITH_THRESHOLD = ("error", "ndcg", "map")


class Range(Protocol):
    """A set of values, with the text that stands for it."""

    def __contains__(self, value: object) -> bool:
        """Whether `value` is allowed; may raise UserError with a text of its own."""
        ...


class Interval:
    """Numbers between two bounds, written as `[0, 1]`, `(0, 1]`, `[1, +inf)`; `[` is closed, `(` open."""

    def __init__(self, text: str) -> None:
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise ValueError(f"not an interval: {text!r}")
        opening, low, high, closing = match.groups()
        self._text = text
        self._low, self._low_open = float(low), opening == "("
        self._high, self._high_open = float(high), closing == ")"

    def __contains__(self, value: object) -> bool:
        """Whether the number lies inside. NaN counts as inside: AWS's check lets it through too."""
        if not isinstance(value, int | float):
            raise TypeError(f"'{type(value).__name__}' object is not a number")
        if math.isinf(self._high) and value > 0:
            above = False  # an open end at infinity holds infinity itself, as on AWS
        else:
            above = value >= self._high if self._high_open else value > self._high
        below = value <= self._low if self._low_open else value < self._low
        return not (above or below)

    def __str__(self) -> str:
        return self._text


class Choice:
    """One of some values; prints as a Python list."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return str(list(self.values))


class EvalMetricNames(Choice):
    """Metric names, and `error@t`, `ndcg@n`, `map@n`."""

    def __contains__(self, value: object) -> bool:
        metric = str(value)
        if "<function" in metric:
            raise UserError(f"User defined evaluation metric {metric} is not supported yet.")
        if "@" not in metric:
            return super().__contains__(metric)
        name, threshold = (part.strip() for part in metric.split("@")[:2])
        if name not in _METRICS_WITH_THRESHOLD:
            raise UserError(
                f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold should "
                "be one of these options: 'error', 'ndcg', 'map'."
            )
        try:
            float(threshold)
        except ValueError:
            raise UserError(f"Threshold value 't' in '{name}@t' expects float input.") from None
        return True
