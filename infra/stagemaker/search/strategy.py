"""The next values to try, by strategy."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Sequence
from enum import StrEnum

from stagemaker.search import ranges
from stagemaker.search.ranges import Space, Values
from stagemaker.search.trial import NO_PARENTS, Parents, Trial, best

_ATTEMPTS = 5
"""To find values that no job has had by the strategy itself."""
_DRAWS = 50
"""And then at random, before the first unused combination is taken."""


class Strategy(StrEnum):
    """AWS's names."""

    BAYESIAN = "Bayesian"
    RANDOM = "Random"
    HYPERBAND = "Hyperband"
    GRID = "Grid"


def propose(
    strategy: Strategy,
    space: Space,
    trials: Sequence[Trial],
    *,
    seed: int,
    minimize: bool,
    parents: Parents = NO_PARENTS,
) -> Values | None:
    """Values for the job after `trials`, which are all jobs so far, in the order in which they were asked for.

    The same arguments give the same values, in any process. No combination comes twice while another is left;
    None when none is. Random and Hyperband draw each job for itself, so what the others found changes nothing.
    """
    if strategy is Strategy.GRID:
        return next(itertools.islice(ranges.all_combinations(space), len(trials), None), None)
    tried = [trial.values for trial in trials]
    for attempt in range(_ATTEMPTS + _DRAWS):
        key = f"{seed}/{len(trials)}/{attempt}"
        if strategy is Strategy.BAYESIAN and attempt < _ATTEMPTS:
            values = _bayesian(space, trials, parents, key, attempt, minimize=minimize)
        else:
            values = ranges.draw(space, random.Random(key))  # noqa: S311 - no secret
        if values not in tried:
            return values
    return next((values for values in ranges.all_combinations(space) if values not in tried), None)


def _bayesian(
    space: Space, trials: Sequence[Trial], parents: Parents, key: str, attempt: int, *, minimize: bool
) -> Values:
    # What was best on other data is measured first: nothing else is known yet.
    first = () if parents.same_task or attempt else parents.trials[len(trials) : len(trials) + 1]
    if first and (known := best(first[0], minimize=minimize)):
        return dict(known.values)
    from stagemaker.search import bayesian  # optuna: 0.3 s

    return bayesian.suggest(space, trials, parents, seed=zlib.crc32(key.encode()), minimize=minimize)
