"""Validation of a request against its model, in AWS's wording.

Paths name members as the service's Java side does: lower camel case, items as `.1.member`. What is
wrong with an item itself is said of its whole list or map, with every rule that its items obey
("... at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member
must have length less than or equal to 2500, ...]"); values are printed as Java prints them.
Wording observed in public threads, see ValidationException in the SageMaker API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from stagemaker.wire.errors import ValidationError

if TYPE_CHECKING:
    import regex

Rule = tuple[str, Callable[[Any], bool]]
"""What is said of a value that breaks it, and whether a value keeps it."""

_NUMBERS = frozenset({"integer", "long", "float", "double"})

MOST_REPORTED = 10
"""A request can be wrong in hundreds of places; AWS stops counting too."""


def validate(shape: Shape | None, params: dict[str, Any]) -> None:
    """Raise ValidationError naming every member that breaks a constraint of `shape`."""
    if shape is None:
        return
    problems = list(islice(_problems(shape, params, ""), MOST_REPORTED))
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise ValidationError(f"{len(problems)} validation {noun} detected: " + "; ".join(problems))


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """What is wrong with `value` itself, then with what it contains."""
    yield from (_problem(value, path, broken) for broken in _broken(shape, value))
    yield from _problems_inside(shape, value, path)


def _problems_inside(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape:
        case StructureShape():
            yield from _structure_problems(shape, value, path)
        case ListShape():
            yield from _item_problems(shape.member, value, value, path, "Member")
            for number, item in enumerate(value, 1):
                yield from _problems_inside(shape.member, item, f"{path}.{number}.member")
        case MapShape():
            yield from _item_problems(shape.key, value, value, path, "Map keys")
            yield from _item_problems(shape.value, value.values(), value, path, "Map value")
            for key, item in value.items():
                yield from _problems_inside(shape.value, item, f"{path}.{key}.member")


def _structure_problems(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if name in value:
            yield from _problems(member, value[name], _join(path, name))


def _item_problems(shape: Shape, items: Iterable[Any], whole: Any, path: str, what: str) -> Iterator[str]:
    if any(True for item in items for _ in _broken(shape, item)):
        rules = ", ".join(text for text, _ in _rules(shape))
        yield _problem(whole, path, f"{what} must satisfy constraint: [{rules}]")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    return (text for text, holds in _rules(shape) if not holds(value))


@cache
def _rules(shape: Shape) -> tuple[Rule, ...]:
    """The rules that a shape sets to its own values, in the order in which AWS lists them."""
    metadata, kind = shape.metadata, shape.type_name
    measure, what = (_itself, "have value") if kind in _NUMBERS else (len, "have length")
    rules: list[Rule] = []
    if (high := metadata.get("max")) is not None:
        rules.append((f"Member must {what} less than or equal to {high}", lambda value: measure(value) <= high))
    if (low := metadata.get("min")) is not None:
        rules.append((f"Member must {what} greater than or equal to {low}", lambda value: measure(value) >= low))
    if pattern := metadata.get("pattern"):
        rules.append(
            (f"Member must satisfy regular expression pattern: {pattern}", lambda value: _matches(pattern, value))
        )
    if choices := metadata.get("enum"):
        rules.append((f"Member must satisfy enum value set: [{', '.join(choices)}]", lambda value: value in choices))
    return tuple(rules)


def _itself(value: float) -> float:
    return value


def _problem(value: Any, path: str, constraint: str) -> str:
    return f"Value '{_java(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _java(value: Any) -> str:
    """Java's `toString`."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}={_java(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_java(item) for item in value) + "]"
        case bool():
            return str(value).lower()
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    return str(value)


def _join(path: str, name: str) -> str:
    camel = name[:1].lower() + name[1:]
    return f"{path}.{camel}" if path else camel


@cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    import regex  # 10 ms, when the first string is checked

    # The `regex` package rather than `re`: the models use Java's Unicode classes such as \p{L}.
    # Surrogate pairs, in four of SageMaker's patterns, are Java's way to write the astral planes.
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"))


def _matches(pattern: str, value: str) -> bool:
    """Java's `matches`: the whole string, within a time that a hostile value cannot stretch."""
    try:
        return _compiled(pattern).fullmatch(value, timeout=1.0) is not None
    except TimeoutError:
        return False
