"""A search whose server is killed goes on where it was: no job is lost, none is repeated."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.directory import JobDirectory
from stagemaker.state import StateFolder
from stagemaker.testing import RunningStage, start_stage

IMAGES = Path(__file__).parent / "images"
SCRIPT = """
import json, time
given = json.load(open("/opt/ml/input/config/hyperparameters.json"))
time.sleep(0.2)
print("loss=%r" % ((float(given["x"]) - 3.0) ** 2))
"""
NAME = "survivor"
JOBS = 8


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own. Whatever still runs on it is ended."""
    yield tmp_path / "state"
    if running := StateFolder(tmp_path / "state").running():
        os.kill(running["pid"], signal.SIGKILL)
    for lock in (tmp_path / "state" / "jobs").glob("*/*/runner.lock"):
        JobDirectory(lock.parent).kill_runner()


def create(stage: RunningStage) -> None:
    """A Bayesian search of eight jobs, two at a time."""
    stage.client("sagemaker").create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=NAME,
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": JOBS, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "10"}]},
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {"script": json.dumps(SCRIPT)},
            "AlgorithmSpecification": {
                "TrainingImage": "script:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
            },
            "RoleArn": stage.role_arn,
            "OutputDataConfig": {"S3OutputPath": "s3://data/output"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    )


def describe(stage: RunningStage) -> dict[str, Any]:
    """The tuning job."""
    found: dict[str, Any] = stage.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=NAME
    )
    return found


def completed(job: dict[str, Any]) -> int:
    """How many of its training jobs have completed."""
    return int(job["TrainingJobStatusCounters"]["Completed"])


def test_killed_search_ends_with_the_jobs_it_was_asked_for(state: Path) -> None:
    """Killed at its start and on the way: eight jobs, eight values, a best job that is the best of them."""
    deadline = time.monotonic() + 180
    stage = start_stage(state, images=IMAGES)
    stage.client("s3").create_bucket(Bucket="data")
    create(stage)
    for done_before_the_kill in (0, 3):
        while completed(describe(stage)) < done_before_the_kill:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stage.process.kill()
        stage.process.wait()
        stage = start_stage(state, images=IMAGES)
    try:
        while (job := describe(stage))["HyperParameterTuningJobStatus"] == "InProgress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert completed(job) == JOBS
        sagemaker = stage.client("sagemaker")
        found = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=NAME, MaxResults=100, SortBy="FinalObjectiveMetricValue"
        )["TrainingJobSummaries"]
        assert sorted(one["TrainingJobName"][: len(NAME) + 5] for one in found) == [
            f"{NAME}-{number:03d}-" for number in range(1, JOBS + 1)
        ]
        assert len({one["TunedHyperParameters"]["x"] for one in found}) == JOBS
        assert job["BestTrainingJob"]["TrainingJobName"] == found[0]["TrainingJobName"]
        everything = sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        assert len(everything) == JOBS
    finally:
        stage.stop()
