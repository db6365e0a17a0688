"""The training jobs of tuning jobs, as the search sees them: what each tries, how it stands, what it reported.

A trial is written before its training job is created, so a server that dies in between creates the same job when it
comes back, and no other in its place.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from stagemaker.search.ranges import Value
from stagemaker.search.trial import Trial
from stagemaker.store import Store

PLANNED = "Planned"
RUNNING = frozenset({PLANNED, "InProgress", "Stopping"})
INTERNAL = "InternalServerError"
"""What the reason of a failure begins with that is the stage's own."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_tuning_trials (
    tuning TEXT NOT NULL, number INTEGER NOT NULL, definition INTEGER NOT NULL,
    region TEXT NOT NULL, job TEXT NOT NULL, tried TEXT NOT NULL, metric TEXT NOT NULL, minimize INTEGER NOT NULL,
    status TEXT NOT NULL, objective REAL, ended REAL, reason TEXT, steps INTEGER NOT NULL DEFAULT 0,
    mean REAL NOT NULL DEFAULT 0, stop INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tuning, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS sagemaker_tuning_by_job ON sagemaker_tuning_trials (tuning, job);
CREATE TABLE IF NOT EXISTS sagemaker_tuning_reports (
    tuning TEXT NOT NULL, definition INTEGER NOT NULL, step INTEGER NOT NULL, number INTEGER NOT NULL,
    objective REAL NOT NULL, mean REAL NOT NULL,
    PRIMARY KEY (tuning, definition, step, number)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One training job. `tuning` is the tuning job's ARN, `number` counts from 1, `status` is PLANNED or the job's."""

    tuning: str
    number: int
    definition: int
    region: str
    job: str
    tried: Mapping[str, Value]
    metric: str
    minimize: bool
    status: str
    objective: float | None
    ended: float | None
    reason: str | None
    steps: int
    """How many times the objective was reported."""
    mean: float
    """Of those reports."""
    stop: bool
    """Whether the search wants it to end before its time."""

    @property
    def is_over(self) -> bool:
        """Whether the training job has ended."""
        return self.status not in RUNNING

    @property
    def objective_status(self) -> str:
        """Pending, Succeeded or Failed."""
        if not self.is_over:
            return "Pending"
        return "Failed" if self.objective is None else "Succeeded"

    @property
    def trial(self) -> Trial:
        """As the search takes it."""
        return Trial(self.tried, self.objective, self.is_over)


@dataclass(frozen=True, slots=True)
class Peer:
    """What another job of the same definition reported at a step, and the mean of its reports up to it."""

    objective: float
    mean: float
    is_over: bool


class Trials:
    """The table of all trials of the account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(_SCHEMA)

    def plan(
        self,
        tuning: str,
        number: int,
        definition: int,
        *,
        region: str,
        job: str,
        tried: Mapping[str, Value],
        metric: str,
        minimize: bool,
    ) -> None:
        """Decide upon the next job. It is on disk when this returns."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO sagemaker_tuning_trials"
                " (tuning, number, definition, region, job, tried, metric, minimize, status)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (tuning, number, definition, region, job, json.dumps(tried), metric, minimize, PLANNED),
            )

    def created(self, row: TrialRow) -> None:
        """The training job exists. One that has ended meanwhile stays as it is."""
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE sagemaker_tuning_trials SET status = 'InProgress'"
                " WHERE tuning = ? AND number = ? AND status = ?",
                (row.tuning, row.number, PLANNED),
            )

    def of(self, tuning: str) -> list[TrialRow]:
        """The trials of a tuning job, in the order in which they were planned."""
        rows = self._store.connection.execute(
            "SELECT * FROM sagemaker_tuning_trials WHERE tuning = ? ORDER BY number", (tuning,)
        )
        return [_row(tuple(row)) for row in rows]

    def find(self, tuning: str, job: str) -> TrialRow | None:
        """The trial that a training job carries out."""
        row = self._store.connection.execute(
            "SELECT * FROM sagemaker_tuning_trials WHERE tuning = ? AND job = ?", (tuning, job)
        ).fetchone()
        return _row(tuple(row)) if row else None

    def report(self, row: TrialRow, objectives: Sequence[float]) -> list[tuple[int, float]]:
        """Keep what a job reported; (step, objective) of each, steps counted from 1."""
        steps, total = row.steps, row.mean * row.steps
        kept: list[tuple[int, float]] = []
        with self._store.transaction() as connection:
            for objective in objectives:
                steps, total = steps + 1, total + objective
                connection.execute(
                    "INSERT OR REPLACE INTO sagemaker_tuning_reports VALUES (?, ?, ?, ?, ?, ?)",
                    (row.tuning, row.definition, steps, row.number, objective, total / steps),
                )
                kept.append((steps, objective))
            connection.execute(
                "UPDATE sagemaker_tuning_trials SET steps = ?, mean = ? WHERE tuning = ? AND number = ?",
                (steps, total / max(steps, 1), row.tuning, row.number),
            )
        return kept

    def begin_anew(self, row: TrialRow) -> TrialRow:
        """The job has lost its work: its reports are counted from one again, in place of the earlier ones."""
        self._update(row, "steps = 0, mean = 0")
        return replace(row, steps=0, mean=0.0)

    def peers(self, row: TrialRow, step: int) -> list[Peer]:
        """What the other jobs of the same definition reported at `step`."""
        rows = self._store.connection.execute(
            "SELECT r.objective, r.mean, t.status FROM sagemaker_tuning_reports r"
            " JOIN sagemaker_tuning_trials t ON t.tuning = r.tuning AND t.number = r.number"
            " WHERE r.tuning = ? AND r.definition = ? AND r.step = ? AND r.number != ?",
            (row.tuning, row.definition, step, row.number),
        )
        return [Peer(each["objective"], each["mean"], each["status"] not in RUNNING) for each in rows]

    def want_stop(self, row: TrialRow) -> None:
        """The search has no more use for the job."""
        self._update(row, "stop = 1")

    def stands(self, row: TrialRow, status: str) -> None:
        """The job's status while it is not over."""
        self._update(row, "status = ?", status)

    def end(self, row: TrialRow, status: str, ended: float, objective: float | None, reason: str | None) -> None:
        """The job's end. Only one that did not fail has an objective."""
        self._update(row, "status = ?, ended = ?, objective = ?, reason = ?", status, ended, objective, reason)

    def drop(self, row: TrialRow) -> None:
        """Give up a job that was only planned."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM sagemaker_tuning_trials WHERE tuning = ? AND number = ? AND status = ?",
                (row.tuning, row.number, PLANNED),
            )

    def forget(self, tuning: str) -> None:
        """Drop the trials of a tuning job; the training jobs stay."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_tuning_trials WHERE tuning = ?", (tuning,))
            connection.execute("DELETE FROM sagemaker_tuning_reports WHERE tuning = ?", (tuning,))

    def reset(self) -> None:
        """Drop everything."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_tuning_trials")
            connection.execute("DELETE FROM sagemaker_tuning_reports")

    def _update(self, row: TrialRow, assignments: str, *values: object) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                f"UPDATE sagemaker_tuning_trials SET {assignments} WHERE tuning = ? AND number = ?",  # noqa: S608 - from the calls above
                (*values, row.tuning, row.number),
            )


@functools.lru_cache(maxsize=20_000)  # a search of 10,000 jobs reads all of its rows again for each, mostly unchanged
def _row(row: tuple[Any, ...]) -> TrialRow:
    """The columns have the order of the members."""
    found = {member.name: value for member, value in zip(fields(TrialRow), row, strict=True)}
    tried, minimize, stop = json.loads(found["tried"]), bool(found["minimize"]), bool(found["stop"])
    return TrialRow(**{**found, "tried": tried, "minimize": minimize, "stop": stop})
