"""Transform jobs: Create, Stop, and what a job's record means for its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.record import EndEvent, Entry, Event, LogEvent, StatusEvent, UsageEvent
from stagemaker.jobs.supervisor import Runner, Supervisor
from stagemaker.jobs.transform.runner import STARTED, STOPPING
from stagemaker.ports import Datum, Events, Logs, Metrics, Roles
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.execution_role import assume, save_credentials
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.hosting.model import MODEL
from stagemaker.sagemaker.hosting.model_spec import ServingImages
from stagemaker.sagemaker.job_offsets import JobOffsets
from stagemaker.sagemaker.part import Part, operation
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.sagemaker.transform import request as transform_request
from stagemaker.sagemaker.transform.spec import transform_document, transform_spec
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Context

LOG_GROUP = "/aws/sagemaker/TransformJobs"
METRIC_NAMESPACE = "/aws/sagemaker/TransformJobs"
STATE_CHANGE = "SageMaker Transform Job State Change"
RUNNER = Runner("stagemaker.jobs.transform.runner", "Transform job failed")

TRANSFORM_JOB = Family(
    noun="TransformJob",
    arn_type="transform-job",
    transitional=frozenset({"InProgress", "Stopping"}),
    missing=lambda arn: ValidationError(f"Could not find requested job with name: {arn.rpartition('/')[2]}"),
    exists=lambda arn: AwsError(
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    ),
    sort_order="Descending",
)


@dataclass(frozen=True, slots=True)
class TransformNeighbours:
    """What transform jobs need of the other services."""

    roles: Roles
    metrics: Metrics
    logs: Logs
    events: Events
    images: ServingImages


class TransformJobs(Part):
    """The transform jobs of the account. Their folders lie below `folder`."""

    families = (TRANSFORM_JOB,)

    def __init__(
        self,
        documents: Documents,
        neighbours: TransformNeighbours,
        folder: Path,
        stage_file: Path,
        quotas: Quotas,
        *,
        slots: int,
        threads: int,
        stop_grace: float,
    ) -> None:
        self._documents = documents
        self._neighbours = neighbours
        self._folder = folder
        self._stage_file = stage_file
        self._quotas = quotas
        self._threads = threads
        self._stop_grace = stop_grace
        self._offsets = JobOffsets(documents.store, folder)
        self._state_changes = StateChanges(documents.store, neighbours.events, STATE_CHANGE)
        self._supervisor = Supervisor(self._fold, slots=slots, runner=RUNNER)

    async def start(self) -> None:
        """Look after the jobs that were not over when the stage last stopped."""
        for region, name, _document in list(self._documents.in_transition(TRANSFORM_JOB)):
            directory = self._directory(region, name)
            self._supervisor.resume(directory, self._offsets.of(directory))
        await self._supervisor.start()
        await self._state_changes.start()

    async def stop(self) -> None:
        """Leave the jobs to their runners."""
        await self._supervisor.stop()
        await self._state_changes.stop()

    def reset(self) -> None:
        """End and forget every job."""
        self._supervisor.forget_all()
        self._state_changes.reset()
        remove_tree(self._folder)
        self._offsets.reset()

    @operation("CreateTransformJob")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateTransformJob. The job is on disk, and durable, when this returns; its input is looked for later."""
        refuse_unhonoured(parameters, transform_request.HONOURED_MEMBERS)
        transform_request.check(parameters)
        name, region = parameters["TransformJobName"], context.region
        arn = TRANSFORM_JOB.arn(region, self._documents.account, name)
        self._check_name(region, name, arn)
        model = self._model(region, parameters["ModelName"])
        self._check_quotas(parameters["TransformResources"], region)
        spec = transform_spec(
            parameters,
            model,
            self._neighbours.images,
            arn=arn,
            region=region,
            stage_file=self._stage_file,
            threads=self._threads,
            stop_grace=self._stop_grace,
        )
        tags = read_tags(parameters.get("Tags", []))
        credentials = await assume(self._neighbours.roles, model["ExecutionRoleArn"], region)
        # From here on nothing is awaited, so nobody can take the name between this look and the document.
        self._check_name(region, name, arn)
        document = transform_document(parameters, arn)
        directory = self._directory(region, name)
        remove_tree(directory.root)  # a folder without a document was never acknowledged
        directory.root.mkdir(parents=True)
        spec.save(directory.spec)
        save_credentials(directory.credentials, credentials)
        with self._documents.store.transaction():
            self._documents.create(TRANSFORM_JOB, region, name, document, tags)
            self._state_changes.add(region, arn, document)
        self._supervisor.submit(directory)
        return {"TransformJobArn": arn}

    @operation("StopTransformJob")
    async def stop_job(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopTransformJob. A job that is over refuses; one that is stopping goes on doing so."""
        region, name = context.region, parameters["TransformJobName"]
        document = self._documents.get(TRANSFORM_JOB, region, name)
        status = document["TransformJobStatus"]
        if status not in TRANSFORM_JOB.transitional:
            raise ValidationError(f"The request was rejected because the transform job is in status {status}.")
        # Asked for first: a kill between the two must not leave a job that says Stopping and goes on.
        self._supervisor.request_stop(self._directory(region, name))
        if status != "Stopping":
            document["TransformJobStatus"] = "Stopping"
            with self._documents.store.transaction():
                self._documents.save(TRANSFORM_JOB, region, name, document)
                self._state_changes.add(region, document["TransformJobArn"], document)
        return {}

    def _check_name(self, region: str, name: str, arn: str) -> None:
        if self._documents.find(TRANSFORM_JOB, region, name) is not None:
            raise TRANSFORM_JOB.exists(arn)

    def _model(self, region: str, name: str) -> Document:
        model = self._documents.get(MODEL, region, name)
        if model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
            raise ValidationError(
                f"The model {name} has the inference execution mode Direct: batch transform is Serial."
            )
        return model

    def _check_quotas(self, resources: dict[str, Any], region: str) -> None:
        kind = resources["InstanceType"]
        used = sum(
            document["TransformResources"]["InstanceCount"]
            for where, _, document in self._documents.in_transition(TRANSFORM_JOB)
            if where == region and document["TransformResources"]["InstanceType"] == kind
        )
        self._quotas.check_transform(kind, used=used, wanted=resources["InstanceCount"])

    def _directory(self, region: str, name: str) -> JobDirectory:
        return JobDirectory(self._folder / region / name)

    def _fold(self, directory: JobDirectory, entries: Sequence[Entry]) -> None:
        """Let the entries of a record take their effect, once: the offset is kept in the same transaction."""
        region, name = directory.root.parent.name, directory.root.name
        with self._documents.store.transaction():
            document = self._documents.find(TRANSFORM_JOB, region, name)
            if document is None:
                return
            for entry in entries:
                before = document["TransformJobStatus"]
                apply(document, entry.event)
                if before != document["TransformJobStatus"]:
                    self._state_changes.add(region, document["TransformJobArn"], document)
            self._hand_on(name, directory, region, [entry.event for entry in entries])
            self._documents.save(TRANSFORM_JOB, region, name, document)
            self._offsets.keep(directory, entries[-1].offset)

    def _hand_on(self, name: str, directory: JobDirectory, region: str, events: Sequence[Event]) -> None:
        """What CloudWatch and Logs are to know of the events."""
        for event in events:
            if isinstance(event, LogEvent):
                stream = f"{name}/{event.host}"
                self._neighbours.logs.attach(LOG_GROUP, stream, directory.root / event.file, region=region)
        if data := [datum for event in events for datum in metric_data(name, event)]:
            self._neighbours.metrics.put(METRIC_NAMESPACE, data, region=region)


def apply(document: Document, event: Event) -> None:
    """What an event of the record means for the job's document."""
    match event:
        case StatusEvent(status=status) if status == STARTED:
            # Billing begins when the instances are the job's own.
            document.setdefault("TransformStartTime", event.time)
        case StatusEvent(status=status) if status == STOPPING:
            document["TransformJobStatus"] = "Stopping"
        case EndEvent():
            document["TransformJobStatus"] = event.status
            document["TransformEndTime"] = event.time
            if event.reason:
                document["FailureReason"] = event.reason


def metric_data(job: str, event: Event) -> list[Datum]:
    """What CloudWatch is to know of an event: each instance's use of its machine."""
    if not isinstance(event, UsageEvent):
        return []
    time, host = datetime.fromtimestamp(event.time, tz=UTC), {"Host": f"{job}/{event.host}"}
    values = {"CPUUtilization": event.cpu, "MemoryUtilization": event.memory}
    return [Datum(name, value, time, host, "Percent") for name, value in values.items()]
