"""Filter patterns that look into JSON messages: `{ $.status = 500 && $.path = "/api/*" }`.

A selector must lead to a string or a number; of any other value, and of one that is not there, both
`=` and `!=` are false. A `*` at the start or the end of a text stands for anything. Source: "Filter
and pattern syntax" in the CloudWatch Logs user guide.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from stagemaker.wire.errors import AwsError, NotHonouredError

Test = Callable[[Any], bool]

DEEPEST = 30
"""Parentheses within parentheses."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<selector>\$(?:\.[A-Za-z0-9_-]+(?:\[\d+\])*)+)
    | (?P<mark>&&|\|\||!=|<=|>=|[()=<>])
    | "(?P<text>(?:[^"\\]|\\.)*)"
    | (?P<word>[^\s()=<>!&|"]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_CONSTANTS: dict[str, bool | None] = {"NULL": None, "TRUE": True, "FALSE": False}
_MISSING = object()


def invalid_pattern(why: str) -> AwsError:
    """The answer to a pattern that cannot be understood."""
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {why}")


def read_json_pattern(pattern: str) -> Callable[[str], bool]:
    """What the pattern between the braces matches. Raises AwsError InvalidParameterException, NotHonouredError."""
    parser = _Parser(pattern)
    test = parser.either(0)
    parser.expect_end()

    def matches(message: str) -> bool:
        if not message.lstrip().startswith("{"):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return test(document)

    return matches


class _Parser:
    """Precedence: parentheses, then `&&`, then `||`."""

    def __init__(self, pattern: str) -> None:
        self.tokens = _tokens(pattern)
        self.next = 0

    def either(self, depth: int) -> Test:
        tests = [self.every(depth)]
        while self.accept("||"):
            tests.append(self.every(depth))
        return lambda document: any(test(document) for test in tests)

    def every(self, depth: int) -> Test:
        tests = [self.condition(depth)]
        while self.accept("&&"):
            tests.append(self.condition(depth))
        return lambda document: all(test(document) for test in tests)

    def condition(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise invalid_pattern("too many parentheses within parentheses")
        if self.accept("("):
            test = self.either(depth + 1)
            if not self.accept(")"):
                raise invalid_pattern("a parenthesis is not closed")
            return test
        kind, selector = self.take()
        if kind != "selector":
            raise invalid_pattern(f"'{selector}' stands where a property selector such as $.name is expected")
        return self.test_of(_path(selector))

    def test_of(self, path: list[str | int]) -> Test:
        kind, word = self.take()
        if kind == "mark" and word in _COMPARE:
            return self.comparison(path, word)
        following = self.take()[1]
        if (word, following) == ("NOT", "EXISTS"):
            return lambda document: _value(document, path) is _MISSING
        if word == "IS" and following in _CONSTANTS:
            constant = _CONSTANTS[following]
            return lambda document: _value(document, path) is constant
        raise invalid_pattern(f"'{word} {following}' is no condition")

    def comparison(self, path: list[str | int], sign: str) -> Test:
        kind, wanted = self.take()
        if kind not in {"word", "text"}:
            raise invalid_pattern(f"'{wanted}' stands where a value is expected")
        if kind == "word" and wanted.startswith("%"):
            raise NotHonouredError("filterPattern", "regular expressions (%...%) are not supported.")
        compare = _COMPARE[sign]
        if kind == "word" and _NUMBER.fullmatch(wanted):
            number = float(wanted)
            return lambda document: _is_number(value := _value(document, path)) and compare(value, number)
        if sign not in {"=", "!="}:
            raise invalid_pattern(f"{sign} compares numbers, and '{wanted}' is none")
        likeness = _likeness(wanted)
        return lambda document: _is_text(value := _value(document, path)) and likeness(_text(value)) is (sign == "=")

    def take(self) -> tuple[str, str]:
        if self.next == len(self.tokens):
            raise invalid_pattern("it ends too early")
        self.next += 1
        return self.tokens[self.next - 1]

    def accept(self, mark: str) -> bool:
        if self.next < len(self.tokens) and self.tokens[self.next] == ("mark", mark):
            self.next += 1
            return True
        return False

    def expect_end(self) -> None:
        if self.next < len(self.tokens):
            raise invalid_pattern(f"'{self.tokens[self.next][1]}' is not expected here")


def _tokens(pattern: str) -> list[tuple[str, str]]:
    tokens, place, end = [], 0, len(pattern.rstrip())
    while place < end:
        found = _TOKEN.match(pattern, place)
        if found is None or found.lastgroup is None:
            raise invalid_pattern(f"Invalid character(s) in term '{pattern[place:end].strip()}'")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


def _path(selector: str) -> list[str | int]:
    return [name or int(number) for name, number in _STEP.findall(selector)]


def _value(document: Any, path: list[str | int]) -> Any:
    for step in path:
        match step, document:
            case str(name), dict() if name in document:
                document = document[name]
            case int(index), list() if index < len(document):
                document = document[index]
            case _:
                return _MISSING
    return document


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _likeness(wanted: str) -> Callable[[str], bool]:
    wanted = re.sub(r"\\(.)", r"\1", wanted, flags=re.DOTALL)
    core = wanted.removeprefix("*").removesuffix("*")
    match (wanted.startswith("*"), wanted.endswith("*")):
        case (True, True):
            return lambda text: core in text
        case (True, False):
            return lambda text: text.endswith(core)
        case (False, True):
            return lambda text: text.startswith(core)
    return lambda text: text == wanted
