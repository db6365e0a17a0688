"""The part of JSONPath that DataProcessing knows: names, indices, lists of either, slices, wildcards.

Source: "Associate Prediction Results with Input Records" in the developer guide. There is no recursive descent,
no filter and no function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


class JsonPathError(ValueError):
    """The text is no path of the kind that is known here."""


class NoMatchError(Exception):
    """The record has nothing at the path."""


@dataclass(frozen=True, slots=True)
class _Names:
    """`.a` or `['a']`, and `['a','b']`, which gives an object of those members."""

    names: tuple[str, ...]

    def children(self, node: Any) -> Iterator[Any]:
        if isinstance(node, dict):
            if len(self.names) > 1:
                yield {name: node[name] for name in self.names if name in node}
            elif self.names[0] in node:
                yield node[self.names[0]]


@dataclass(frozen=True, slots=True)
class _Slice:
    """`1:`, `:3`, `1:3`."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class _Elements:
    """`[0]`, `[-1]`, `[0,2]`, `[1:]`, `[0,5:]`. An index beyond the list is an error, a slice beyond it is empty."""

    parts: tuple[int | _Slice, ...]

    def children(self, node: Any) -> Iterator[Any]:
        if isinstance(node, list):
            for part in self.parts:
                if isinstance(part, _Slice):
                    yield from node[part.start : part.end]
                elif -len(node) <= part < len(node):
                    yield node[part]
                else:
                    raise NoMatchError


@dataclass(frozen=True, slots=True)
class _Wildcard:
    """`[*]` or `.*`."""

    def children(self, node: Any) -> Iterator[Any]:
        if isinstance(node, list):
            yield from node
        elif isinstance(node, dict):
            yield from node.values()


_Step = _Names | _Elements | _Wildcard

_PART = r"(?:-?\d+|(?:-?\d+)?\s*:\s*(?:-?\d+)?)"

_STEP = re.compile(
    rf"""\.?\[\s*(?:
            (?P<star>\*)
          | (?P<elements>{_PART}(?:\s*,\s*{_PART})*)
          | (?P<names>'[^']*'(?:\s*,\s*'[^']*')*|"[^"]*"(?:\s*,\s*"[^"]*")*)
        )\s*\]
      | \.(?:(?P<dot_star>\*)|(?P<name>[^\s.\[\]()?@*'",:]+))""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path that was read. `one_only` paths give a value, all others a list of values."""

    steps: tuple[_Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read `$`, `$.a['b'][0]`, `$[1:]`, `$[0,-1]`, `$[*].a` ... Raises JsonPathError."""
        if not text.startswith("$"):
            raise JsonPathError(f"'{text}' does not begin with $")
        steps, position = [], 1
        while position < len(text):
            match = _STEP.match(text, position)
            if match is None:
                raise JsonPathError(f"'{text}' cannot be read from '{text[position:]}' on")
            steps.append(_step(match))
            position = match.end()
        return cls(tuple(steps))

    @property
    def is_root(self) -> bool:
        """Whether it is `$`, the record as it is."""
        return not self.steps

    @property
    def one_only(self) -> bool:
        """Whether at most one value can be at the path."""
        return all(
            isinstance(step, _Names)
            or (isinstance(step, _Elements) and len(step.parts) == 1 and isinstance(step.parts[0], int))
            for step in self.steps
        )

    def select(self, document: Any) -> Any:
        """What `document` has at the path. Raises NoMatchError when a path to one value finds none."""
        nodes: Sequence[Any] = [document]
        for step in self.steps:
            nodes = [child for node in nodes for child in step.children(node)]
        if not self.one_only:
            return list(nodes)
        if not nodes:
            raise NoMatchError
        return nodes[0]


def _step(match: re.Match[str]) -> _Step:
    if match["star"] or match["dot_star"]:
        return _Wildcard()
    if match["name"]:
        return _Names((match["name"],))
    if match["names"]:
        return _Names(tuple(first or second for first, second in re.findall(r"'([^']*)'|\"([^\"]*)\"", match["names"])))
    return _Elements(tuple(_part(text) for text in match["elements"].split(",")))


def _part(text: str) -> int | _Slice:
    start, colon, end = text.partition(":")
    if not colon:
        return int(text)
    return _Slice(int(start) if start.strip() else None, int(end) if end.strip() else None)
