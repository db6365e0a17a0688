"""Bayesian search by Optuna's tree-structured Parzen estimator.

AWS uses a Gaussian process; Optuna's own needs torch. A study is built anew for each suggestion from the trials, which
is quick (milliseconds) and leaves nothing to keep but the trials themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from stagemaker.search.ranges import Categorical, Continuous, Integer, Range, Space, Value, Values
from stagemaker.search.trial import Parents, Trial

STARTUP_TRIALS = 10
"""Jobs at random before the model of the objective is trusted; those of parents count."""


def suggest(space: Space, trials: Sequence[Trial], parents: Parents, *, seed: int, minimize: bool) -> Values:
    """Values that promise to be good, given what was found. Jobs that still run are taken for disappointing."""
    distributions = {each.name: _distribution(each) for each in space}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, multivariate=True, seed=seed)
    study = optuna.create_study(sampler=sampler, direction="minimize" if minimize else "maximize")
    study.add_trials([_frozen(space, distributions, *known) for known in _known(trials, parents, minimize=minimize)])
    found = study.ask(distributions).params
    return {each.name: _from_model(each, found[each.name]) for each in space}


def _known(trials: Sequence[Trial], parents: Parents, *, minimize: bool) -> list[tuple[Trial, float | None]]:
    """Each trial with the objective that the model is to learn; None while it runs."""
    if parents.same_task:
        return _scored([*parents.all, *trials], minimize=minimize)
    # Objectives on other data do not compare, but their order among themselves does.
    return [pair for task in (*parents.trials, trials) for pair in _ranked(_scored(task, minimize=minimize))]


def _scored(trials: Sequence[Trial], *, minimize: bool) -> list[tuple[Trial, float | None]]:
    """A job that ended without an objective is as bad as the worst, so that its neighbourhood is left alone."""
    found = [trial.objective for trial in trials if trial.objective is not None]
    worst = (max(found) if minimize else min(found)) if found else None
    scored: list[tuple[Trial, float | None]] = []
    for trial in trials:
        score = worst if trial.objective is None and trial.over else trial.objective
        if score is not None or not trial.over:
            scored.append((trial, score))
    return scored


def _ranked(scored: Sequence[tuple[Trial, float | None]]) -> list[tuple[Trial, float | None]]:
    """Objectives replaced by their place in [0, 1] among the others of their task."""
    values = sorted(score for _, score in scored if score is not None)
    return [(trial, None if score is None else (values.index(score) + 0.5) / len(values)) for trial, score in scored]


def _frozen(
    space: Space, distributions: Mapping[str, BaseDistribution], trial: Trial, score: float | None
) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING if score is None else TrialState.COMPLETE,
        value=score,
        params={each.name: _to_model(each, trial.values[each.name]) for each in space},
        distributions=dict(distributions),
    )


def _distribution(each: Range) -> BaseDistribution:
    """Continuous ranges are searched in [0, 1], where their scaling has been taken into account."""
    match each:
        case Continuous():
            return FloatDistribution(0.0, 1.0)
        case Integer():
            return IntDistribution(each.low, each.high, log=each.is_logarithmic)
        case Categorical():
            return CategoricalDistribution(each.values)


def _to_model(each: Range, value: Value) -> Value:
    return each.unit(float(value)) if isinstance(each, Continuous) else value


def _from_model(each: Range, value: Value) -> Value:
    return each.at(float(value)) if isinstance(each, Continuous) else value
