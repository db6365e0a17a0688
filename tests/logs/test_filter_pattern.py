"""Patterns on single messages. The examples of AWS's user guide are among them."""

from __future__ import annotations

import json

import pytest

from stagemaker.logs.filter_pattern import read_pattern
from stagemaker.wire.errors import AwsError

GUIDE = {
    "user": {"id": 1, "email": "John.Stiles@example.com"},
    "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
    "actions": ["GET", "PUT", "DELETE"],
    "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
    "eventType": "UpdateTrail",
    "sourceIPAddress": "111.111.111.111",
    "SomeObject": None,
    "ThisFlag": True,
    "latency": 700,
    "ratio": 0.25,
    "quoted": 'say "hi" \\ there',
    "star": "Ev*ent",
}


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", ["anything", ""], []),
        ("   ", ["anything"], []),
        ("ERROR", ["[ERROR] fatal", "Exiting with ERRORCODE: -1"], ["error", "WARN"]),
        ('"ERROR" - "Exiting"', ["[ERROR] fatal"], ["Exiting with ERRORCODE: -1", "fatal"]),
        ('"ERROR" -"Exiting"', ["[ERROR] fatal"], ["Exiting with ERRORCODE: -1"]),
        ("ERROR Exception", ["[ERROR] Caught IllegalArgumentException"], ["ERROR", "Exception"]),
        ('"Failed to process"', ["WARN Failed to process it"], ["Failed it, to process"]),
        ("?ERROR ?WARN", ["ERROR WARN message", "ERROR message", "WARN message"], ["INFO message"]),
        ("ERROR WARN", ["ERROR WARN message"], ["ERROR message", "WARN message"]),
        ("ERROR -WARN", ["ERROR message"], ["ERROR WARN message", "WARN message"]),
        ("-WARN", ["ERROR message", ""], ["WARN message"]),
        ("?ERROR WARN", ["WARN ERROR"], ["WARN", "ERROR"]),
        ('"validation-auc:0.9"', ["[1]#011validation-auc:0.91"], ["validation-auc 0.9"]),
        (r'"say \"hi\""', ['they say "hi"'], ["they say hi"]),
        ("under_score été", ["été under_score"], ["under score"]),
        ('"-5"', ["at -5 degrees"], ["at 5 degrees"]),
    ],
)
def test_terms(pattern: str, yes: list[str], no: list[str]) -> None:
    """Terms, phrases, exclusions and alternatives, anywhere in the message, case and all."""
    matches = read_pattern(pattern)
    assert all(map(matches, yes))
    assert not any(map(matches, no))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{$.eventType=UpdateTrail}", True),
        ('{ $.eventType = "updatetrail" }', False),
        ('{ $.eventType = "Update*" }', True),
        ('{ $.eventType = "*Trail" }', True),
        ("{ $.eventType = *date* }", True),
        ('{ $.eventType = "*Tra" }', False),
        ("{ $.eventType = * }", True),
        ("{ $.star = Ev*ent }", True),
        ('{ $.eventType = "Up*il" }', False),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress != 111.111.* }", False),
        ('{ $.actions[0] = "GET" }', True),
        ('{ $.actions[3] = "GET" }', False),
        ("{ $.users[1].id = 3 }", True),
        ("{ $.coordinates[0][1] = 1 }", True),
        ("{ $.user[0] = 1 }", False),
        ("{ $.actions.length = 3 }", False),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.missing IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.ThisFlag IS TRUE }", True),
        ("{ $.ThisFlag IS FALSE }", False),
        ("{ $.latency IS TRUE }", False),
        ("{ $.latency >= 500 }", True),
        ("{ $.latency > +1000 }", False),
        ("{ $.latency = 7e2 }", True),
        ("{ $.latency != 700 }", False),
        ("{ $.latency < 10e3 && $.ratio <= .25 }", True),
        ("{ $.latency = * }", True),
        ("{ $.eventType > 1 }", False),
        # What leads to no string or number matches neither way.
        ("{ $.users = 1 }", False),
        ("{ $.users != 1 }", False),
        ("{ $.missing != 1 }", False),
        ('{ $.missing != "x" }', False),
        ('{ $.ThisFlag != "x" }', False),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', True),
        ('{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }', False),
        (
            '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }',
            True,
        ),
        (
            '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nomatch) && $.actions[2] = nomatch }',
            False,
        ),
        (r'{ $.quoted = "say \"hi\" \\ there" }', True),
        ("{ ((((($.user.id = 1))))) }", True),
    ],
)
def test_json_patterns(pattern: str, expected: bool) -> None:
    """Selectors, comparisons, wildcards at the ends, and precedence, as the user guide has them."""
    assert read_pattern(pattern)(json.dumps(GUIDE)) is expected


@pytest.mark.parametrize("message", ["not json", "", "{broken", "[1]", '"text"', "{" * 100_000, '{"a":' * 50_000])
def test_a_message_that_is_no_json_object(message: str) -> None:
    """Matches no JSON pattern, not even one that asks for absence, and harms nobody."""
    assert not read_pattern("{ $.a NOT EXISTS }")(message)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("user@example.com", "Invalid filter pattern: Invalid character(s) in term 'user@example.com'"),
        ('""', "Invalid filter pattern: Invalid character(s) in term '\"\"'"),
        ('"open', "Invalid filter pattern: Invalid character(s) in term '\"open'"),
        ("{ $.a = 1", "Invalid filter pattern: If a filter pattern starts with '{' it must end with '}'"),
        ("{ }", "Invalid filter pattern: it ends too early"),
        ("{ $.a }", "Invalid filter pattern: it ends too early"),
        ("{ $.a = }", "Invalid filter pattern: it ends too early"),
        ("{ $.a = = 1 }", "Invalid filter pattern: '=' stands where a value is expected"),
        ("{ a = 1 }", "Invalid filter pattern: 'a' stands where a property selector such as $.name is expected"),
        ("{ $.a IS 1 }", "Invalid filter pattern: 'IS 1' is no condition"),
        ("{ $.a > b }", "Invalid filter pattern: > compares numbers, and 'b' is none"),
        ("{ ($.a = 1 }", "Invalid filter pattern: a parenthesis is not closed"),
        ("{ $.a = 1 ) }", "Invalid filter pattern: ')' is not expected here"),
        ("{ $.a = 1 & $.b = 2 }", "Invalid filter pattern: Invalid character(s) in term '& $.b = 2'"),
        ("{ " + "(" * 900 + " }", "Invalid filter pattern: too many parentheses within parentheses"),
    ],
)
def test_patterns_that_are_none(pattern: str, message: str) -> None:
    """Refused with what is wrong, as InvalidParameterException."""
    with pytest.raises(AwsError) as caught:
        read_pattern(pattern)
    assert (caught.value.code, caught.value.message) == ("InvalidParameterException", message)


@pytest.mark.parametrize("pattern", ["[ip, user, bytes > 10]", "%AUTH%", "{ $.a = %[0-9]% }"])
def test_patterns_that_the_stage_does_not_search_by(pattern: str) -> None:
    """AWS knows them; here they are refused by name rather than matched wrongly."""
    with pytest.raises(AwsError, match="Stagemaker cannot honour filterPattern: "):
        read_pattern(pattern)
