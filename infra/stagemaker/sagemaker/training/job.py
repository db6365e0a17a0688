"""Training jobs: Create, Stop, Delete, and what a job's record means for its document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.kept import KeptFolders
from stagemaker.jobs.record import EndEvent, Entry, Event, LogEvent
from stagemaker.jobs.spec import TrainingSpec
from stagemaker.jobs.supervisor import Supervisor
from stagemaker.ports import Credentials, Events, Logs, Metrics, Objects, PortError, Roles
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.execution_role import assume, save_credentials
from stagemaker.sagemaker.family import Family, requested_resource_not_found
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.job_offsets import JobOffsets
from stagemaker.sagemaker.part import Part, operation
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.sagemaker.training import request as training_request
from stagemaker.sagemaker.training import transitions
from stagemaker.sagemaker.training.events import apply, metric_data
from stagemaker.sagemaker.training.ledger import Ledger
from stagemaker.sagemaker.training.spec import Images, training_document, training_spec
from stagemaker.sagemaker.training.warm_pools import WarmPools
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Context

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
METRIC_NAMESPACE = "/aws/sagemaker/TrainingJobs"
STATE_CHANGE = "SageMaker Training Job State Change"

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


Listener = Callable[[str, Document, Sequence[Event]], None]
"""Told of a job's region, its document and what has just happened to it, within the transaction that keeps both."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What training jobs need of the other services."""

    roles: Roles
    objects: Objects
    metrics: Metrics
    logs: Logs
    events: Events
    images: Images


class TrainingJobs(Part):
    """The training jobs of the account. Their folders lie below `folder`."""

    families = (TRAINING_JOB,)

    def __init__(
        self,
        documents: Documents,
        neighbours: Neighbours,
        folder: Path,
        stage_file: Path,
        file_systems: Path,
        quotas: Quotas,
        *,
        slots: int,
        threads: int,
        stop_grace: float,
        keep_bytes: int,
    ) -> None:
        self.documents = documents
        self.neighbours = neighbours
        self.folder = folder
        self.stage_file = stage_file
        self.file_systems = file_systems
        self.quotas = quotas
        self.threads = threads
        self.stop_grace = stop_grace
        self.state_changes = StateChanges(documents.store, neighbours.events, STATE_CHANGE)
        self.supervisor = Supervisor(self._fold, slots=slots)
        self.warm_pools = WarmPools(documents, TRAINING_JOB, self.supervisor, quotas, folder.with_name("warm-pools"))
        self.listeners: list[Listener] = []
        self.kept = KeptFolders(folder, keep_bytes, self._is_over)
        self.ledger = Ledger(documents.store)
        self._deleting: set[Path] = set()
        self._offsets = JobOffsets(documents.store, folder)

    async def start(self) -> None:
        """Look after the jobs that were not over when the stage last stopped."""
        for region, name, _document in list(self.documents.in_transition(TRAINING_JOB)):
            directory = self._directory(region, name)
            self.supervisor.resume(directory, self._offsets.of(directory))
        await self.warm_pools.start()
        await self.supervisor.start()
        await self.kept.start()
        await self.state_changes.start()

    async def stop(self) -> None:
        """Leave the jobs to their runners."""
        await self.warm_pools.stop()
        await self.kept.stop()
        await self.supervisor.stop()
        await self.state_changes.stop()

    def reset(self) -> None:
        """End and forget every job."""
        self.supervisor.forget_all()
        self.warm_pools.reset()
        self.state_changes.reset()
        self.ledger.reset()
        remove_tree(self.folder)
        self._offsets.reset()

    @operation("CreateTrainingJob")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob. The job is on disk, and durable, when this returns."""
        refuse_unhonoured(parameters, training_request.HONOURED_MEMBERS)
        return {"TrainingJobArn": await self.begin(context.region, parameters)}

    async def begin(self, region: str, parameters: dict[str, Any], **described: Any) -> str:
        """Create a job for whoever asks, and give its ARN. `described` are members that Describe shows besides."""
        spec, credentials = await self.examine(region, parameters)
        name, arn = spec.name, spec.arn
        tags = read_tags(parameters.get("Tags", []))
        document = training_document(parameters, spec) | described
        # From here on nothing is awaited, so nobody can take the name between this look and the document.
        if self.documents.find(TRAINING_JOB, region, name) is not None:
            raise TRAINING_JOB.exists(arn)
        pool = self.warm_pools.pool_for(region, parameters)
        spec = replace(spec, warm_pool=pool.folder if pool else None)
        directory = self._directory(region, name)
        # A folder without a document holds the logs of a deleted job, or was never acknowledged.
        directory.clear()
        directory.root.mkdir(parents=True, exist_ok=True)
        spec.save(directory.spec)
        save_credentials(directory.credentials, credentials)
        with self.documents.store.transaction():
            if pool is not None:
                self.warm_pools.take(pool, document)
            self.documents.create(TRAINING_JOB, region, name, document, tags)
            self._announce(region, document)
        self.supervisor.submit(directory)
        return arn

    async def examine(
        self, region: str, parameters: dict[str, Any], *, jobs: int = 1
    ) -> tuple[TrainingSpec, Credentials]:
        """All that can be checked before a job exists, for `jobs` of them at a time. Raises AwsError."""
        training_request.check(parameters)
        self._check_quotas(parameters, region, jobs)
        name, role = parameters["TrainingJobName"], parameters["RoleArn"]
        arn = TRAINING_JOB.arn(region, self.documents.account, name)
        if self.documents.find(TRAINING_JOB, region, name) is not None:
            raise TRAINING_JOB.exists(arn)
        spec = training_spec(
            parameters,
            self.neighbours.images,
            arn=arn,
            region=region,
            stage_file=self.stage_file,
            file_systems=self.file_systems,
            threads=self.threads,
            stop_grace=self.stop_grace,
        )
        credentials = await assume(self.neighbours.roles, role, region)
        for channel in spec.channels:
            await self._check_input(str(channel.source), role, region, credentials)
        return spec, credentials

    @operation("StopTrainingJob")
    async def stop_job(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopTrainingJob. A job that is over refuses; one that is stopping goes on doing so."""
        region, name = context.region, parameters["TrainingJobName"]
        document = self.documents.get(TRAINING_JOB, region, name)
        status = document["TrainingJobStatus"]
        if status not in TRAINING_JOB.transitional:
            raise ValidationError(f"The request was rejected because the training job is in status {status}.")
        self.halt(region, name)
        return {}

    def halt(self, region: str, name: str) -> None:
        """Have a job stopped, whoever asks; one that is over, or gone, stays so."""
        document = self.documents.find(TRAINING_JOB, region, name)
        if document is None or document["TrainingJobStatus"] not in TRAINING_JOB.transitional:
            return
        # Asked for first: a kill between the two must not leave a job that says Stopping and goes on.
        self.supervisor.request_stop(self._directory(region, name))
        if document["TrainingJobStatus"] != "Stopping":
            document["TrainingJobStatus"] = "Stopping"
            transitions.enter(document, "Stopping", "Stopping the training job", time.time())
            with self.documents.store.transaction():
                self.documents.save(TRAINING_JOB, region, name, document)
                self._announce(region, document)

    @operation("UpdateTrainingJob")
    async def update(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateTrainingJob: how long a warm pool is kept."""
        refuse_unhonoured(parameters, training_request.UPDATE_MEMBERS)
        document = self.documents.get(TRAINING_JOB, context.region, parameters["TrainingJobName"])
        if "ResourceConfig" in parameters:
            keep_alive = parameters["ResourceConfig"]["KeepAlivePeriodInSeconds"]
            self.warm_pools.update(context.region, document, keep_alive)
        return {"TrainingJobArn": document["TrainingJobArn"]}

    @operation("DeleteTrainingJob")
    async def delete(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteTrainingJob: the name is free again. Its log streams, metrics, artifacts and cost stay, as on AWS."""
        region, name = context.region, parameters["TrainingJobName"]
        document = self.documents.get(TRAINING_JOB, region, name)
        status = document["TrainingJobStatus"]
        pool = document.get("WarmPoolStatus", {}).get("Status")
        if status in TRAINING_JOB.transitional or pool == "Available":
            state = f"in status {status}" if status in TRAINING_JOB.transitional else "retaining a warm pool"
            raise AwsError("ResourceInUse", f"The training job {name} cannot be deleted while it is {state}.")
        directory = self._directory(region, name)
        if directory.root in self._deleting:
            raise AwsError("ResourceInUse", f"The training job {name} is being deleted.")
        self._deleting.add(directory.root)
        try:
            directory.kill_runner()  # it has written the end, and would only delete what is deleted here
            await asyncio.to_thread(directory.clear)  # before the name is free for another job's files
        finally:
            self._deleting.discard(directory.root)
        with self.documents.store.transaction():
            self.ledger.keep(region, name, document)
            self.documents.delete(TRAINING_JOB, region, name)
            self._offsets.forget(directory)
        return {}

    def _check_quotas(self, parameters: dict[str, Any], region: str, jobs: int) -> None:
        resources, spot = parameters["ResourceConfig"], parameters.get("EnableManagedSpotTraining", False)
        kind = resources["InstanceType"]
        used = sum(
            document["ResourceConfig"]["InstanceCount"]
            for where, _, document in self.documents.in_transition(TRAINING_JOB)
            if where == region
            and document["ResourceConfig"]["InstanceType"] == kind
            and document["EnableManagedSpotTraining"] == spot
        )
        used += self.warm_pools.waiting_instances(region, kind)
        if (pool := self.warm_pools.pool_for(region, parameters)) is not None and pool.since is not None:
            used -= resources["InstanceCount"]  # it gets those
        self.quotas.check_training(kind, spot=spot, used=used, wanted=resources["InstanceCount"], jobs=jobs)

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

    def _is_over(self, directory: JobDirectory) -> bool:
        document = self.documents.find(TRAINING_JOB, directory.root.parent.name, directory.root.name)
        return document is None or document["TrainingJobStatus"] not in TRAINING_JOB.transitional

    def _directory(self, region: str, name: str) -> JobDirectory:
        return JobDirectory(self.folder / region / name)

    def _fold(self, directory: JobDirectory, entries: Sequence[Entry]) -> None:
        """Let the entries of a record take their effect, once: the offset is kept in the same transaction."""
        region, name = directory.root.parent.name, directory.root.name
        with self.documents.store.transaction():
            document = self.documents.find(TRAINING_JOB, region, name)
            if document is None:
                return
            for entry in entries:
                before = document["TrainingJobStatus"], document["SecondaryStatus"]
                apply(document, entry.event)
                if isinstance(entry.event, EndEvent):
                    self.warm_pools.job_over(region, document)
                if before != (document["TrainingJobStatus"], document["SecondaryStatus"]):
                    self._announce(region, document)
            events = [entry.event for entry in entries]
            self._hand_on(name, directory, region, events)
            self.documents.save(TRAINING_JOB, region, name, document)
            for listen in self.listeners:
                listen(region, document, events)
            self._offsets.keep(directory, entries[-1].offset)
        if document["TrainingJobStatus"] == "Failed":
            self.kept.sweep_soon()

    def _announce(self, region: str, document: Document) -> None:
        self.state_changes.add(region, document["TrainingJobArn"], document)

    def _hand_on(self, name: str, directory: JobDirectory, region: str, events: Sequence[Event]) -> None:
        """What CloudWatch and Logs are to know of the events."""
        for event in events:
            if isinstance(event, LogEvent):
                stream = f"{name}/{event.host}-{int(event.time)}"
                self.neighbours.logs.attach(LOG_GROUP, stream, directory.root / event.file, region=region)
        if data := [datum for event in events for datum in metric_data(name, event)]:
            self.neighbours.metrics.put(METRIC_NAMESPACE, data, region=region)
