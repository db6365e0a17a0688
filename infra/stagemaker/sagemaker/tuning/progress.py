"""How a tuning job stands, from its trials: counters, the best job, and whether it is done."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.tuning.trials import INTERNAL, TrialRow
from stagemaker.search import completion

ENDING = "Ending"
"""The member of the document (Describe does not show it) that keeps an End while the last jobs are being stopped:
what they still report changes nothing."""
ATTEMPTS = 5
"""Training jobs after which a tuning job with nothing to show gives up."""
_ALL_FAILED = "All training jobs failed."


@dataclass(frozen=True, slots=True)
class End:
    """The status that a tuning job ends in, and why it failed."""

    status: str
    reason: str | None = None


def apply(document: Document, rows: Sequence[TrialRow]) -> None:
    """Counters and completion details, which follow from the trials."""
    document["TrainingJobStatusCounters"] = _status_counters(rows)
    document["ObjectiveStatusCounters"] = {
        status: sum(row.objective_status == status for row in rows) for status in ("Succeeded", "Pending", "Failed")
    }
    objectives, minimize = _objectives(rows), _minimize(rows)
    details = document.setdefault("TuningJobCompletionDetails", {})
    details["NumberOfTrainingJobsObjectiveNotImproving"] = completion.not_improving(objectives, minimize=minimize)
    if completion.converged(objectives, minimize=minimize):
        details.setdefault("ConvergenceDetectedTime", round(time.time(), 3))


def best(rows: Sequence[TrialRow]) -> TrialRow | None:
    """The trial with the best objective, the earliest of equals."""
    scored = [row for row in rows if row.objective is not None]
    pick = min if _minimize(rows) else max
    return pick(scored, key=lambda row: row.objective or 0.0) if scored else None


def why_end(document: Document, rows: Sequence[TrialRow]) -> End | None:
    """Why the tuning job is to end before all of its jobs have run; None to go on."""
    if document["HyperParameterTuningJobStatus"] == "Stopping":
        return End("Stopped")
    if decided := document.get(ENDING):
        return End(**decided)
    if reason := _failure(rows, ATTEMPTS):
        return End("Failed", reason)
    if _criteria_met(document, rows):
        return End("Completed")
    if (left := seconds_left(document)) is not None and left <= 0:
        return End("Stopped")
    return None


def last_end(rows: Sequence[TrialRow]) -> End:
    """How a tuning job ends whose jobs have all run."""
    reason = _failure(rows, 0)
    return End("Failed", reason) if reason else End("Completed")


def seconds_left(document: Document) -> float | None:
    """Until MaxRuntimeInSeconds is over; None without a limit."""
    limit = document["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxRuntimeInSeconds")
    return None if limit is None else float(document["CreationTime"] + limit - time.time())


def _status_counters(rows: Sequence[TrialRow]) -> dict[str, int]:
    counters = {"Completed": 0, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    for row in rows:
        if not row.is_over:
            counters["InProgress"] += 1
        elif row.status == "Failed":
            counters["RetryableError" if (row.reason or "").startswith(INTERNAL) else "NonRetryableError"] += 1
        else:
            counters[row.status] += 1
    return counters


def _failure(rows: Sequence[TrialRow], attempts: int) -> str | None:
    """Why a search has nothing to show, once `attempts` jobs are over. AWS's words."""
    over = [row for row in rows if row.is_over]
    if len(over) < attempts or any(row.objective is not None for row in over):
        return None
    if any(row.status != "Failed" for row in over):
        return (
            f"No objective metrics found after running {len(over)} training jobs. Please ensure that the custom "
            "algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    tried = f"No training job succeeded after {ATTEMPTS} attempts." if len(over) >= ATTEMPTS else _ALL_FAILED
    return f"{tried} Please take a look at the training job failures to get more details."


def _criteria_met(document: Document, rows: Sequence[TrialRow]) -> bool:
    criteria: Mapping[str, Any] = document["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria", {})
    objectives, minimize, top = _objectives(rows), _minimize(rows), best(rows)
    if top is None or top.objective is None:
        return False
    target = criteria.get("TargetObjectiveMetricValue")
    if target is not None and completion.reached(top.objective, target, minimize=minimize):
        return True
    patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    if patience is not None and completion.not_improving(objectives, minimize=minimize) >= patience:
        return True
    wants = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled" or "Autotune" in document
    return wants and "ConvergenceDetectedTime" in document.get("TuningJobCompletionDetails", {})


def _objectives(rows: Sequence[TrialRow]) -> list[float]:
    """In the order in which the jobs ended."""
    ended = sorted((row for row in rows if row.objective is not None), key=lambda row: (row.ended or 0.0, row.number))
    return [row.objective for row in ended if row.objective is not None]


def _minimize(rows: Sequence[TrialRow]) -> bool:
    return bool(rows) and rows[0].minimize
