"""Strategies on functions whose minimum is known: no job runs here."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable

import pytest

from stagemaker.search.ranges import Categorical, Continuous, Integer, Space, Values
from stagemaker.search.strategy import Strategy, propose
from stagemaker.search.trial import NO_PARENTS, Parents, Trial

PLANE: Space = (Continuous("x", -5.0, 10.0), Continuous("y", 0.0, 15.0))


def bowl(values: Values) -> float:
    """Least at (3, 4), where it is 0."""
    x, y = float(values["x"]), float(values["y"])
    return (x - 3) ** 2 + (y - 4) ** 2


def search(
    strategy: Strategy,
    space: Space,
    objective: Callable[[Values], float | None],
    jobs: int,
    *,
    seed: int,
    minimize: bool = True,
    parents: Parents = NO_PARENTS,
) -> list[Trial]:
    """One job after another."""
    trials: list[Trial] = []
    for _ in range(jobs):
        values = propose(strategy, space, trials, seed=seed, minimize=minimize, parents=parents)
        if values is None:
            break
        trials.append(Trial(values, objective(values)))
    return trials


def regret(trials: list[Trial]) -> float:
    """The best of a search for a minimum of 0."""
    return min(trial.objective for trial in trials if trial.objective is not None)


def test_bayesian_finds_more_than_random() -> None:
    """Median over seeds, after 20 jobs."""
    by_strategy = {
        strategy: statistics.median(regret(search(strategy, PLANE, bowl, 20, seed=seed)) for seed in range(9))
        for strategy in (Strategy.BAYESIAN, Strategy.RANDOM)
    }
    assert by_strategy[Strategy.BAYESIAN] < by_strategy[Strategy.RANDOM]


def test_maximizing_is_minimizing_the_negative() -> None:
    """Both directions make the same proposals for mirrored objectives."""
    down = search(Strategy.BAYESIAN, PLANE, bowl, 14, seed=3)
    up = search(Strategy.BAYESIAN, PLANE, lambda values: -bowl(values), 14, seed=3, minimize=False)
    assert [trial.values for trial in down] == [trial.values for trial in up]


@pytest.mark.parametrize("strategy", [Strategy.BAYESIAN, Strategy.RANDOM, Strategy.HYPERBAND])
def test_a_seed_reproduces_the_search(strategy: Strategy) -> None:
    """The same seed gives the same jobs, another seed others, and half a search goes on as the whole did."""
    space = (*PLANE, Integer("n", 1, 9), Categorical("c", ("a", "b", "c")))
    whole = search(strategy, space, bowl, 13, seed=7)
    assert whole == search(strategy, space, bowl, 13, seed=7)
    assert whole != search(strategy, space, bowl, 13, seed=8)
    assert propose(strategy, space, whole[:12], seed=7, minimize=True) == whole[12].values


def test_grid_visits_each_combination_once() -> None:
    """And proposes nothing more."""
    space = (Categorical("a", ("1", "2", "3")), Categorical("b", ("x", "y")))
    tried = [tuple(trial.values.values()) for trial in search(Strategy.GRID, space, lambda _: 0.0, 10, seed=0)]
    assert len(tried) == len(set(tried)) == 6


@pytest.mark.parametrize("strategy", [Strategy.BAYESIAN, Strategy.RANDOM])
def test_no_combination_comes_twice(strategy: Strategy) -> None:
    """A space of six is searched in six jobs, whatever the strategy prefers."""
    space = (Integer("n", 1, 3), Categorical("c", ("a", "b")))
    trials = search(strategy, space, lambda values: float(values["n"]), 9, seed=2)
    assert len({tuple(trial.values.items()) for trial in trials}) == len(trials) == 6


def test_jobs_that_run_or_failed_do_no_harm() -> None:
    """Without objectives, with running jobs, with failures: there is always a proposal inside the ranges."""
    trials = [Trial({"x": 1.0, "y": 2.0}, over=False), Trial({"x": 2.0, "y": 2.0}), Trial({"x": 3.0, "y": 4.0}, 1.0)]
    for known in (trials[:1], trials[:2], trials * 5):
        values = propose(Strategy.BAYESIAN, PLANE, known, seed=1, minimize=True)
        assert values is not None
        assert all(values[each.name] in each for each in PLANE)


def test_a_region_that_fails_is_left_alone() -> None:
    """Where no job succeeds the search does not stay."""

    def half(values: Values) -> float | None:
        return bowl(values) if float(values["x"]) > 2.5 else None

    trials = search(Strategy.BAYESIAN, PLANE, half, 30, seed=5)
    late = [trial for trial in trials[15:] if trial.objective is None]
    assert len(late) < 5


def jobs_until(trials: list[Trial], target: float) -> int:
    """How many jobs it took to be as good as `target`; one more than there were when none was."""
    found = (number for number, trial in enumerate(trials, 1) if (trial.objective or 0.0) <= target)
    return next(found, len(trials) + 1)


def test_warm_start_reaches_the_parents_best_sooner() -> None:
    """On the same data by what the parent knows; on shifted data by the order of what it knows."""
    cold, identical, transfer = [], [], []
    for seed in range(7):
        parent = search(Strategy.BAYESIAN, PLANE, bowl, 20, seed=100 + seed)
        target = regret(parent)
        same, other = Parents((tuple(parent),)), Parents((tuple(parent),), same_task=False)

        def moved(values: Values) -> float:
            return bowl(values) + 1000.0

        cold.append(jobs_until(search(Strategy.BAYESIAN, PLANE, bowl, 25, seed=seed), target))
        identical.append(jobs_until(search(Strategy.BAYESIAN, PLANE, bowl, 25, seed=seed, parents=same), target))
        transfer.append(
            jobs_until(search(Strategy.BAYESIAN, PLANE, moved, 25, seed=seed, parents=other), target + 1000.0)
        )
    assert statistics.mean(identical) < statistics.mean(cold)
    assert statistics.mean(transfer) < statistics.mean(cold)


def test_the_search_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """Optuna neither logs nor warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(Strategy.BAYESIAN, PLANE, bowl, 12, seed=1)
    assert capfd.readouterr() == ("", "")
