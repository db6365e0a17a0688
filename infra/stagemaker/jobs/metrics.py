"""Metrics by regular expression from the lines of a log.

SageMaker's log pipeline writes a tab as `#011`, and the built-in algorithms' expressions rely on it;
newer stacks show real tabs. So a line is searched as it was printed and as it is stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from stagemaker.jobs.spec import MetricDefinition

TAB = "#011"


def stored_line(line: str) -> str:
    """The line as CloudWatch Logs holds it."""
    return line.replace("\t", TAB)


class MetricScanner:
    """Finds the values of some metric definitions in log lines."""

    def __init__(self, definitions: Iterable[MetricDefinition]) -> None:
        self._definitions = [
            (definition.name, re.compile(definition.regex), required_text(definition.regex))
            for definition in definitions
        ]

    def scan(self, line: str) -> Iterator[tuple[str, float]]:
        """Name and value of every match in `line`. What is not a finite number is not a metric."""
        stored = stored_line(line)
        for name, pattern, literal in self._definitions:
            # An algorithm brings some sixty definitions: a plain search first spares most of them.
            if literal and literal not in stored and literal not in line:
                continue
            for match in pattern.finditer(stored) if pattern.search(stored) else pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    yield name, value


def _number(match: re.Match[str]) -> float | None:
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
