"""How a search gets on: when it has found what there is to find."""

from __future__ import annotations

from collections.abc import Sequence

CONVERGED_AFTER = 20
"""Jobs in a row that add next to nothing; ours, AWS names no number."""
CONVERGED_SHARE = 0.001
"""Of the spread of all objectives: less is next to nothing."""


def not_improving(objectives: Sequence[float], *, minimize: bool) -> int:
    """How many of the last objectives, in the order in which they came, have not been better than all before."""
    if not objectives:
        return 0
    top = (min if minimize else max)(objectives)
    return len(objectives) - 1 - objectives.index(top)


def reached(objective: float, target: float, *, minimize: bool) -> bool:
    """Whether the target is met."""
    return objective <= target if minimize else objective >= target


def converged(objectives: Sequence[float], *, minimize: bool) -> bool:
    """Whether the last CONVERGED_AFTER jobs have bettered the best by less than CONVERGED_SHARE of the spread."""
    if len(objectives) <= CONVERGED_AFTER:
        return False
    pick = min if minimize else max
    gain = abs(pick(objectives) - pick(objectives[:-CONVERGED_AFTER]))
    return gain <= CONVERGED_SHARE * (max(objectives) - min(objectives))
