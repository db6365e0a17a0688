"""The verdict as data: what became of the learner's file and of each check, to and from JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from stagemaker_labs.problem import Card

FORMAT = 1
"""Version of the JSON; a reader refuses another."""

RUN_DESCRIPTION = "work/lab.py runs to its end"
"""The line of the list for a run that did not."""

PASSED_EXIT, FAILED_EXIT, COULD_NOT_CHECK_EXIT = 0, 1, 6


class Outcome(StrEnum):
    """What became of a check. ERROR: it could not be judged, which says nothing about the learner's work."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


class RunState(StrEnum):
    """Whether `work/lab.py` was run, and why not."""

    RAN = "ran"
    UNCHANGED = "unchanged"
    STARTER = "starter"
    MISSING = "missing"
    NOT_ASKED = "not asked"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Run:
    """What became of `work/lab.py`: `note` is the line of the verdict, `output` the last lines that it printed.

    `outcome` is SKIPPED when it was not run; `seconds` is wall time; `output_lines` counts all that it printed.
    """

    state: RunState
    outcome: Outcome
    note: str
    seconds: float = 0.0
    card: Card | None = None
    output: tuple[str, ...] = ()
    output_lines: int = 0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: `name` of the function, `description` as the learner reads it.

    `reason` says why it was skipped, such as `needs: ` and the description of the check that it stands on.
    """

    name: str
    description: str
    outcome: Outcome
    seconds: float = 0.0
    card: Card | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one lab on one target. `started` is wall time in ISO 8601, UTC; `cost_on_aws` in US dollars.

    `unasked` counts checks that an option such as `-k` or `-x` left out. `notes` are shown under the foot.
    """

    number: str
    slug: str
    title: str
    target: str
    fidelity: str
    run: Run
    checks: tuple[CheckResult, ...]
    started: str
    seconds: float
    cost_on_aws: float
    unasked: int = 0
    notes: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What asks the checks again, on this target."""
        return f"pytest labs/{self.number}" + ("" if self.target == "local" else f" --target {self.target}")

    def count(self, outcome: Outcome) -> int:
        """How many checks came out so; a run of `work/lab.py` that went wrong counts like a check."""
        checks = sum(check.outcome is outcome for check in self.checks)
        run_counts = outcome in {Outcome.FAILED, Outcome.ERROR} and self.run.outcome is outcome
        return checks + run_counts

    @property
    def outcome(self) -> Outcome:
        """ERROR when anything could not be checked, else FAILED when anything failed, else PASSED.

        An error comes first, since a failure beside it may be its consequence: the verdict is then no judgement.
        SKIPPED when nothing at all was asked.
        """
        for outcome in (Outcome.ERROR, Outcome.FAILED, Outcome.PASSED):
            if self.count(outcome):
                return outcome
        return Outcome.SKIPPED

    @property
    def worked(self) -> bool:
        """Whether `work/lab.py` has run to its end, now or before: only then is the lab's cost that of this work."""
        return self.run.state is RunState.UNCHANGED or self.run.outcome is Outcome.PASSED

    @property
    def complete(self) -> bool:
        """Whether every check of the lab was asked."""
        return self.unasked == 0

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 6 could not check."""
        return {Outcome.ERROR: COULD_NOT_CHECK_EXIT, Outcome.FAILED: FAILED_EXIT}.get(self.outcome, PASSED_EXIT)

    def check(self, name: str) -> CheckResult:
        """The result of the check function `name`. Raises KeyError."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)


def needs(description: str) -> str:
    """Why a check was skipped that stands on the one with `description`."""
    return f"needs: {description}"


def to_json(verdicts: Iterable[Verdict]) -> str:
    """The verdicts as a JSON text: `{"format": 1, "verdicts": [...]}`, each with its `outcome` and `exit_code`."""
    listed = [
        {**dataclasses.asdict(verdict), "outcome": verdict.outcome, "exit_code": verdict.exit_code}
        for verdict in verdicts
    ]
    return json.dumps({"format": FORMAT, "verdicts": listed}, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> list[Verdict]:
    """The verdicts in `text`. Raises ValueError when it is no verdict of this format."""
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise ValueError(f"a verdict of format {told['format']}; this version reads {FORMAT}")
        return [_verdict(each) for each in told["verdicts"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no verdict: {error!r}") from error


def write(file: Path, verdicts: Iterable[Verdict]) -> None:
    """Write the verdicts to `file` in one step, so that a reader never sees half of them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    # A file name in a card may hold bytes that are no text; as an escape they are still JSON.
    part.write_bytes(to_json(verdicts).encode("utf-8", "backslashreplace"))
    part.replace(file)


def _verdict(told: Mapping[str, Any]) -> Verdict:
    run, names = told["run"], {field.name for field in dataclasses.fields(Verdict)}
    return Verdict(
        **{
            **{name: told[name] for name in names},
            "notes": tuple(told["notes"]),
            "run": Run(
                **{
                    **run,
                    "state": RunState(run["state"]),
                    "outcome": Outcome(run["outcome"]),
                    "card": _card(run["card"]),
                    "output": tuple(run["output"]),
                }
            ),
            "checks": tuple(
                CheckResult(**{**check, "outcome": Outcome(check["outcome"]), "card": _card(check["card"])})
                for check in told["checks"]
            ),
        }
    )


def _card(told: Mapping[str, Any] | None) -> Card | None:
    return None if told is None else Card(**{**told, "detail": tuple(told["detail"])})
