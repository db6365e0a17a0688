"""Validation of a request against its model, in AWS's wording.

Paths name members as the service's Java side does: lower camel case, list items as `.1.member`.
Wording observed in public threads, see ValidationException in the SageMaker API.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape

from stagemaker.wire.errors import ValidationError

MOST_REPORTED = 10
"""A request can be wrong in hundreds of places; AWS stops counting too."""


def validate(shape: Shape | None, params: dict[str, Any]) -> None:
    """Raise ValidationError naming every member that breaks a constraint of `shape`."""
    if shape is None:
        return
    problems = list(_problems(shape, params, ""))[:MOST_REPORTED]
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise ValidationError(f"{len(problems)} validation {noun} detected: " + "; ".join(problems))


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape:
        case StructureShape():
            yield from _structure_problems(shape, value, path)
        case ListShape():
            yield from _size_problems(shape, len(value), value, path)
            for number, item in enumerate(value, 1):
                yield from _problems(shape.member, item, f"{path}.{number}.member")
        case MapShape():
            yield from _size_problems(shape, len(value), value, path)
            for key, item in value.items():
                yield from _problems(shape.key, key, f"{path}.{key}.key")
                yield from _problems(shape.value, item, f"{path}.{key}.member")
        case _ if shape.type_name == "string":
            yield from _string_problems(shape, value, path)
        case _ if shape.type_name in {"integer", "long", "float", "double"}:
            yield from _range_problems(shape, value, path)


def _structure_problems(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if name in value:
            yield from _problems(member, value[name], _join(path, name))


def _string_problems(shape: Shape, value: str, path: str) -> Iterator[str]:
    metadata = shape.metadata
    if (choices := metadata.get("enum")) and value not in choices:
        yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(choices)}]")
    yield from _size_problems(shape, len(value), value, path)
    if (pattern := metadata.get("pattern")) and not _matches(pattern, value):
        yield _problem(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _size_problems(shape: Shape, size: int, value: Any, path: str) -> Iterator[str]:
    yield from _bound_problems(shape, size, value, path, "have length")


def _range_problems(shape: Shape, value: float, path: str) -> Iterator[str]:
    yield from _bound_problems(shape, value, value, path, "have value")


def _bound_problems(shape: Shape, measure: float, value: Any, path: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and measure < low:
        yield _problem(value, path, f"Member must {what} greater than or equal to {low}")
    if high is not None and measure > high:
        yield _problem(value, path, f"Member must {what} less than or equal to {high}")


def _problem(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    camel = name[:1].lower() + name[1:]
    return f"{path}.{camel}" if path else camel


@cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    # The `regex` package rather than `re`: the models use Java's Unicode classes such as \p{L}.
    # Surrogate pairs, in four of SageMaker's patterns, are Java's way to write the astral planes.
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"))


def _matches(pattern: str, value: str) -> bool:
    """Java's `matches`: the whole string, within a time that a hostile value cannot stretch."""
    try:
        return _compiled(pattern).fullmatch(value, timeout=1.0) is not None
    except TimeoutError:
        return False
