"""Periods: how a span of time is cut up, and how far back each period reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400

SHORT_PERIODS = frozenset({1, 5, 10, 20, 30})

_KEPT_FOR = ((HOUR, 455 * DAY), (5 * MINUTE, 63 * DAY), (MINUTE, 15 * DAY), (1, 3 * HOUR))
"""Points are shown with periods that are a multiple of the first for as long as the second (seconds).

Source: GetMetricStatistics in the API's documentation.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to but without `end`, in periods that begin at `start`; epoch seconds.

    Periods begin at the start that was asked for, as on AWS, not at full hours or multiples.
    `oldest` is the first moment whose points are still shown with this period.
    """

    start: int
    end: int
    period: int
    oldest: int

    @classmethod
    def of(cls, start: datetime, end: datetime, period: int, now: float) -> Window:
        """The window that AWS makes of a request: the start is rounded down, the more the older it is."""
        begin = math.floor(start.timestamp())
        begin -= begin % _rounding(now - begin, period)
        kept_for = next(kept_for for multiple, kept_for in _KEPT_FOR if period % multiple == 0)
        return cls(begin, math.ceil(end.timestamp()), period, oldest=math.floor(now) - kept_for)

    @property
    def periods(self) -> int:
        """How many periods it has: the most data points that can come back."""
        return math.ceil((self.end - self.start) / self.period)


def is_period(seconds: int) -> bool:
    """Whether CloudWatch has periods of this length."""
    return seconds in SHORT_PERIODS or (seconds > 0 and seconds % MINUTE == 0)


def _rounding(age: float, period: int) -> int:
    if age > 63 * DAY:
        return HOUR
    if age > 15 * DAY:
        return 5 * MINUTE
    return period if period in SHORT_PERIODS else MINUTE
