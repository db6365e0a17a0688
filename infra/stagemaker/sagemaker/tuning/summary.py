"""Training jobs as a tuning job shows them: BestTrainingJob and ListTrainingJobsForHyperParameterTuningJob."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.listing import DEFAULT_PAGE, page_token, read_token
from stagemaker.sagemaker.training.job import TRAINING_JOB
from stagemaker.sagemaker.tuning.definition import Definition
from stagemaker.sagemaker.tuning.trials import TrialRow
from stagemaker.search.ranges import texts

_COPIED = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "FailureReason",
)
_SORT_COLUMNS = {
    "Name": "r.name",
    "CreationTime": "r.created",
    "Status": "r.status",
    "FinalObjectiveMetricValue": "t.objective",
}


def summary(row: TrialRow, job: Document, definition: Definition) -> dict[str, Any]:
    """A HyperParameterTrainingJobSummary."""
    found: dict[str, Any] = {name: job[name] for name in _COPIED if name in job}
    found |= {"TunedHyperParameters": texts(row.tried), "ObjectiveStatus": row.objective_status}
    if definition.name is not None:
        found["TrainingJobDefinitionName"] = definition.name
    if row.objective is not None:
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": definition.objective_type,
            "MetricName": row.metric,
            "Value": row.objective,
        }
    return found


def list_training_jobs(
    documents: Documents,
    region: str,
    tuning: str,
    parameters: Mapping[str, Any],
    trials: Mapping[str, TrialRow],
    definitions: list[Definition],
) -> dict[str, Any]:
    """A page of summaries. Sorted by the objective, jobs without one are left out, as the API reference says."""
    column = _SORT_COLUMNS[parameters.get("SortBy", "Name")]
    clauses, values = ["t.tuning = ?"], [tuning]
    if status := parameters.get("StatusEquals"):
        clauses.append("r.status = ?")
        values.append(status)
    if column == "t.objective":
        clauses.append("t.objective IS NOT NULL")
    descending = parameters.get("SortOrder") == "Descending"
    query = [tuning, column, descending, status]
    if token := parameters.get("NextToken"):
        clauses.append(f"({column}, r.name) {'<' if descending else '>'} (?, ?)")
        values.extend(read_token(token, query))
    order, page = "DESC" if descending else "ASC", parameters.get("MaxResults", DEFAULT_PAGE)
    rows = documents.store.connection.execute(
        f"SELECT {column} AS position, r.name, r.document FROM sagemaker_tuning_trials t"  # noqa: S608 - from the tables above
        " JOIN sagemaker_resources r ON r.region = ? AND r.family = ? AND r.name = t.job"
        f" WHERE {' AND '.join(clauses)} ORDER BY {column} {order}, r.name {order} LIMIT ?",
        (region, TRAINING_JOB.noun, *values, page + 1),
    ).fetchall()
    found = [
        summary(row := trials[each["name"]], json.loads(each["document"]), definitions[row.definition])
        for each in rows[:page]
    ]
    answer: dict[str, Any] = {"TrainingJobSummaries": found}
    if len(rows) > page:
        answer["NextToken"] = page_token(query, rows[page - 1]["position"], rows[page - 1]["name"])
    return answer
