"""What an exception in a check means: the work falls short, or the check could not be made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from stagemaker_labs.checking import Wrong
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.run import CONNECTION_ERRORS
from stagemaker_labs.stage import INSTALL
from stagemaker_labs.text import one_line
from stagemaker_labs.trial import Trial
from stagemaker_labs.verdict import Outcome, needs

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "InvalidAccessKeyId", "UnrecognizedClientException"})


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check that raised, with its card or the reason for which it was skipped."""

    outcome: Outcome
    card: Card | None = None
    reason: str = ""


def of_exception(trial: Trial, excinfo: pytest.ExceptionInfo[BaseException], description: str) -> Finding:
    """What the exception says about the check with `description`.

    `wrong`, a plain assertion and `pytest.fail` are findings about the work. All else, a refused call included, means
    that the check could not be made; the traceback then goes to a file.
    """
    error = excinfo.value
    if isinstance(error, pytest.skip.Exception):
        return Finding(Outcome.SKIPPED, reason=one_line(str(error.msg)))
    if isinstance(error, Wrong):
        # A fixture that several checks share raises the same object for each: one finding, told once.
        first = trial.first_to_find(error, description)
        return (
            Finding(Outcome.FAILED, error.card)
            if first == description
            else Finding(Outcome.SKIPPED, None, needs(first))
        )
    if isinstance(error, Problem):
        return Finding(Outcome.ERROR, error.card)
    if isinstance(error, (AssertionError, pytest.fail.Exception)):
        said = str(error).strip().splitlines() or ["what the check asserts does not hold"]
        return Finding(Outcome.FAILED, Card(found=one_line(said[0]), expected=description))
    return Finding(Outcome.ERROR, _could_not_check(trial, excinfo))


def unreadable_checks(trial: Trial, trace: str) -> Card:
    """The card for a checks.py that cannot be imported: the lab's fault, or a package that is missing."""
    errors = [line.removeprefix("E ") for line in trace.splitlines() if line.startswith("E ")]
    found = one_line(errors[-1]) if errors else "it cannot be imported"
    missing = "ModuleNotFoundError" in found
    return Card(
        looked_at=f"checks.py of lab {trial.lab.number}",
        found=found,
        expected="checks that can be asked",
        likely="a package that the checks use is not installed" if missing else "a fault of the lab, not of your work",
        next=f"{INSTALL}, then: pytest labs/{trial.lab.number}" if missing else "report it with the file below",
        detail=_trace_line(trial, trace),
        title="the lab's checks cannot be read",
    )


def _could_not_check(trial: Trial, excinfo: pytest.ExceptionInfo[BaseException]) -> Card:
    error: Any = excinfo.value
    detail = _trace_line(trial, str(excinfo.getrepr(style="long")))
    names = {base.__name__ for base in type(error).__mro__}
    if names & CONNECTION_ERRORS:
        gone = trial.target_went_away()
        if gone:
            return gone.card
    operation = getattr(error, "operation_name", "")
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", "")) if operation else ""
    if code in DENIED:
        likely = "the key that the checks use may not do this: was a policy of the learner's changed?"
    elif names & CONNECTION_ERRORS:
        likely = "the stage is busy, or the network is"
    else:
        likely = "a fault of the lab or of the workbench, not of your work"
    return Card(
        looked_at=f"the answer to {operation}" if operation else "the account",
        found=one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__),
        expected="an answer that can be judged",
        likely=likely,
        next=f"pytest labs/{trial.lab.number} once more; report it with the file below if it stays",
        detail=detail,
    )


def _trace_line(trial: Trial, trace: str) -> tuple[str, ...]:
    try:
        return (f"full traceback: {os.path.relpath(trial.keep_trace(trace))}",)
    except OSError:
        return ()
