"""Statistics: the five simple ones, and percentiles."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,10})?)")
_OTHER_EXTENDED = re.compile(r"(?:IQM|(?:tm|wm|tc|ts)[\d(].*|(?:PR|TM|WM|TC|TS)\(.*\))")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What is known of the values of a period without the values: the simple statistics."""

    count: float
    sum: float
    minimum: float
    maximum: float

    def joined(self, other: Aggregate) -> Aggregate:
        """Of the values of both."""
        return Aggregate(
            self.count + other.count,
            self.sum + other.sum,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


SIMPLE: dict[str, Callable[[Aggregate], float]] = {
    "SampleCount": lambda values: values.count,
    "Average": lambda values: values.sum / values.count,
    "Sum": lambda values: values.sum,
    "Minimum": lambda values: values.minimum,
    "Maximum": lambda values: values.maximum,
}


def percentile_of(statistic: str) -> float | None:
    """The percent in `p99`, `p99.9` ...; None for anything else."""
    found = _PERCENTILE.fullmatch(statistic)
    percent = float(found[1]) if found else None
    return percent if percent is not None and percent <= 100 else None


def is_other_extended(statistic: str) -> bool:
    """Whether AWS knows `statistic` (trimmed means and the like) and the stage does not."""
    return _OTHER_EXTENDED.fullmatch(statistic) is not None


def percentile(values: Sequence[tuple[float, float]], percent: float) -> float:
    """The percentile of (value, how often) pairs, exact, with linear interpolation between ranks.

    AWS does not publish its rule and computes from histograms; this is numpy's default, on the raw
    values. `values` must not be empty, and each count must be positive.
    """
    ordered = sorted(values)
    total = math.fsum(count for _, count in ordered)
    rank = max(0.0, (total - 1) * percent / 100)
    lower = math.floor(rank)
    low, high = _at_rank(ordered, lower), _at_rank(ordered, lower + 1)
    return low + (high - low) * (rank - lower)


def _at_rank(ordered: Sequence[tuple[float, float]], rank: float) -> float:
    passed = 0.0
    for value, count in ordered:
        passed += count
        if passed > rank:
            return value
    return ordered[-1][0]
