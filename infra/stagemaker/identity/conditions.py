"""The Condition element of a policy statement.

After "IAM JSON policy elements: Condition operators" and "Conditions with multiple context keys or
values" of the IAM user guide.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

from stagemaker.identity.globs import Keys, Text

Test = Callable[[str, Text, Keys], bool]


class Quantifier(Enum):
    """How the values of a key that has several are joined."""

    PLAIN = ""
    ALL = "forallvalues"
    ANY = "foranyvalue"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator: `{"StringLike": {"s3:prefix": ["raw/*"]}}`."""

    operator: str
    key: str
    values: tuple[Text, ...]
    test: Test | None
    """None: the operator is Null."""
    negated: bool
    if_exists: bool
    quantifier: Quantifier

    def holds(self, keys: Keys) -> bool:
        """Whether the call with this context meets the condition."""
        actual = keys.get(self.key)
        if self.test is None:
            wanted = {value.source.lower() for value in self.values}
            return ("false" if actual else "true") in wanted
        if not actual:
            # A key that is absent: no value fits, and a set without members has no member that does not.
            return self.if_exists or (self.negated and self.quantifier is not Quantifier.ANY) or self._is_all
        fitting = (any(self.test(one, value, keys) for value in self.values) != self.negated for one in actual)
        if self._is_all or (self.negated and self.quantifier is Quantifier.PLAIN):
            return all(fitting)
        return any(fitting)

    @property
    def _is_all(self) -> bool:
        return self.quantifier is Quantifier.ALL


def parse_condition(operator: str, key: str, values: list[str], *, variables: bool) -> Condition:
    """Raises ValueError for an operator that IAM does not know, and for values that it cannot read."""
    name = operator.lower()
    quantifier = Quantifier.PLAIN
    prefix, colon, rest = name.partition(":")
    if colon:
        quantifier, name = Quantifier(prefix), rest
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    texts = tuple(Text(value, variables=variables) for value in values)
    if name == "null" and not colon and not if_exists:
        return Condition(operator, key.lower(), texts, None, negated=False, if_exists=False, quantifier=quantifier)
    if name not in _OPERATORS:
        raise ValueError(f"Invalid Condition type : {operator}.")
    test, negated = _OPERATORS[name]
    return Condition(operator, key.lower(), texts, test, negated, if_exists, quantifier)


def _string_equals(actual: str, value: Text, keys: Keys) -> bool:
    return actual == value.expand(keys)


def _string_equals_ignoring_case(actual: str, value: Text, keys: Keys) -> bool:
    expected = value.expand(keys)
    return expected is not None and actual.lower() == expected.lower()


def _string_like(actual: str, value: Text, keys: Keys) -> bool:
    return value.matches(actual, keys)


def _arn_like(actual: str, value: Text, keys: Keys) -> bool:
    """Each of the six parts of an ARN is matched on its own: no wildcard reaches over a colon before the last."""
    patterns, parts = value.arn_parts(), actual.split(":", 5)
    if len(patterns) != 6:
        return value.source == "*"
    return len(parts) == 6 and all(pattern.matches(part, keys) for pattern, part in zip(patterns, parts, strict=True))


def _boolean(actual: str, value: Text, keys: Keys) -> bool:
    return actual.lower() == (value.expand(keys) or "").lower()


def _ip_address(actual: str, value: Text, keys: Keys) -> bool:
    expected = value.expand(keys)
    try:
        return expected is not None and ipaddress.ip_address(actual) in _network(expected)
    except (ValueError, TypeError):
        return False


@lru_cache(maxsize=1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _compared(read: Callable[[str], float], compare: Callable[[float, float], bool]) -> Test:
    def test(actual: str, value: Text, keys: Keys) -> bool:
        expected = value.expand(keys)
        try:
            return expected is not None and compare(read(actual), read(expected))
        except ValueError:
            return False

    return test


def _moment(text: str) -> float:
    """Epoch seconds of an ISO 8601 date or of epoch seconds."""
    try:
        return float(text)
    except ValueError:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], bool]] = {
    "equals": (lambda a, b: a == b, False),
    "notequals": (lambda a, b: a == b, True),
    "lessthan": (lambda a, b: a < b, False),
    "lessthanequals": (lambda a, b: a <= b, False),
    "greaterthan": (lambda a, b: a > b, False),
    "greaterthanequals": (lambda a, b: a >= b, False),
}

_OPERATORS: dict[str, tuple[Test, bool]] = {
    "stringequals": (_string_equals, False),
    "stringnotequals": (_string_equals, True),
    "stringequalsignorecase": (_string_equals_ignoring_case, False),
    "stringnotequalsignorecase": (_string_equals_ignoring_case, True),
    "stringlike": (_string_like, False),
    "stringnotlike": (_string_like, True),
    "binaryequals": (_string_equals, False),
    "bool": (_boolean, False),
    "ipaddress": (_ip_address, False),
    "notipaddress": (_ip_address, True),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
    **{f"numeric{name}": (_compared(float, compare), negated) for name, (compare, negated) in _COMPARISONS.items()},
    **{f"date{name}": (_compared(_moment, compare), negated) for name, (compare, negated) in _COMPARISONS.items()},
}
"""Operator -> (its test, whether the operator is the test's negation)."""
