"""Text of a policy: wildcards and `${variables}`.

After "IAM JSON policy elements: Variables and tags" and "... Resource" of the IAM user guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

Keys = Mapping[str, tuple[str, ...]]
"""The context of a call: names in lower case, each with one or more values."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_COLON = re.compile(r":(?![^{}]*\})")
_DEFAULT = re.compile(r"^\s*([^,]+?)\s*,\s*'([^']*)'\s*$")


class Text:
    """A string of a policy that may hold wildcards and, from version 2012-10-17 on, variables."""

    __slots__ = ("_pattern", "_plain", "_variables", "source")

    def __init__(self, source: str, *, variables: bool) -> None:
        self.source = source
        self._variables = variables and "${" in source
        self._plain = None if self._variables else source
        self._pattern = None if self._variables else glob(source)

    def expand(self, keys: Keys) -> str | None:
        """The text with its variables filled in; None when `keys` lacks one of them."""
        if self._plain is not None:
            return self._plain
        return self._substitute(keys, str)

    def matches(self, value: str, keys: Keys) -> bool:
        """Whether `value` fits, `*` and `?` being wildcards, but not those that a variable brings in."""
        if self._pattern is not None:
            return self._pattern.match(value) is not None
        expanded = self._substitute(keys, _shielded)
        return expanded is not None and glob(expanded).match(value) is not None

    def arn_parts(self) -> tuple[Text, ...]:
        """The parts between the first five colons, those inside variables not counted."""
        return tuple(_part(source, self._variables) for source in _COLON.split(self.source, maxsplit=5))

    def _substitute(self, keys: Keys, literal: Callable[[str], str]) -> str | None:
        parts: list[str] = []
        position = 0
        for found in _VARIABLE.finditer(self.source):
            parts.append(self.source[position : found.start()])
            position = found.end()
            value = _value_of(found.group(1), keys)
            if value is None:
                return None
            parts.append(literal(value))
        parts.append(self.source[position:])
        return "".join(parts)


@lru_cache(maxsize=4096)
def _part(source: str, variables: bool) -> Text:
    return Text(source, variables=variables)


def _value_of(name: str, keys: Keys) -> str | None:
    if name in {"*", "?", "$"}:
        return name
    default = None
    if found := _DEFAULT.match(name):
        name, default = found.group(1), found.group(2)
    values = keys.get(name.strip().lower(), ())
    return values[0] if len(values) == 1 else default


# Wildcards that stand for themselves are moved to private-use characters while a pattern is built.
_SHIELDED = {ord("*"): "\ue000", ord("?"): "\ue001"}
_UNSHIELDED = {0xE000: "*", 0xE001: "?"}


def _shielded(value: str) -> str:
    return value.translate(_SHIELDED)


@lru_cache(maxsize=16384)
def glob(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A regular expression for `pattern` that matches the whole text in linear time.

    Each part between two `*` is tried once, at its first place (an atomic group): going back cannot
    help, and a hostile pattern such as `*a*a*a*b` costs no more than an honest one.
    """
    first, *others = [_literal(part) for part in pattern.split("*")]
    if not others:
        expression = rf"{first}\Z"
    else:
        middle = "".join(rf"(?>.*?{part})" for part in others[:-1] if part)
        expression = rf"{first}{middle}.*{others[-1]}\Z"
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _literal(text: str) -> str:
    return ".".join(re.escape(part.translate(_UNSHIELDED)) for part in text.split("?"))
