"""The median rule, Hyperband's rungs, convergence."""

from __future__ import annotations

import statistics

import pytest

from stagemaker.search.completion import CONVERGED_AFTER, converged, not_improving, reached
from stagemaker.search.stopping import MEDIAN_FROM_STEP, median_rule, rungs, successive_halving


@pytest.mark.parametrize(("objective", "minimize", "stop"), [(0.5, True, True), (0.1, True, False), (0.1, False, True)])
def test_median_rule(objective: float, minimize: bool, stop: bool) -> None:
    """Worse than the median of the others' running averages: stop. In either direction."""
    assert median_rule(MEDIAN_FROM_STEP, objective, [0.2, 0.3, 0.4], minimize=minimize) is stop


def test_median_rule_needs_a_few_jobs_and_steps() -> None:
    """Neither the first epochs nor the first jobs are judged."""
    assert not median_rule(MEDIAN_FROM_STEP - 1, 9.0, [0.1] * 5, minimize=True)
    assert not median_rule(MEDIAN_FROM_STEP, 9.0, [0.1] * 2, minimize=True)


def test_rungs_lie_between_the_resources_in_brackets() -> None:
    """Of 13 jobs nine are judged from the least resource on, three later, one last; none at the most."""
    assert [rungs(number, 1, 27) for number in range(13)] == [[1, 3, 9]] * 9 + [[3, 9]] * 3 + [[9]]
    assert rungs(0, 5, 5) == []


def test_the_best_third_goes_on() -> None:
    """The first job always; then those among the best third."""
    assert not successive_halving(0.9, [], minimize=True)
    assert successive_halving(0.9, [0.5], minimize=True)
    assert not successive_halving(0.9, [0.5], minimize=False)
    assert not successive_halving(0.2, [0.1, 0.3, 0.4, 0.5, 0.6], minimize=True)


def test_hyperband_needs_less_training_than_random_for_the_same_quality() -> None:
    """Learning curves of 27 epochs that end at their own level: how many epochs are run, and how good the best is."""
    import random

    epochs: dict[bool, list[int]] = {True: [], False: []}
    best: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(20):
        generator = random.Random(seed)
        levels = [generator.random() for _ in range(40)]
        for hyperband in (True, False):
            at_rung: dict[int, list[float]] = {}
            run, results = 0, []
            for number, level in enumerate(levels):
                judged = rungs(number, 1, 27) if hyperband else []
                for epoch in range(1, 28):
                    objective = level + 1.0 / epoch + generator.gauss(0, 0.02)
                    run += 1
                    if epoch in judged:
                        others = at_rung.setdefault(epoch, [])
                        stop = successive_halving(objective, others, minimize=True)
                        others.append(objective)
                        if stop:
                            break
                else:
                    results.append(level)
            epochs[hyperband].append(run)
            best[hyperband].append(min(results))
    assert statistics.mean(epochs[True]) < 0.5 * statistics.mean(epochs[False])
    assert statistics.mean(best[True]) < statistics.mean(best[False]) + 0.02


def test_jobs_without_improvement_are_counted_from_the_best() -> None:
    """An equal value is no improvement."""
    assert not_improving([], minimize=True) == 0
    assert not_improving([3.0, 1.0, 2.0, 1.0], minimize=True) == 2
    assert not_improving([3.0, 1.0, 2.0, 4.0], minimize=False) == 0


def test_target_is_reached_from_its_side() -> None:
    """At or below when minimizing, at or above when maximizing."""
    assert reached(0.1, 0.1, minimize=True)
    assert not reached(0.1, 0.2, minimize=False)


def test_convergence_is_a_long_time_without_gain() -> None:
    """Not before twenty jobs have added nothing."""
    falling = [1.0 / (number + 1) for number in range(10)]
    assert not converged(falling, minimize=True)
    assert not converged([*falling, *[0.5] * (CONVERGED_AFTER - 1)], minimize=True)
    assert converged([*falling, *[0.5] * CONVERGED_AFTER], minimize=True)
    assert not converged([*falling, *[0.5] * CONVERGED_AFTER, 0.01], minimize=True)
