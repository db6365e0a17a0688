"""Filter patterns: which messages a search shows.

Terms match anywhere in the message and tell upper from lower case: `ERROR` is in `ERRORCODE`.
A term of other characters than letters, digits and underscores stands in double quotes. All terms
must be there; `-term` must not; of several `?term`s one is enough. `{ $.field = value }` looks into
messages that are JSON. Source: "Filter and pattern syntax" in the CloudWatch Logs user guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stagemaker.logs.json_pattern import invalid_pattern, read_json_pattern
from stagemaker.wire.errors import NotHonouredError

Matcher = Callable[[str], bool]

_TERM = re.compile(r'\s*(?:(?P<sign>[-?])\s*)?(?:"(?P<phrase>(?:[^"\\]|\\.)+)"|(?P<word>\S+))(?=\s|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def read_pattern(pattern: str) -> Matcher:
    """What `pattern` matches; an empty one matches all.

    Raises AwsError InvalidParameterException for a pattern that is none, and NotHonouredError for
    the two kinds that the stage does not search by.
    """
    pattern = pattern.strip()
    if pattern.startswith("{"):
        if not pattern.endswith("}"):
            raise invalid_pattern("If a filter pattern starts with '{' it must end with '}'")
        return read_json_pattern(pattern[1:-1])
    if pattern.startswith("["):
        raise NotHonouredError("filterPattern", "patterns for space-delimited events ([a, b, ...]) are not supported.")
    if pattern.startswith("%"):
        raise NotHonouredError("filterPattern", "regular expressions (%...%) are not supported.")
    return _terms(pattern)


def _terms(pattern: str) -> Matcher:
    by_sign: dict[str, list[str]] = {"": [], "-": [], "?": []}
    place = 0
    while place < len(pattern):
        found = _TERM.match(pattern, place)
        if found is None:
            raise invalid_pattern(f"Invalid character(s) in term '{pattern[place:].strip()}'")
        by_sign[found["sign"] or ""].append(_term(found))
        place = found.end()
    needed, banned, optional = by_sign[""], by_sign["-"], by_sign["?"]
    if needed or banned:  # AWS then takes no notice of the question marks
        needed, optional = needed + optional, []

    def matches(message: str) -> bool:
        return (
            all(term in message for term in needed)
            and not any(term in message for term in banned)
            and (not optional or any(term in message for term in optional))
        )

    return matches


def _term(found: re.Match[str]) -> str:
    phrase, word = found["phrase"], found["word"]
    if phrase is not None:
        return _ESCAPE.sub(r"\1", phrase)
    if not word.replace("_", "a").isalnum():
        raise invalid_pattern(f"Invalid character(s) in term '{word}'")
    return str(word)
