"""Training jobs: Create, Stop, and what a job's record means for its document."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.record import EndEvent, Entry, Event, LogEvent, MetricEvent, StatusEvent
from stagemaker.jobs.spec import MetricDefinition, Program, TrainingSpec
from stagemaker.jobs.supervisor import Supervisor, remove
from stagemaker.ports import Credentials, Datum, Logs, Metrics, Objects, PortError, Roles
from stagemaker.sagemaker import training_request, transitions
from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.family import Family, requested_resource_not_found
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Context

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
METRIC_NAMESPACE = "/aws/sagemaker/TrainingJobs"
STOP_GRACE_SECONDS = 120.0

TRAINING_JOB = Family(
    noun="TrainingJob",
    arn_type="training-job",
    transitional=frozenset({"InProgress", "Stopping"}),
    missing=requested_resource_not_found,
    exists=lambda arn: AwsError(
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, "
        f"and a training job with this name already exists ({arn})",
    ),
)

_BEFORE_STOPPING = frozenset({"Pending", "Starting", "Downloading", "Training"})
_OFFSETS = """
CREATE TABLE IF NOT EXISTS sagemaker_job_offsets (
    directory TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""


class Images(Protocol):
    """The images that this stage can run."""

    def program(self, image: str) -> Program:
        """What runs for `image`; a Program with a `problem` when there is none."""
        ...

    def metric_definitions(self, image: str) -> tuple[MetricDefinition, ...] | None:
        """The definitions that the service itself adds; None when `image` is no algorithm of AWS's."""
        ...


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What training jobs need of the other services."""

    roles: Roles
    objects: Objects
    metrics: Metrics
    logs: Logs
    images: Images


class TrainingJobs:
    """The training jobs of the account. Their folders lie below `folder`."""

    def __init__(
        self,
        documents: Documents,
        neighbours: Neighbours,
        folder: Path,
        stage_file: Path,
        *,
        slots: int,
        threads: int,
        stop_grace: float = STOP_GRACE_SECONDS,
    ) -> None:
        self.documents = documents
        self.neighbours = neighbours
        self.folder = folder
        self.stage_file = stage_file
        self.threads = threads
        self.stop_grace = stop_grace
        self.supervisor = Supervisor(self._fold, slots=slots)
        documents.store.connection.executescript(_OFFSETS)

    async def start(self) -> None:
        """Look after the jobs that were not over when the stage last stopped."""
        for region, name, _document in list(self.documents.in_transition(TRAINING_JOB)):
            directory = self._directory(region, name)
            self.supervisor.resume(directory, self._offset(directory))
        await self.supervisor.start()

    async def stop(self) -> None:
        """Leave the jobs to their runners."""
        await self.supervisor.stop()

    def reset(self) -> None:
        """End and forget every job."""
        self.supervisor.forget_all()
        remove(JobDirectory(self.folder))
        with self.documents.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_job_offsets")

    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob. The job is on disk, and durable, when this returns."""
        refuse_unhonoured(parameters, training_request.HONOURED_MEMBERS)
        training_request.check(parameters)
        name, region, role = parameters["TrainingJobName"], context.region, parameters["RoleArn"]
        arn = TRAINING_JOB.arn(region, self.documents.account, name)
        if self.documents.find(TRAINING_JOB, region, name) is not None:
            raise TRAINING_JOB.exists(arn)
        spec = self._spec(parameters, arn, region)
        credentials = await self._assume(role, region)
        for channel in spec.channels:
            await self._check_input(str(channel.source), role, region, credentials)
        document = _document(parameters, arn, spec)
        directory = self._directory(region, name)
        remove(directory)  # a folder without a document was never acknowledged
        directory.root.mkdir(parents=True)
        spec.save(directory.spec)
        _save_credentials(directory.credentials, credentials)
        tags = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])}
        self.documents.create(TRAINING_JOB, region, name, document, tags)
        self.supervisor.submit(directory)
        return {"TrainingJobArn": arn}

    async def stop_job(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopTrainingJob. A job that is over refuses; one that is stopping goes on doing so."""
        region, name = context.region, parameters["TrainingJobName"]
        document = self.documents.get(TRAINING_JOB, region, name)
        status = document["TrainingJobStatus"]
        if status not in TRAINING_JOB.transitional:
            raise ValidationError(f"The request was rejected because the training job is in status {status}.")
        if status != "Stopping":
            document["TrainingJobStatus"] = "Stopping"
            transitions.enter(document, "Stopping", "Stopping the training job", time.time())
            self.documents.save(TRAINING_JOB, region, name, document)
        self.supervisor.request_stop(self._directory(region, name))
        return {}

    def _spec(self, parameters: dict[str, Any], arn: str, region: str) -> TrainingSpec:
        algorithm, images = parameters["AlgorithmSpecification"], self.neighbours.images
        image = algorithm["TrainingImage"]
        own = images.metric_definitions(image)
        if own is not None and algorithm.get("MetricDefinitions"):
            raise ValidationError(
                "You can't override the metric definitions for Amazon SageMaker algorithms. "
                "Please retry the request without specifying metric definitions."
            )
        given = (MetricDefinition(entry["Name"], entry["Regex"]) for entry in algorithm.get("MetricDefinitions", []))
        stopping = parameters.get("StoppingCondition", {})
        return TrainingSpec(
            name=parameters["TrainingJobName"],
            arn=arn,
            region=region,
            program=images.program(image),
            hyperparameters=parameters.get("HyperParameters", {}),
            channels=training_request.channels(parameters),
            output=training_request.s3_uri(parameters["OutputDataConfig"]["S3OutputPath"], "S3OutputPath"),
            environment=parameters.get("Environment", {}),
            metrics=own if own is not None else tuple(given),
            instance_type=parameters["ResourceConfig"]["InstanceType"],
            max_runtime=stopping.get("MaxRuntimeInSeconds", training_request.DEFAULT_MAX_RUNTIME),
            stop_grace=self.stop_grace,
            threads=self.threads,
            stage_file=self.stage_file,
        )

    async def _assume(self, role: str, region: str) -> Credentials:
        try:
            return await self.neighbours.roles.assume(role, region=region, session_name="SageMaker")
        except PortError as error:
            raise ValidationError(
                f"Could not assume role {role}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role."
            ) from error

    async def _check_input(self, uri: str, role: str, region: str, credentials: Credentials) -> None:
        source = training_request.s3_uri(uri, "InputDataConfig")
        try:
            found = await self.neighbours.objects.any_object(
                source.bucket, source.key, region=region, credentials=credentials
            )
        except PortError:
            found = False  # AWS gives the same message for a bucket that is missing or closed
        if not found:
            raise ValidationError(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
                f"exists in the selected region ({region}), that objects exist under that S3 prefix, and that the role "
                f'"{role}" has "s3:ListBucket" permissions on bucket "{source.bucket}".'
            )

    def _directory(self, region: str, name: str) -> JobDirectory:
        return JobDirectory(self.folder / region / name)

    def _offset(self, directory: JobDirectory) -> int:
        row = self.documents.store.connection.execute(
            "SELECT offset FROM sagemaker_job_offsets WHERE directory = ?", (str(directory.root),)
        ).fetchone()
        return int(row["offset"]) if row else 0

    def _fold(self, directory: JobDirectory, entries: Sequence[Entry]) -> None:
        """Let the entries of a record take their effect, once: the offset is kept in the same transaction."""
        region, name = directory.root.parent.name, directory.root.name
        with self.documents.store.transaction() as connection:
            document = self.documents.find(TRAINING_JOB, region, name)
            if document is None:
                return
            for entry in entries:
                apply(document, entry.event)
            self._hand_on(name, directory, region, [entry.event for entry in entries])
            self.documents.save(TRAINING_JOB, region, name, document)
            connection.execute(
                "INSERT OR REPLACE INTO sagemaker_job_offsets VALUES (?, ?)",
                (str(directory.root), entries[-1].offset),
            )

    def _hand_on(self, name: str, directory: JobDirectory, region: str, events: Sequence[Event]) -> None:
        """What CloudWatch and Logs are to know of the events."""
        for event in events:
            if isinstance(event, LogEvent):
                stream = f"{name}/{event.host}-{int(event.time)}"
                self.neighbours.logs.attach(LOG_GROUP, stream, directory.root / event.file, region=region)
        data = [
            Datum(event.name, event.value, datetime.fromtimestamp(event.time, tz=UTC), {"TrainingJobName": name})
            for event in events
            if isinstance(event, MetricEvent)
        ]
        if data:
            self.neighbours.metrics.put(METRIC_NAMESPACE, data, region=region)


def apply(document: Document, event: Event) -> None:
    """What an event of the record means for the job's document."""
    match event:
        case StatusEvent():
            apply_status(document, event)
        case EndEvent():
            apply_end(document, event)
        case MetricEvent():
            apply_metric(document, event)
        case LogEvent():
            return


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
    if "TrainingStartTime" in document:
        seconds = int(event.time - document["TrainingStartTime"])
        document["TrainingTimeInSeconds"] = seconds
        document["BillableTimeInSeconds"] = seconds * document["ResourceConfig"]["InstanceCount"]
    transitions.end(document, event.secondary, event.message, event.time)


def apply_metric(document: Document, event: MetricEvent) -> None:
    """FinalMetricDataList holds the last value of each metric."""
    final = document.setdefault("FinalMetricDataList", [])
    value = {"MetricName": event.name, "Value": event.value, "Timestamp": event.time}
    for position, present in enumerate(final):
        if present["MetricName"] == event.name:
            final[position] = value
            return
    final.append(value)


def _document(parameters: dict[str, Any], arn: str, spec: TrainingSpec) -> Document:
    """What Describe answers for a job that was just created: the request, completed with defaults."""
    now = round(time.time(), 3)  # the API's precision, so that a filter by a time that was shown is exact
    document = {name: value for name, value in parameters.items() if name != "Tags"}
    document["AlgorithmSpecification"] = {
        "EnableSageMakerMetricsTimeSeries": False,
        **parameters["AlgorithmSpecification"],
    }
    if spec.metrics:
        document["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": metric.name, "Regex": metric.regex} for metric in spec.metrics
        ]
    document |= {
        "TrainingJobArn": arn,
        "TrainingJobStatus": "InProgress",
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **parameters["OutputDataConfig"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.max_runtime},
        "EnableNetworkIsolation": parameters.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": parameters.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": False,
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    transitions.enter(document, "Starting", "Starting the training job", now)
    return document


def _save_credentials(file: Path, credentials: Credentials) -> None:
    file.touch(mode=0o600)
    file.write_text(
        json.dumps(
            {
                "access_key_id": credentials.access_key_id,
                "secret_access_key": credentials.secret_access_key,
                "session_token": credentials.session_token,
            }
        )
    )
