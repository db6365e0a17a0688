from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stagemaker.cloudwatch.window import DAY, HOUR, Window, is_period

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)


def window(start: datetime, period: int, end: datetime = NOW) -> Window:
    """A window as seen at NOW."""
    return Window.of(start, end, period, NOW.timestamp())


@pytest.mark.parametrize(
    ("start", "period", "begins"),
    [
        # The three examples of the API's documentation, and the two for short periods.
        (datetime(2026, 11, 23, 11, 32, 34, tzinfo=UTC), 60, datetime(2026, 11, 23, 11, 32, tzinfo=UTC)),
        (datetime(2026, 11, 1, 12, 32, 34, tzinfo=UTC), 300, datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        (datetime(2026, 8, 1, 12, 32, 34, tzinfo=UTC), 3600, datetime(2026, 8, 1, 12, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 11, 5, 13, tzinfo=UTC), 10, datetime(2026, 11, 23, 11, 5, 10, tzinfo=UTC)),
        (datetime(2026, 11, 23, 11, 2, 17, tzinfo=UTC), 5, datetime(2026, 11, 23, 11, 2, 15, tzinfo=UTC)),
        (datetime(2026, 11, 23, 11, 2, 17, 900_000, tzinfo=UTC), 1, datetime(2026, 11, 23, 11, 2, 17, tzinfo=UTC)),
        # An hour's period does not move the start to a full hour.
        (datetime(2026, 11, 23, 11, 32, 34, tzinfo=UTC), 3600, datetime(2026, 11, 23, 11, 32, tzinfo=UTC)),
    ],
)
def test_the_start_is_rounded_down(start: datetime, period: int, begins: datetime) -> None:
    """By a minute, by more the older it is, by the period when that is shorter than a minute."""
    assert window(start, period).start == begins.timestamp()


@pytest.mark.parametrize(
    ("period", "kept_for"),
    [
        (1, 3 * HOUR),
        (30, 3 * HOUR),
        (60, 15 * DAY),
        (120, 15 * DAY),
        (300, 63 * DAY),
        (900, 63 * DAY),
        (7200, 455 * DAY),
    ],
)
def test_how_far_back_a_period_reaches(period: int, kept_for: int) -> None:
    """The finer the period, the sooner its points are gone."""
    assert window(NOW - timedelta(days=1), period).oldest == int(NOW.timestamp()) - kept_for


def test_how_many_periods() -> None:
    """A last period that is cut short counts."""
    assert window(NOW - timedelta(hours=1), 3600).periods == 2
    assert window(NOW.replace(second=0) - timedelta(hours=1), 3600, NOW.replace(second=0)).periods == 1


def test_which_lengths_are_periods() -> None:
    """1, 5, 10, 20, 30 and multiples of 60 seconds."""
    assert [seconds for seconds in range(-60, 200) if is_period(seconds)] == [1, 5, 10, 20, 30, 60, 120, 180]
