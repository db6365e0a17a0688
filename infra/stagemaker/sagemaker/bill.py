"""What jobs and endpoints would have cost on AWS, from what Describe answers from and the hours of endpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stagemaker.sagemaker import transitions
from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.endpoint_hours import EndpointHours, Hours
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.sagemaker.training_events import ON_INSTANCES, SPOT_BILLED_SHARE
from stagemaker.sagemaker.training_job import TRAINING_JOB
from stagemaker.sagemaker.transform_job import TRANSFORM_JOB
from stagemaker.store import Store


@dataclass(frozen=True, slots=True)
class Line:
    """A job, or `endpoint/NAME` and one of its instance types. `usd` and `saved` are None where no price is known.

    Seconds are those of one instance of a job, and those of all instances together that an endpoint has had.
    """

    region: str
    job: str
    instance_type: str
    instances: int
    training_seconds: int
    billable_seconds: int
    usd: float | None
    saved: float | None
    """What spot capacity has saved."""


def as_json(lines: Sequence[Line]) -> str:
    """A JSON object: `lines`, and the sums `usd` and `saved` of those whose price is known."""
    return json.dumps(
        {"lines": [asdict(line) for line in lines], "usd": _sum(lines, "usd"), "saved": _sum(lines, "saved")}
    )


def as_text(lines: Sequence[Line]) -> str:
    """A table for the terminal, at most 80 columns wide but for long names."""
    if not lines:
        return "No job or endpoint has had an instance yet: nothing to pay."
    rows = [f"{'job':<30} {'instances':<18} {'billed':>8} {'of':>8} {'USD':>10}"]
    for line in lines:
        instances = f"{line.instances} x {line.instance_type}"
        price = "no price" if line.usd is None else f"{line.usd:.4f}"
        rows.append(
            f"{line.job:<30} {instances:<18} {line.billable_seconds:>6} s {line.training_seconds:>6} s {price:>10}"
        )
    rows.append(f"{'total':<68} {_sum(lines, 'usd'):>10.4f}")
    if saved := _sum(lines, "saved"):
        rows.append(f"{'saved by spot capacity':<68} {saved:>10.4f}")
    rows.append("Prices of us-east-1 by the hour, from third-party tables: see datasets/instance-prices.")
    return "\n".join(rows)


def _sum(lines: Sequence[Line], member: str) -> float:
    return float(sum(getattr(line, member) or 0 for line in lines))


def bill(database: Path) -> list[Line]:
    """A line for each job that has had instances, training jobs first, the oldest first; then the endpoints.

    Prices are us-east-1's.
    """
    store = Store(database)
    try:
        return [*_lines(Documents(store, account="")), *map(_endpoint, Hours(store).all())]
    finally:
        store.close()


def _lines(documents: Documents) -> Iterator[Line]:
    for region, name, document in documents.all_of(TRAINING_JOB):
        if "TrainingStartTime" in document:
            yield _line(region, name, document["ResourceConfig"], *_seconds(document))
    for region, name, document in documents.all_of(TRANSFORM_JOB):
        if "TransformStartTime" in document:
            seconds = int(document.get("TransformEndTime", time.time()) - document["TransformStartTime"])
            yield _line(region, name, document["TransformResources"], seconds, seconds)


def _endpoint(hours: EndpointHours) -> Line:
    known = instance_types().get(hours.instance_type)
    return Line(
        hours.region,
        f"endpoint/{hours.endpoint}",
        hours.instance_type,
        hours.instances,
        int(hours.seconds),
        int(hours.seconds),
        usd=hours.seconds * known.usd_per_hour / 3600 if known else None,
        saved=0.0 if known else None,
    )


def _line(region: str, name: str, resources: Document, used: int, billed: int) -> Line:
    kind, count = resources["InstanceType"], resources["InstanceCount"]
    known = instance_types().get(kind)
    rate = known.usd_per_hour / 3600 * count if known else None
    return Line(
        region,
        name,
        kind,
        count,
        used,
        billed,
        usd=None if rate is None else billed * rate,
        saved=None if rate is None else (used - billed) * rate,
    )


def _seconds(document: Document) -> tuple[int, int]:
    """Training and billable seconds; of a job that still runs, those until now."""
    if "TrainingTimeInSeconds" in document:
        return document["TrainingTimeInSeconds"], document["BillableTimeInSeconds"]
    trained = transitions.seconds_in(document, ON_INSTANCES, until=time.time())
    share = SPOT_BILLED_SHARE if document["EnableManagedSpotTraining"] else 1
    return int(trained), int(trained * share)
