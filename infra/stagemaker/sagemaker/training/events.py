"""What a job's record means for its document."""

from __future__ import annotations

from datetime import UTC, datetime

from stagemaker.jobs.record import EndEvent, Event, LogEvent, MetricEvent, StatusEvent, UsageEvent
from stagemaker.ports import Datum
from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.training import transitions

SPOT_BILLED_SHARE = 0.34
"""Billed seconds of a spot job for each second of training. AWS's share goes with the market; this one is ours."""

_BEFORE_STOPPING = frozenset({"Pending", "Starting", "Downloading", "Training"})
ON_INSTANCES = frozenset({"Downloading", "Training", "Uploading", "Stopping"})
"""The secondary statuses in which the job has instances of its own, and pays for them."""


def apply(document: Document, event: Event) -> None:
    """What an event of the record means for the job's document."""
    match event:
        case StatusEvent():
            apply_status(document, event)
        case EndEvent():
            apply_end(document, event)
        case MetricEvent():
            apply_metric(document, event)
        case LogEvent() | UsageEvent():
            return


def metric_data(job: str, event: Event) -> list[Datum]:
    """What CloudWatch is to know of an event: the algorithm's metrics, and each host's use of its machine."""
    time = datetime.fromtimestamp(event.time, tz=UTC)
    match event:
        case MetricEvent():
            return [Datum(event.name, event.value, time, {"TrainingJobName": job})]
        case UsageEvent():
            host = {"Host": f"{job}/{event.host}"}
            values = {"CPUUtilization": event.cpu, "MemoryUtilization": event.memory, "DiskUtilization": event.disk}
            return [Datum(name, value, time, host, "Percent") for name, value in values.items()]
    return []


def apply_status(document: Document, event: StatusEvent) -> None:
    """A secondary status. A job that is asked to stop never seems to go back to work."""
    if document["TrainingJobStatus"] == "Stopping" and event.status in _BEFORE_STOPPING:
        return
    if event.status == "Stopping":
        document["TrainingJobStatus"] = "Stopping"
    if event.status in {"Downloading", "Training"}:
        # Billing begins when the instances are the job's own, which is when its input starts to come.
        document.setdefault("TrainingStartTime", event.time)
    transitions.enter(document, event.status, event.message, event.time)


def apply_end(document: Document, event: EndEvent) -> None:
    """The end: times, seconds, the artifact, the reason of a failure."""
    document["TrainingJobStatus"] = event.status
    if event.reason:
        document["FailureReason"] = event.reason
    if event.model_artifacts:
        document["ModelArtifacts"] = {"S3ModelArtifacts": event.model_artifacts}
    document["TrainingEndTime"] = event.time
    transitions.end(document, event.secondary, event.message, event.time)
    if "TrainingStartTime" in document:
        seconds = transitions.seconds_in(document, ON_INSTANCES)
        document["TrainingTimeInSeconds"] = int(seconds)
        # Wall-clock seconds of one instance; the price is theirs times InstanceCount. For spot capacity
        # AWS shows fewer seconds instead of a lower price.
        share = SPOT_BILLED_SHARE if document["EnableManagedSpotTraining"] else 1
        document["BillableTimeInSeconds"] = int(seconds * share)


def apply_metric(document: Document, event: MetricEvent) -> None:
    """FinalMetricDataList holds the last value of each metric."""
    final = document.setdefault("FinalMetricDataList", [])
    value = {"MetricName": event.name, "Value": event.value, "Timestamp": event.time}
    for position, present in enumerate(final):
        if present["MetricName"] == event.name:
            final[position] = value
            return
    final.append(value)
