"""Two ways of doing a thing, timed in turn in one run, so that a noisy machine is noisy to both."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Timed = Callable[[], float]
"""Does the thing once and gives its seconds."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians in seconds, over `runs` pairs; `ratio` is the median of the pairs' ratios."""

    name: str
    ours: float
    baseline: float
    ratio: float
    runs: int

    def row(self) -> str:
        """One line of a Markdown table."""
        return f"| {self.name} | {self.ours:.2f} s | {self.baseline:.2f} s | {self.ratio:.2f} | {self.runs} |"


HEAD = "| what | stage | baseline | ratio | pairs |\n|---|---|---|---|---|"


def compare(name: str, ours: Timed, baseline: Timed, *, runs: int = 5, warm_up: bool = True) -> Comparison:
    """One pair to warm up, where it is short, then `runs` pairs A B A B."""
    if warm_up:
        ours(), baseline()
    pairs = [(ours(), baseline()) for _ in range(runs)]
    return Comparison(
        name,
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
        runs,
    )


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def machine() -> str:
    """Where and when: a figure means nothing without it."""
    return (
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"
    )
