"""When a job is not worth going on: the median rule and Hyperband.

A step is one report of the objective: an epoch, a boosting round.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MEDIAN_JOBS = 3
"""Earlier jobs that must have come as far before one is stopped; AWS names no number."""
MEDIAN_FROM_STEP = 5
"""The first step at which a job may be stopped: a first epoch says little. AWS names no number."""
REDUCTION = 3
"""Hyperband's eta: one job in three goes on from each rung."""


def median_rule(step: int, objective: float, averages: Sequence[float], *, minimize: bool) -> bool:
    """Whether to stop: `objective` at `step` is worse than the median of earlier jobs' running averages up to it."""
    if step < MEDIAN_FROM_STEP or len(averages) < MEDIAN_JOBS:
        return False
    median = statistics.median(averages)
    return objective > median if minimize else objective < median


def rungs(number: int, least: int, most: int) -> list[int]:
    """The steps at which job `number` (from 0) is judged: least x 3^k below `most`.

    Hyperband does not know how early a bad job shows. So it has brackets, of which a later one judges first at a
    later rung; each has a third of the jobs of the one before.
    """
    steps = []
    step = least
    while step < most:
        steps.append(step)
        step *= REDUCTION
    brackets = min(len(steps), 3)
    place = number % max(sum(REDUCTION**level for level in range(brackets)), 1)
    for first in range(brackets):
        jobs = REDUCTION ** (brackets - 1 - first)
        if place < jobs:
            return steps[first:]
        place -= jobs
    return steps


def successive_halving(objective: float, others: Sequence[float], *, minimize: bool) -> bool:
    """Whether to stop at a rung: `objective` is not among the best third of what came to it so far."""
    better = sum(other < objective if minimize else other > objective for other in others)
    return better >= max(math.floor((len(others) + 1) / REDUCTION), 1)
