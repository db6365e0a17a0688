"""Metrics by regular expression from the lines of a log.

SageMaker's log pipeline writes a tab as `#011`, and the built-in algorithms' expressions rely on it;
newer stacks show real tabs. So a line is searched as it was printed and as it is stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stagemaker.jobs.spec import MetricDefinition

if TYPE_CHECKING:
    import regex

TAB = "#011"

LINE_SECONDS = 0.5
MOST_TIMEOUTS = 3


def stored_line(line: str) -> str:
    """The line as CloudWatch Logs holds it."""
    return line.replace("\t", TAB)


class MetricScanner:
    """Finds the values of some metric definitions in log lines.

    A user's expression can take ages over a line. It is given `LINE_SECONDS`, and after `MOST_TIMEOUTS` such lines
    it is not asked any more: the log and the job go on without that metric.
    """

    def __init__(self, definitions: Iterable[MetricDefinition]) -> None:
        self._definitions = [_Definition(definition) for definition in definitions]

    def scan(self, line: str) -> Iterator[tuple[str, float]]:
        """Name and value of every match in `line`. What is not a finite number is not a metric."""
        stored = stored_line(line)
        for definition in self._definitions:
            for match in definition.matches(stored, line):
                value = _number(match)
                if value is not None:
                    yield definition.name, value


class _Definition:
    def __init__(self, definition: MetricDefinition) -> None:
        self.name = definition.name
        self._source = definition.regex
        # An algorithm brings some sixty definitions: a plain search first spares most of them.
        self._literal = required_text(definition.regex)
        self._pattern: regex.Pattern[str] | None = None
        self._timeouts = 0

    def matches(self, stored: str, line: str) -> list[regex.Match[str]]:
        """All matches in the line as it is stored, or else as it was printed."""
        if self._timeouts >= MOST_TIMEOUTS or not (
            self._literal is None or self._literal in stored or self._literal in line
        ):
            return []
        if self._pattern is None:
            import regex  # 20 ms, when the first line may match; unlike `re` it can be told when to stop

            self._pattern = regex.compile(self._source)
        try:
            found = list(self._pattern.finditer(stored, timeout=LINE_SECONDS, concurrent=True))
            return found or list(self._pattern.finditer(line, timeout=LINE_SECONDS, concurrent=True))
        except TimeoutError:
            self._timeouts += 1
            return []


def _number(match: regex.Match[str]) -> float | None:
    if not match.re.groups or match.group(1) is None:
        return None
    try:
        value = float(match.group(1))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_LITERAL_RUN = re.compile(r"[A-Za-z0-9:=_#-]{3,}")
_SPECIAL = re.compile(r"[|?*{]|\(\?[^:]")


def required_text(pattern: str) -> str | None:
    """A text that every match of `pattern` holds, if one is plain to see, else None.

    Only patterns without alternatives and optional parts are read, apart from `.*` and classes.
    """
    plain = re.sub(r"\\.[*+]?|\[[^\]]*\][*+]?|\.[*+]\??|\([^)]*\)", " ", pattern)
    if _SPECIAL.search(plain):
        return None
    return max(_LITERAL_RUN.findall(plain), key=len, default=None)
