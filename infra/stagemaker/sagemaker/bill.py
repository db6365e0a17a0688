"""What jobs and endpoints would have cost on AWS, from what Describe answers from and the hours of endpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.hosting.endpoint_hours import EndpointHours, Hours
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.sagemaker.training import transitions
from stagemaker.sagemaker.training.events import ON_INSTANCES, SPOT_BILLED_SHARE
from stagemaker.sagemaker.training.job import TRAINING_JOB
from stagemaker.sagemaker.training.ledger import Ledger
from stagemaker.sagemaker.training.warm_pools import retained_seconds
from stagemaker.sagemaker.transform.job import TRANSFORM_JOB
from stagemaker.store import Store

ENDPOINT = "endpoint/"
"""Before the name of an endpoint, which may be that of a job too."""


@dataclass(frozen=True, slots=True)
class Line:
    """A job, or `endpoint/NAME` and one of its instance types. `usd` and `saved` are None where no price is known.

    Seconds are those of one instance of a job, and those of all instances together that an endpoint has had.
    """

    region: str
    job: str
    output: str
    """Its S3OutputPath."""
    instance_type: str
    instances: int
    training_seconds: int
    billable_seconds: int
    usd: float | None
    saved: float | None
    """What spot capacity has saved."""
    retained_seconds: int = 0
    """Those that the job's warm pool waited for the next job; they cost the same."""

    def belongs_to(self, prefix: str) -> bool:
        """Whether the job's or endpoint's name, or that of the output's bucket, begins with the words of `prefix`."""
        names = self.job.removeprefix(ENDPOINT), self.output.partition("://")[2].partition("/")[0]
        return any(f"{name}-".startswith(f"{prefix}-") for name in names)


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that belong together, such as a lab's, by the prefix of their names. `lines` may be none."""

    title: str
    lines: tuple[Line, ...]


def grouped(lines: Sequence[Line], prefixes: Mapping[str, str]) -> list[Group]:
    """`lines` by the titles whose prefix they have, and last those of no prefix, with an empty title."""
    groups, rest = [], list(lines)
    for prefix, title in prefixes.items():
        groups.append(Group(title, tuple(line for line in rest if line.belongs_to(prefix))))
        rest = [line for line in rest if not line.belongs_to(prefix)]
    return [*groups, Group("", tuple(rest))]


def as_json(groups: Sequence[Group]) -> str:
    """A JSON object: `lines`, the sums `usd` and `saved` of those whose price is known, and the same by `groups`."""
    lines = [line for group in groups for line in group.lines]
    told = [{"title": group.title, **_sums(group.lines)} for group in groups if group.lines]
    return json.dumps({**_sums(lines), "groups": told})


def as_text(groups: Sequence[Group]) -> str:
    """A table for the terminal, at most 80 columns wide but for long names."""
    lines = [line for group in groups for line in group.lines]
    if not lines:
        return "No job or endpoint has had an instance yet: nothing to pay."
    rows = [f"{'job':<30} {'instances':<18} {'billed':>8} {'of':>8} {'USD':>10}"]
    titled = any(group.title for group in groups if group.lines)
    for group in groups:
        if titled and group.lines:
            rows.append(group.title or "other jobs")
        rows += [_row(line, indent=2 if titled else 0) for line in group.lines]
        if titled and group.lines:
            rows += _total("  together", group.lines)
    rows += _total("total", lines)
    if retained := _sum(lines, "retained_seconds"):
        rows.append(f"{'in it, warm pools that waited':<50} {retained:>6.0f} s")
    rows.append("Prices of us-east-1 by the hour, from third-party tables: see datasets/instance-prices.")
    return "\n".join(rows)


def _row(line: Line, indent: int) -> str:
    instances = f"{line.instances} x {line.instance_type}"
    price = "no price" if line.usd is None else f"{line.usd:.4f}"
    name = " " * indent + line.job
    return f"{name:<30} {instances:<18} {line.billable_seconds:>6} s {line.training_seconds:>6} s {price:>10}"


def _total(words: str, lines: Sequence[Line]) -> list[str]:
    rows = [f"{words:<68} {_sum(lines, 'usd'):>10.4f}"]
    if saved := _sum(lines, "saved"):
        indent = " " * (len(words) - len(words.lstrip()))
        rows.append(f"{indent + 'saved by spot capacity':<68} {saved:>10.4f}")
    return rows


def _sums(lines: Sequence[Line]) -> dict[str, Any]:
    return {"lines": [asdict(line) for line in lines], "usd": _sum(lines, "usd"), "saved": _sum(lines, "saved")}


def _sum(lines: Sequence[Line], member: str) -> float:
    return float(sum(getattr(line, member) or 0 for line in lines))


def bill(database: Path) -> list[Line]:
    """A line for each job that has had instances, deleted ones too, by their creation; then the endpoints.

    Prices are us-east-1's.
    """
    store = Store(database)
    try:
        documents = Documents(store, account="")
        trainings = [*Ledger(store).jobs(), *documents.all_of(TRAINING_JOB)]
        lines = [(job[2]["CreationTime"], line) for job in trainings for line in _training(*job)]
        transforms = documents.all_of(TRANSFORM_JOB)
        lines += [(job[2]["CreationTime"], line) for job in transforms for line in _transform(*job)]
        jobs = [line for _, line in sorted(lines, key=lambda dated: dated[0])]
        return [*jobs, *map(_endpoint, Hours(store).all())]
    finally:
        store.close()


def _training(region: str, name: str, document: Document) -> Iterator[Line]:
    if "TrainingStartTime" in document:
        output = document["OutputDataConfig"]["S3OutputPath"]
        trained, billed = _seconds(document)
        retained = retained_seconds(document, time.time())
        yield _line(region, name, output, document["ResourceConfig"], trained, billed, retained)


def _transform(region: str, name: str, document: Document) -> Iterator[Line]:
    if "TransformStartTime" in document:
        output = document["TransformOutput"]["S3OutputPath"]
        seconds = int(document.get("TransformEndTime", time.time()) - document["TransformStartTime"])
        yield _line(region, name, output, document["TransformResources"], seconds, seconds)


def _endpoint(hours: EndpointHours) -> Line:
    known = instance_types().get(hours.instance_type)
    return Line(
        hours.region,
        f"{ENDPOINT}{hours.endpoint}",
        "",
        hours.instance_type,
        hours.instances,
        int(hours.seconds),
        int(hours.seconds),
        usd=hours.seconds * known.usd_per_hour / 3600 if known else None,
        saved=0.0 if known else None,
    )


def _line(region: str, name: str, output: str, resources: Document, used: int, billed: int, retained: int = 0) -> Line:
    kind, count = resources["InstanceType"], resources["InstanceCount"]
    known = instance_types().get(kind)
    rate = known.usd_per_hour / 3600 * count if known else None
    return Line(
        region,
        name,
        output,
        kind,
        count,
        used,
        billed,
        usd=None if rate is None else (billed + retained) * rate,
        saved=None if rate is None else (used - billed) * rate,
        retained_seconds=retained,
    )


def _seconds(document: Document) -> tuple[int, int]:
    """Training and billable seconds; of a job that still runs, those until now."""
    if "TrainingTimeInSeconds" in document:
        return document["TrainingTimeInSeconds"], document["BillableTimeInSeconds"]
    trained = transitions.seconds_in(document, ON_INSTANCES, until=time.time())
    share = SPOT_BILLED_SHARE if document["EnableManagedSpotTraining"] else 1
    return int(trained), int(trained * share)
