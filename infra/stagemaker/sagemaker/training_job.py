"""Training jobs: Create, Stop, Delete, and what a job's record means for its document."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.kept import KeptFolders
from stagemaker.jobs.record import Entry, Event, LogEvent
from stagemaker.jobs.supervisor import Supervisor
from stagemaker.ports import Credentials, Events, Logs, Metrics, Objects, PortError, Roles
from stagemaker.sagemaker import training_request, transitions
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.family import Family, requested_resource_not_found
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.ledger import Ledger
from stagemaker.sagemaker.part import Part, operation
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.sagemaker.training_events import apply, metric_data
from stagemaker.sagemaker.training_spec import Images, training_document, training_spec
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

_OFFSETS = """
CREATE TABLE IF NOT EXISTS sagemaker_job_offsets (
    directory TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""


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
        self.state_changes = StateChanges(documents.store, neighbours.events)
        self.supervisor = Supervisor(self._fold, slots=slots)
        self.kept = KeptFolders(folder, keep_bytes, self._is_over)
        self.ledger = Ledger(documents.store)
        self._deleting: set[Path] = set()
        documents.store.connection.executescript(_OFFSETS)

    async def start(self) -> None:
        """Look after the jobs that were not over when the stage last stopped."""
        for region, name, _document in list(self.documents.in_transition(TRAINING_JOB)):
            directory = self._directory(region, name)
            self.supervisor.resume(directory, self._offset(directory))
        await self.supervisor.start()
        await self.kept.start()
        await self.state_changes.start()

    async def stop(self) -> None:
        """Leave the jobs to their runners."""
        await self.kept.stop()
        await self.supervisor.stop()
        await self.state_changes.stop()

    def reset(self) -> None:
        """End and forget every job."""
        self.supervisor.forget_all()
        self.state_changes.reset()
        self.ledger.reset()
        remove_tree(self.folder)
        with self.documents.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_job_offsets")

    @operation("CreateTrainingJob")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob. The job is on disk, and durable, when this returns."""
        refuse_unhonoured(parameters, training_request.HONOURED_MEMBERS)
        training_request.check(parameters)
        self._check_quotas(parameters, context.region)
        name, region, role = parameters["TrainingJobName"], context.region, parameters["RoleArn"]
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
        credentials = await self._assume(role, region)
        for channel in spec.channels:
            await self._check_input(str(channel.source), role, region, credentials)
        tags = read_tags(parameters.get("Tags", []))
        document = training_document(parameters, spec)
        # From here on nothing is awaited, so nobody can take the name between this look and the document.
        if self.documents.find(TRAINING_JOB, region, name) is not None:
            raise TRAINING_JOB.exists(arn)
        directory = self._directory(region, name)
        # A folder without a document holds the logs of a deleted job, or was never acknowledged.
        directory.clear()
        directory.root.mkdir(parents=True, exist_ok=True)
        spec.save(directory.spec)
        _save_credentials(directory.credentials, credentials)
        with self.documents.store.transaction():
            self.documents.create(TRAINING_JOB, region, name, document, tags)
            self._announce(region, document)
        self.supervisor.submit(directory)
        return {"TrainingJobArn": arn}

    @operation("StopTrainingJob")
    async def stop_job(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopTrainingJob. A job that is over refuses; one that is stopping goes on doing so."""
        region, name = context.region, parameters["TrainingJobName"]
        document = self.documents.get(TRAINING_JOB, region, name)
        status = document["TrainingJobStatus"]
        if status not in TRAINING_JOB.transitional:
            raise ValidationError(f"The request was rejected because the training job is in status {status}.")
        # Asked for first: a kill between the two must not leave a job that says Stopping and goes on.
        self.supervisor.request_stop(self._directory(region, name))
        if status != "Stopping":
            document["TrainingJobStatus"] = "Stopping"
            transitions.enter(document, "Stopping", "Stopping the training job", time.time())
            with self.documents.store.transaction():
                self.documents.save(TRAINING_JOB, region, name, document)
                self._announce(region, document)
        return {}

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
        with self.documents.store.transaction() as connection:
            self.ledger.keep(region, name, document)
            self.documents.delete(TRAINING_JOB, region, name)
            connection.execute("DELETE FROM sagemaker_job_offsets WHERE directory = ?", (str(directory.root),))
        return {}

    def _check_quotas(self, parameters: dict[str, Any], region: str) -> None:
        resources, spot = parameters["ResourceConfig"], parameters.get("EnableManagedSpotTraining", False)
        kind = resources["InstanceType"]
        used = sum(
            document["ResourceConfig"]["InstanceCount"]
            for where, _, document in self.documents.in_transition(TRAINING_JOB)
            if where == region
            and document["ResourceConfig"]["InstanceType"] == kind
            and document["EnableManagedSpotTraining"] == spot
        )
        self.quotas.check_training(kind, spot=spot, used=used, wanted=resources["InstanceCount"])

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

    def _is_over(self, directory: JobDirectory) -> bool:
        document = self.documents.find(TRAINING_JOB, directory.root.parent.name, directory.root.name)
        return document is None or document["TrainingJobStatus"] not in TRAINING_JOB.transitional

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
                before = document["TrainingJobStatus"], document["SecondaryStatus"]
                apply(document, entry.event)
                if before != (document["TrainingJobStatus"], document["SecondaryStatus"]):
                    self._announce(region, document)
            self._hand_on(name, directory, region, [entry.event for entry in entries])
            self.documents.save(TRAINING_JOB, region, name, document)
            connection.execute(
                "INSERT OR REPLACE INTO sagemaker_job_offsets VALUES (?, ?)",
                (str(directory.root), entries[-1].offset),
            )
        if document["TrainingJobStatus"] == "Failed":
            self.kept.sweep_soon()

    def _announce(self, region: str, document: Document) -> None:
        self.state_changes.add(region, STATE_CHANGE, document["TrainingJobArn"], document)

    def _hand_on(self, name: str, directory: JobDirectory, region: str, events: Sequence[Event]) -> None:
        """What CloudWatch and Logs are to know of the events."""
        for event in events:
            if isinstance(event, LogEvent):
                stream = f"{name}/{event.host}-{int(event.time)}"
                self.neighbours.logs.attach(LOG_GROUP, stream, directory.root / event.file, region=region)
        if data := [datum for event in events for datum in metric_data(name, event)]:
            self.neighbours.metrics.put(METRIC_NAMESPACE, data, region=region)


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
