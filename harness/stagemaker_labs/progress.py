"""What the workbench remembers of a lab, in `work/.stagemaker/progress.json`: readable, and safe to delete."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagemaker_labs.digest import Entry
from stagemaker_labs.verdict import Outcome, Verdict

PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of `work/lab.py` on one target: what it ran with, so that a change can be told.

    `settings` holds what is no file: the stage's id, the prefix, the bucket. `finished` is ISO 8601, UTC.
    """

    run: str
    finished: str
    seconds: float
    ended_well: bool
    settings: dict[str, str] = field(default_factory=dict)
    work: dict[str, Entry] = field(default_factory=dict)
    data: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a learner is: hints seen, verdicts, the last run by target, the stage on which the scene was set.

    `reset_at` is when the lab was begun again (ISO 8601, UTC); empty when it never was.
    """

    hints_seen: int = 0
    attempts: int = 0
    first_passed: str = ""
    last_outcome: str = ""
    last_checked: str = ""
    checks_passed: int = 0
    checks: int = 0
    scene_set_on: str = ""
    reset_at: str = ""
    last_run_id: str = ""
    last_runs: dict[str, LastRun] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """One word or two for the map."""
        if self.last_outcome == Outcome.PASSED:
            return "passed"
        if self.first_passed:
            return "passed before"
        if self.last_outcome == Outcome.FAILED:
            return f"{self.checks_passed} of {self.checks}"
        return "started"

    def with_verdict(self, verdict: Verdict) -> Progress:
        """The progress after `verdict`. One that could not check, or that left checks out, is no attempt."""
        if verdict.outcome in {Outcome.ERROR, Outcome.SKIPPED} or not verdict.complete:
            return self
        passed = verdict.outcome is Outcome.PASSED
        return dataclasses.replace(
            self,
            attempts=self.attempts + 1,
            first_passed=self.first_passed or (verdict.started if passed else ""),
            last_outcome=verdict.outcome.value,
            last_checked=verdict.started,
            checks_passed=sum(check.outcome is Outcome.PASSED for check in verdict.checks),
            checks=len(verdict.checks),
        )


def load(hidden: Path) -> Progress:
    """The progress kept in `hidden`; a fresh one when there is none or it cannot be read."""
    try:
        told = json.loads((hidden / PROGRESS_FILE).read_text(encoding="utf-8"))
        runs = {target: _last_run(run) for target, run in told.pop("last_runs").items()}
        progress = Progress(**told, last_runs=runs)
        if progress.last_run_id:
            int(progress.last_run_id, 36)
        if progress.reset_at and datetime.fromisoformat(progress.reset_at).tzinfo is None:
            raise ValueError("a time without its zone")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # Someone edited it, or an older version wrote it: the account is the truth, this is only a memory.
        return Progress()
    return progress


def save(hidden: Path, progress: Progress) -> None:
    """Write the progress in one step."""
    hidden.mkdir(parents=True, exist_ok=True)
    part = hidden / (PROGRESS_FILE + ".part")
    part.write_text(json.dumps(dataclasses.asdict(progress), indent=2) + "\n", encoding="utf-8")
    part.replace(hidden / PROGRESS_FILE)


def update(hidden: Path, **changes: Any) -> None:
    """Change some fields of the progress kept in `hidden`."""
    save(hidden, dataclasses.replace(load(hidden), **changes))


def now() -> str:
    """Wall time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _last_run(told: dict[str, Any]) -> LastRun:
    entries = {key: {name: Entry(**entry) for name, entry in told[key].items()} for key in ("work", "data")}
    return LastRun(**{**told, **entries})
