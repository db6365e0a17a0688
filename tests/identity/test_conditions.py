"""Condition operators one by one, and those on keys with several values."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.identity.conditions import parse_condition
from stagemaker.identity.globs import Text, glob


def holds(operator: str, values: Any, *actual: str) -> bool:
    """Whether the condition holds for a key with these values (none: the key is absent)."""
    listed = values if isinstance(values, list) else [values]
    condition = parse_condition(operator, "aws:Key", listed, variables=True)
    return condition.holds({"aws:key": actual} if actual else {})


@pytest.mark.parametrize(
    ("operator", "value", "actual", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a*", "ab", False),
        ("stringequals", ["b", "a"], "a", True),
        ("StringNotEquals", ["b", "a"], "a", False),
        ("StringEqualsIgnoreCase", "Ab", "aB", True),
        ("StringNotEqualsIgnoreCase", "Ab", "aB", False),
        ("StringLike", "a*c", "abc", True),
        ("StringLike", "${*}", "*", True),
        ("StringLike", "${*}", "x", False),
        ("StringNotLike", "a*", "abc", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericNotEquals", "10", "11", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "10", "9", False),
        ("NumericGreaterThanEquals", "10", "10", True),
        ("NumericEquals", "ten", "10", False),
        ("DateEquals", "2020-01-01T00:00:00Z", "1577836800", True),
        ("DateGreaterThan", "2020-01-01", "2020-01-01T00:00:01+00:00", True),
        ("DateLessThanEquals", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", False),
        ("DateLessThan", "soon", "2020-01-02T00:00:00Z", False),
        ("Bool", "True", "true", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "QUJD", "QUJD", True),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
        ("IpAddress", "10.0.0.1", "10.0.0.1", True),
        ("NotIpAddress", "10.0.0.0/8", "10.1.1.1", False),
        ("IpAddress", "nowhere", "10.1.1.1", False),
        ("ArnEquals", "arn:aws:sns:*:123456789012:t", "arn:aws:sns:us-east-1:123456789012:t", True),
        ("ArnLike", "arn:aws:s3:::lake/*", "arn:aws:s3:::lake/a:b/c", True),
        ("ArnLike", "arn:aws:*", "arn:aws:sns:us-east-1:123456789012:t", False),
        ("ArnNotLike", "arn:aws:sns:*:*:*", "arn:aws:sns:us-east-1:123456789012:t", False),
        ("ArnLike", "*", "arn:aws:sns:us-east-1:123456789012:t", True),
    ],
)
def test_operators(operator: str, value: Any, actual: str, expected: bool) -> None:
    """Each operator compares as the IAM user guide says."""
    assert holds(operator, value, actual) is expected


@pytest.mark.parametrize(
    ("operator", "values", "actual", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a"], [], True),
        ("ForAllValues:StringNotEquals", ["a"], ["b", "a"], False),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["a"], ["c", "d"], False),
        ("ForAnyValue:StringEquals", ["a"], [], False),
        ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
        ("ForAnyValue:StringNotEquals", ["a"], [], False),
        ("ForAnyValue:StringLike", ["team-*"], ["x", "team-1"], True),
        ("StringEquals", ["a"], [], False),
        ("StringNotEquals", ["a"], [], True),
        ("StringEqualsIfExists", ["a"], [], True),
        ("StringEqualsIfExists", ["a"], ["b"], False),
        ("NumericLessThanIfExists", ["5"], [], True),
        ("Null", ["true"], [], True),
        ("Null", ["true"], ["a"], False),
        ("Null", ["false"], ["a"], True),
    ],
)
def test_several_values_or_none(operator: str, values: list[str], actual: list[str], expected: bool) -> None:
    """Sets are compared member by member; a key that is absent meets only what absence can meet."""
    assert holds(operator, values, *actual) is expected


@pytest.mark.parametrize("operator", ["StringSame", "ForSome:StringEquals", "ForAllValues:Null", "IfExists", ""])
def test_unknown_operators(operator: str) -> None:
    """An operator that IAM does not know is no operator."""
    with pytest.raises(ValueError, match=r"Invalid Condition type|not a valid"):
        parse_condition(operator, "a", ["b"], variables=True)


@given(pattern=st.text("ab*?."), value=st.text("ab."))
def test_patterns_match_as_backtracking_would(pattern: str, value: str) -> None:
    """The quick expression for a pattern finds what the obvious, slow one finds."""
    obvious = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    assert bool(glob(pattern).match(value)) is bool(re.fullmatch(obvious, value, re.DOTALL))


def test_a_hostile_pattern_costs_little() -> None:
    """A pattern made to backtrack for ever is answered at once."""
    started = time.perf_counter()
    assert not glob("*a" * 30 + "b").match("a" * 2000)
    assert time.perf_counter() - started < 1


def test_variables() -> None:
    """A variable's value is taken literally, is found whatever its case, and may have a default."""
    keys = {"aws:username": ("a*n",), "aws:principaltag/x": ("1", "2")}
    assert Text("home/${aws:UserName}/*", variables=True).matches("home/a*n/b", keys)
    assert not Text("home/${aws:UserName}/*", variables=True).matches("home/ann/b", keys)
    assert Text("${aws:UserName}", variables=True).expand(keys) == "a*n"
    assert Text("${aws:Nobody, 'x'}", variables=True).expand(keys) == "x"
    assert Text("${aws:PrincipalTag/x}", variables=True).expand(keys) is None
    assert Text("${aws:UserName}", variables=False).expand(keys) == "${aws:UserName}"
