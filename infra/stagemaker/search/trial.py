"""What a search knows of the jobs that it has asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagemaker.search.ranges import Value


@dataclass(frozen=True, slots=True)
class Trial:
    """One job: its values; its final objective when it has one; whether it is over."""

    values: Mapping[str, Value]
    objective: float | None = None
    over: bool = True


@dataclass(frozen=True, slots=True)
class Parents:
    """Trials of earlier searches. `same_task`: on the same data, so that their objectives compare with ours."""

    trials: tuple[tuple[Trial, ...], ...] = ()
    same_task: bool = True

    @property
    def all(self) -> list[Trial]:
        """The trials of all parents."""
        return [trial for parent in self.trials for trial in parent]


NO_PARENTS = Parents()


def best(trials: Sequence[Trial], *, minimize: bool) -> Trial | None:
    """The trial with the best objective; the first of equals; None when none has one."""
    scored = [trial for trial in trials if trial.objective is not None]
    pick = min if minimize else max
    return pick(scored, key=lambda trial: trial.objective or 0.0) if scored else None
