"""Hyperparameter tuning jobs: Create, Stop, Delete, and the list of their training jobs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

from stagemaker.ports import Events
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.family import Family, requested_resource_not_found
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.part import Part, operation
from stagemaker.sagemaker.training.job import TrainingJobs
from stagemaker.sagemaker.tuning import progress as tuning_progress
from stagemaker.sagemaker.tuning import request as tuning_request
from stagemaker.sagemaker.tuning.definition import TuningImages, jobs_wanted, read_definitions
from stagemaker.sagemaker.tuning.search import LISTED, RETRY_SECONDS, TuningSearch
from stagemaker.sagemaker.tuning.summary import list_training_jobs
from stagemaker.sagemaker.tuning.trials import Trials
from stagemaker.search import ranges
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Context

_LOG = logging.getLogger(__name__)

TUNING_JOB = Family(
    noun="HyperParameterTuningJob",
    arn_type="hyper-parameter-tuning-job",
    transitional=frozenset({"InProgress", "Stopping"}),
    missing=requested_resource_not_found,
    exists=lambda arn: AwsError(
        "ResourceInUse",
        "Hyper parameter tuning job names must be unique within an AWS account and region, "
        f"and a tuning job with this name already exists ({arn})",
    ),
    sort_by="Name",
)


class TuningJobs(Part):
    """The tuning jobs of the account. Their training jobs are those of `training_jobs`."""

    families = (TUNING_JOB,)

    def __init__(self, documents: Documents, training_jobs: TrainingJobs, images: TuningImages, events: Events) -> None:
        self._documents = documents
        self._training_jobs = training_jobs
        self._images = images
        self._trials = Trials(documents.store)
        self._search = TuningSearch(documents, TUNING_JOB, training_jobs, self._trials, images, events)
        self._task: asyncio.Task[None] | None = None
        training_jobs.listeners.append(self._search.hear)

    async def start(self) -> None:
        """Go on with the searches that were not over when the stage last stopped."""
        self._task = asyncio.create_task(self._run(), name="tuning")
        await self._search.state_changes.start()

    async def stop(self) -> None:
        """Leave the training jobs to their runners."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._search.state_changes.stop()

    def reset(self) -> None:
        """Forget every search, also one that is about to create a job."""
        self._trials.reset()
        self._search.state_changes.reset()
        if self._task is not None:
            self._task.cancel()
            self._task = asyncio.create_task(self._run(), name="tuning")

    @operation("CreateHyperParameterTuningJob")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateHyperParameterTuningJob. A training job of each definition is checked as if it were to start now."""
        refuse_unhonoured(parameters, tuning_request.HONOURED_MEMBERS)
        tuning_request.check(parameters)
        definitions = read_definitions(parameters, self._images)
        name, region = parameters["HyperParameterTuningJobName"], context.region
        arn = TUNING_JOB.arn(region, self._documents.account, name)
        if self._documents.find(TUNING_JOB, region, name) is not None:
            raise TUNING_JOB.exists(arn)
        self._search.warm_start.check(region, parameters, definitions)
        active = sum(where == region for where, _, _ in self._documents.in_transition(TUNING_JOB))
        if active >= tuning_request.MOST_TUNING_JOBS:
            quota = "Number of concurrent hyperparameter tuning jobs"
            raise tuning_request.exceeded(quota, tuning_request.MOST_TUNING_JOBS, 1, active)
        config = parameters["HyperParameterTuningJobConfig"]
        at_once = min(config["ResourceLimits"]["MaxParallelTrainingJobs"], jobs_wanted(config, definitions))
        tags = read_tags(parameters.get("Tags", []))
        for definition in definitions:
            values = ranges.draw(definition.space, random.Random(0))  # noqa: S311 - any values do
            sample = definition.training_job(f"{name}-001-00000000", values, parameters.get("Tags", []))
            await self._training_jobs.examine(region, sample, jobs=at_once)
        document = _document(parameters, arn)
        with self._documents.store.transaction():
            self._documents.create(TUNING_JOB, region, name, document, tags)
            self._search.announce(region, document)
        self._search.wake.set()
        return {"HyperParameterTuningJobArn": arn}

    @operation("StopHyperParameterTuningJob")
    async def stop_job(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopHyperParameterTuningJob: the running training jobs are stopped, no other is started."""
        region, name = context.region, parameters["HyperParameterTuningJobName"]
        document = self._documents.get(TUNING_JOB, region, name)
        status = document["HyperParameterTuningJobStatus"]
        if status not in TUNING_JOB.transitional:
            raise ValidationError(
                f"The request was rejected because the hyperparameter tuning job is in status {status}."
            )
        if status != "Stopping":
            document["HyperParameterTuningJobStatus"] = "Stopping"
            with self._documents.store.transaction():
                self._documents.save(TUNING_JOB, region, name, document)
                self._search.announce(region, document)
        self._search.wake.set()
        return {}

    @operation("DeleteHyperParameterTuningJob")
    async def delete(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteHyperParameterTuningJob: the entry goes, its training jobs stay."""
        region, name = context.region, parameters["HyperParameterTuningJobName"]
        document = self._documents.get(TUNING_JOB, region, name)
        if document["HyperParameterTuningJobStatus"] in TUNING_JOB.transitional:
            raise ValidationError(
                "The request was rejected because the hyperparameter tuning job is in status "
                f"{document['HyperParameterTuningJobStatus']}."
            )
        with self._documents.store.transaction():
            self._documents.delete(TUNING_JOB, region, name)
            self._trials.forget(document["HyperParameterTuningJobArn"])
        return {}

    @operation("ListTrainingJobsForHyperParameterTuningJob")
    async def list_children(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobsForHyperParameterTuningJob."""
        region, name = context.region, parameters["HyperParameterTuningJobName"]
        document = self._documents.get(TUNING_JOB, region, name)
        definitions = read_definitions(document, self._images)
        tuning = document["HyperParameterTuningJobArn"]
        trials = {row.job: row for row in self._trials.of(tuning)}
        return list_training_jobs(self._documents, region, tuning, parameters, trials, definitions)

    async def _run(self) -> None:
        """Look at each search whenever something has happened, and when its time is over."""
        while True:
            self._search.wake.clear()
            pauses = [
                await self._advance(region, name) for region, name, _ in list(self._documents.in_transition(TUNING_JOB))
            ]
            pause = min((seconds for seconds in pauses if seconds is not None), default=None)
            try:
                await asyncio.wait_for(self._search.wake.wait(), pause)
            except TimeoutError:
                continue

    async def _advance(self, region: str, name: str) -> float | None:
        """What goes wrong with one search, such as a full disk, never stops the others."""
        try:
            return await self._search.advance(region, name)
        except Exception:  # noqa: BLE001 - whatever it is, the other searches go on
            _LOG.exception("the search of %s could not go on; it is tried again", name)
            return RETRY_SECONDS


def _document(parameters: dict[str, Any], arn: str) -> Document:
    """What Describe answers for a tuning job that was just created."""
    now = round(time.time(), 3)
    document = {name: value for name, value in parameters.items() if name != "Tags"}
    config = parameters["HyperParameterTuningJobConfig"]
    early = "Auto" if "Autotune" in parameters and config["Strategy"] != "Hyperband" else "Off"
    document |= {
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobStatus": "InProgress",
        "HyperParameterTuningJobConfig": {"TrainingJobEarlyStoppingType": early, **config},
        **{name: config[name] for name in LISTED},
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    tuning_progress.apply(document, [])
    return document
