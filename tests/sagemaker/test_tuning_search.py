"""The search without a stage: training jobs that do as the test says, and the documents they leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from stagemaker.jobs.images import ProcessImages
from stagemaker.jobs.record import EndEvent, Event, MetricEvent, StatusEvent
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.training.events import apply
from stagemaker.sagemaker.training.job import TRAINING_JOB, TrainingJobs
from stagemaker.sagemaker.tuning.job import TUNING_JOB, TuningJobs
from stagemaker.sagemaker.tuning.search import RETRY_SECONDS
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Caller, Context

REGION = "us-east-1"
CONTEXT = Context("123456789012", REGION, Caller("arn"), "request")
NAME = "search"


@dataclass
class Jobs:
    """Stands for `TrainingJobs`: jobs begin, and end when the test says so."""

    documents: Documents
    listeners: list[Any] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    halted: list[str] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)

    async def put_event(self, *_: str, **__: Any) -> None:
        """Stands for `Events` too: nobody delivers in these tests, what waits is in the store."""

    def announced(self) -> list[str]:
        """The states that wait for the event bus, in their order."""
        rows = self.documents.store.connection.execute("SELECT detail FROM sagemaker_state_changes ORDER BY id")
        return [json.loads(row["detail"])["HyperParameterTuningJobStatus"] for row in rows]

    async def examine(self, region: str, parameters: dict[str, Any], *, jobs: int) -> None:
        """Nothing is wrong with any request."""

    async def begin(self, region: str, parameters: dict[str, Any], **described: Any) -> None:
        """A job that runs."""
        if self.refusals:
            raise self.refusals.pop(0)
        name = parameters["TrainingJobName"]
        document = {
            "TrainingJobName": name,
            "TrainingJobArn": TRAINING_JOB.arn(region, "123456789012", name),
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Training",
            "EnableManagedSpotTraining": False,
            "CreationTime": time.time(),
            **described,
        }
        self.documents.create(TRAINING_JOB, region, name, document, {})
        self.begun.append(name)

    def halt(self, region: str, name: str) -> None:
        """The job is stopped at once."""
        self.halted.append(name)
        self.happens(name, status="Stopped")

    def happens(self, name: str, *values: float, status: str | None = "Completed", reason: str | None = None) -> None:
        """The job reports `values`, and ends unless `status` is None."""
        events: list[Event] = [MetricEvent(time.time(), "loss", each) for each in values]
        if status is not None:
            events.append(EndEvent(time.time(), status, status, "", reason))
        self._tell(name, events)

    def interrupt(self, name: str, *values: float) -> None:
        """The job reports once more, loses its spot capacity, begins anew and reports `values`."""
        now = time.time()
        events: list[Event] = [MetricEvent(now, "loss", 0.0), StatusEvent(now, "Interrupted", "")]
        events += [StatusEvent(now, "Training", ""), *(MetricEvent(now, "loss", each) for each in values)]
        self._tell(name, events)

    def _tell(self, name: str, events: list[Event]) -> None:
        document = self.documents.get(TRAINING_JOB, REGION, name)
        with self.documents.store.transaction():
            for event in events:
                apply(document, event)
            self.documents.save(TRAINING_JOB, REGION, name, document)
            for listen in self.listeners:
                listen(REGION, document, events)


@dataclass
class Stage:
    """Tuning jobs on such training jobs."""

    documents: Documents
    jobs: Jobs
    tuning: TuningJobs

    async def create(self, **members: Any) -> None:
        """A search; `members` are those of its configuration, and of the request where they are named so."""
        request: dict[str, Any] = {
            name: members.pop(name) for name in ("Autotune", "WarmStartConfig") if name in members
        }
        parameters: dict[str, Any] = {
            "HyperParameterTuningJobName": members.pop("name", NAME),
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
                **members,
            },
            "TrainingJobDefinition": {
                "AlgorithmSpecification": {
                    "TrainingImage": "own:1",
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
                },
                "StaticHyperParameters": {"epochs": "9"},
                "RoleArn": "arn:aws:iam::123456789012:role/r",
                "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
            },
            **request,
        }
        await self.tuning.create(CONTEXT, parameters)

    async def look(self, name: str = NAME) -> float | None:
        """One look at the search."""
        return await self.tuning._search.advance(REGION, name)

    async def run(self, *values: float, name: str = NAME) -> dict[str, Any]:
        """Each job in turn ends with one of `values`, until there is none left or the search is over."""
        for each in values:
            await self.look(name)
            running = [one for one in self.jobs.begun if self.status(one) == "InProgress"]
            if not running:
                break
            self.jobs.happens(running[0], each)
        await self.look(name)
        return self.described(name)

    def status(self, job: str) -> str:
        """Of a training job."""
        return str(self.documents.get(TRAINING_JOB, REGION, job)["TrainingJobStatus"])

    def described(self, name: str = NAME) -> dict[str, Any]:
        """What Describe would answer."""
        return self.documents.get(TUNING_JOB, REGION, name)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An empty account."""
    store = Store(tmp_path / "stage.db")
    documents = Documents(store, "123456789012")
    jobs = Jobs(documents)
    yield Stage(documents, jobs, TuningJobs(documents, cast("TrainingJobs", jobs), ProcessImages(()), jobs))
    store.close()


def test_no_more_jobs_than_asked_for_run_at_once(stage: Stage) -> None:
    """Two at a time, four in all; the best is the least."""

    async def scenario() -> None:
        await stage.create()
        await stage.look()
        await stage.look()
        assert len(stage.jobs.begun) == 2
        job = await stage.run(3.0, 1.0, 2.0, 4.0)
        assert len(stage.jobs.begun) == 4
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["BestTrainingJob"]["TrainingJobName"] == stage.jobs.begun[1]
        assert stage.jobs.announced() == ["InProgress", "Completed"]

    asyncio.run(scenario())


def test_job_that_was_planned_is_created_under_its_name(stage: Stage) -> None:
    """A server that dies between the plan and the job creates that very job; one that dies after it, none."""

    async def scenario() -> None:
        stage.jobs.refusals = [RuntimeError("killed")]
        await stage.create()
        with pytest.raises(RuntimeError):
            await stage.look()
        (planned,) = stage.tuning._trials.of(stage.described()["HyperParameterTuningJobArn"])
        await stage.look()
        assert stage.jobs.begun[0] == planned.job
        # The job is there, and the note of it is lost.
        with stage.documents.store.transaction() as connection:
            connection.execute("UPDATE sagemaker_tuning_trials SET status = 'Planned'")
        await stage.look()
        assert len(stage.jobs.begun) == 2

    asyncio.run(scenario())


def test_quota_that_is_used_up_is_waited_for(stage: Stage) -> None:
    """The job comes when there is room; what cannot be at all fails the search by its reason."""

    async def scenario() -> None:
        stage.jobs.refusals = [AwsError("ResourceLimitExceeded", "full")]
        await stage.create()
        assert await stage.look() == RETRY_SECONDS
        await stage.look()
        assert len(stage.jobs.begun) == 2
        stage.jobs.happens(stage.jobs.begun[0], 1.0)
        stage.jobs.refusals = [ValidationError("No S3 objects found")]
        await stage.look()
        await stage.look()
        job = stage.described()
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert job["FailureReason"].endswith("could not be created: No S3 objects found")
        assert stage.jobs.halted == [stage.jobs.begun[1]]
        assert job["BestTrainingJob"]["TrainingJobName"] == stage.jobs.begun[0]

    asyncio.run(scenario())


def test_time_limit_stops_the_search(stage: Stage) -> None:
    """MaxRuntimeInSeconds: running jobs are stopped, and the tuning job is Stopped."""

    async def scenario() -> None:
        limits = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 120}
        await stage.create(ResourceLimits=limits)
        left = await stage.look()
        assert left is not None
        assert 0 < left <= 120
        document = stage.described()
        document["CreationTime"] -= 121
        stage.documents.save(TUNING_JOB, REGION, NAME, document)
        await stage.look()
        await stage.look()
        assert stage.described()["HyperParameterTuningJobStatus"] == "Stopped"
        assert len(stage.jobs.halted) == 2
        assert stage.described()["ConsumedResources"]["RuntimeInSeconds"] >= 121

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("criteria", "values", "ran"),
    [
        ({"TargetObjectiveMetricValue": 1.5}, [3.0, 2.0, 1.0, 0.5], 3),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}, [1.0, 2.0, 3.0, 4.0, 0.5], 4),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, [1.0, 0.5, *[0.7] * 30], 22),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}, [1.0, 0.5, *[0.7] * 28], 30),
    ],
)
def test_completion_criteria(stage: Stage, criteria: dict[str, Any], values: list[float], ran: int) -> None:
    """Each ends the search as Completed, before all its jobs have run."""

    async def scenario() -> None:
        limits = {"MaxNumberOfTrainingJobs": 30, "MaxParallelTrainingJobs": 1}
        await stage.create(ResourceLimits=limits, TuningJobCompletionCriteria=criteria)
        job = await stage.run(*values)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["TrainingJobStatusCounters"]["Completed"] == ran
        assert ("ConvergenceDetectedTime" in job["TuningJobCompletionDetails"]) == (ran > 20)

    asyncio.run(scenario())


def test_faults_of_the_stage_are_counted_apart(stage: Stage) -> None:
    """RetryableError is an internal error, NonRetryableError the program's; both count towards the total."""

    async def scenario() -> None:
        await stage.create()
        await stage.look()
        stage.jobs.happens(stage.jobs.begun[0], 1.0, status="Failed", reason="InternalServerError: lost")
        stage.jobs.happens(stage.jobs.begun[1], status="Failed", reason="AlgorithmError: bug")
        job = await stage.run(2.0, 3.0)
        assert job["TrainingJobStatusCounters"] == {
            "Completed": 2,
            "InProgress": 0,
            "RetryableError": 1,
            "NonRetryableError": 1,
            "Stopped": 0,
        }
        # A job that failed has no objective, whatever it printed.
        assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 2}

    asyncio.run(scenario())


def test_median_rule_compares_with_jobs_that_are_over(stage: Stage) -> None:
    """After three jobs of five epochs, a worse one is stopped at its fifth; a better one goes on."""

    async def scenario() -> None:
        limits = {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 1}
        await stage.create(ResourceLimits=limits, TrainingJobEarlyStoppingType="Auto")
        for _ in range(3):
            await stage.look()
            stage.jobs.happens(stage.jobs.begun[-1], 1.0, 1.0, 1.0, 1.0, 1.0)
        await stage.look()
        stage.jobs.happens(stage.jobs.begun[-1], 0.1, 0.1, 0.1, 0.1, 0.9, status=None)
        await stage.look()
        assert stage.jobs.halted == []
        stage.jobs.happens(stage.jobs.begun[-1])
        await stage.look()
        stage.jobs.happens(stage.jobs.begun[-1], 2.0, 2.0, 2.0, 2.0, status=None)
        await stage.look()
        assert stage.jobs.halted == []
        stage.jobs.happens(stage.jobs.begun[-1], 2.0, status=None)
        await stage.look()
        assert stage.jobs.halted == [stage.jobs.begun[4]]

    asyncio.run(scenario())


def test_hyperband_takes_the_most_from_the_epochs_and_stops_beyond(stage: Stage) -> None:
    """MaxResource is the static hyperparameter `epochs`, 9 here: a job that reports a tenth time is stopped."""

    async def scenario() -> None:
        await stage.create(Strategy="Hyperband")
        await stage.look()
        first = stage.jobs.begun[0]
        stage.jobs.happens(first, *[1.0] * 9, status=None)
        await stage.look()
        assert stage.jobs.halted == []
        stage.jobs.happens(first, 1.0, status=None)
        await stage.look()
        assert stage.jobs.halted == [first]

    asyncio.run(scenario())


@pytest.mark.parametrize("keeps", [False, True])
def test_spot_job_that_begins_anew_is_counted_anew(stage: Stage, keeps: bool) -> None:
    """Interrupted after eight of nine epochs it may report nine more; with checkpoints only the one that is left."""

    async def scenario() -> None:
        await stage.create(Strategy="Hyperband")
        await stage.look()
        first = stage.jobs.begun[0]
        if keeps:
            document = stage.documents.get(TRAINING_JOB, REGION, first)
            document["CheckpointConfig"] = {"S3Uri": "s3://b/c"}
            stage.documents.save(TRAINING_JOB, REGION, first, document)
        stage.jobs.happens(first, *[1.0] * 7, status=None)
        stage.jobs.interrupt(first, *[1.0] * 3)
        await stage.look()
        assert stage.jobs.halted == ([first] if keeps else [])
        if not keeps:
            stage.jobs.happens(first, *[1.0] * 6, status=None)
            await stage.look()
            assert stage.jobs.halted == []
            stage.jobs.happens(first, 1.0, status=None)
            await stage.look()
            assert stage.jobs.halted == [first]

    asyncio.run(scenario())


def test_autotune_chooses_ranges_jobs_and_stopping(stage: Stage) -> None:
    """From a hint come a range of a factor of ten around it, ten jobs a hyperparameter, and early stopping."""

    async def scenario() -> None:
        hints = [{"Name": "units", "ValueHint": "64"}, {"Name": "rate", "ValueHint": "0.01"}]
        await stage.create(
            Autotune={"Mode": "Enabled"},
            ParameterRanges={"AutoParameters": hints},
            ResourceLimits={"MaxParallelTrainingJobs": 1},
        )
        job = await stage.run(*[1.0 - number / 100 for number in range(25)])
        assert job["TrainingJobStatusCounters"]["Completed"] == 20
        assert job["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] == "Auto"
        for row in stage.tuning._trials.of(job["HyperParameterTuningJobArn"]):
            assert 7 <= int(row.tried["units"]) <= 640
            assert 0.001 <= float(row.tried["rate"]) <= 0.1

    asyncio.run(scenario())


def test_warm_start_learns_from_the_parents_jobs(stage: Stage) -> None:
    """What the parent tried, with its static values, is what the search of the child is told."""

    async def scenario() -> None:
        await stage.create()
        await stage.run(3.0, 1.0, 2.0, 4.0)
        warm = {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": NAME}],
            "WarmStartType": "IdenticalDataAndAlgorithm",
        }
        await stage.create(name="child", Strategy="Bayesian", WarmStartConfig=warm)
        search = stage.tuning._search
        child = stage.described("child")
        from stagemaker.sagemaker.tuning.definition import read_definitions

        (definition,) = read_definitions(child, ProcessImages(()))
        parents = search.warm_start.parents(REGION, child, definition)
        assert [trial.objective for trial in parents.all] == [3.0, 1.0, 2.0, 4.0]
        assert parents.same_task
        job = await stage.run(5.0, 6.0, 7.0, 8.0, name="child")
        assert job["OverallBestTrainingJob"]["TuningJobName"] == NAME
        assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 5.0

    asyncio.run(scenario())


def test_warm_start_refuses_parents_that_do_not_fit(stage: Stage) -> None:
    """One that is not there, that still runs, that searched other hyperparameters or another objective."""

    def warm(kind: str = "TransferLearning", parent: str = NAME) -> dict[str, Any]:
        parents = [{"HyperParameterTuningJobName": parent}]
        return {"name": "child", "WarmStartConfig": {"ParentHyperParameterTuningJobs": parents, "WarmStartType": kind}}

    async def scenario() -> None:
        await stage.create()
        with pytest.raises(ValidationError, match=r"Could not find the parent .* \[nobody\]"):
            await stage.create(**warm(parent="nobody"))
        with pytest.raises(ValidationError, match=r"\[search\] is in status InProgress"):
            await stage.create(**warm())
        await stage.run(3.0, 1.0, 2.0, 4.0)
        other = {"ContinuousParameterRanges": [{"Name": "y", "MinValue": "0", "MaxValue": "1"}]}
        with pytest.raises(ValidationError, match="The set of tunable plus static HyperParameter names"):
            await stage.create(**warm(), ParameterRanges=other)
        more = {"Type": "Maximize", "MetricName": "loss"}
        with pytest.raises(ValidationError, match=r"\[Maximize loss\], must be that of the parent"):
            await stage.create(**warm(), HyperParameterTuningJobObjective=more)
        document = stage.described()
        document["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "own:2"
        stage.documents.save(TUNING_JOB, REGION, NAME, document)
        with pytest.raises(ValidationError, match="Only the following fields in TrainingJobDefinition are allowed"):
            await stage.create(**warm("IdenticalDataAndAlgorithm"))
        await stage.create(**warm())

    asyncio.run(scenario())


def test_reset_forgets_the_trials(stage: Stage) -> None:
    """A tuning job of the same name in an emptied account begins at 001."""

    async def scenario() -> None:
        await stage.create()
        await stage.look()
        stage.tuning.reset()
        stage.documents.reset()
        stage.jobs.begun.clear()
        await stage.create()
        await stage.look()
        assert [name[: len(NAME) + 4] for name in stage.jobs.begun] == [f"{NAME}-001", f"{NAME}-002"]

    asyncio.run(scenario())
