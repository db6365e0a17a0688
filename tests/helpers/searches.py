"""A tuning job for tests that kill its server, and what must be true of it in the end."""

from __future__ import annotations

import json
import time
from typing import Any

from stagemaker.testing import RunningStage

NAME = "survivor"
_SCRIPT = """
import json, time
given = json.load(open("/opt/ml/input/config/hyperparameters.json"))
time.sleep(0.2)
print("loss=%r" % ((float(given["x"]) - 3.0) ** 2))
"""


def create(stage: RunningStage, jobs: int) -> None:
    """A Bayesian search of `jobs` jobs, two at a time, in a stage with the image `script`."""
    stage.client("s3").create_bucket(Bucket="data")
    stage.client("sagemaker").create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=NAME,
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "10"}]},
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {"script": json.dumps(_SCRIPT)},
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


def completed(stage: RunningStage) -> int:
    """How many of its training jobs have completed."""
    return int(describe(stage)["TrainingJobStatusCounters"]["Completed"])


def check(stage: RunningStage, jobs: int, deadline: float) -> None:
    """At its end the search has the jobs that it was asked for, each once, and its best job is the best of them."""
    while (job := describe(stage))["HyperParameterTuningJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == jobs
    sagemaker = stage.client("sagemaker")
    found = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=NAME, MaxResults=100, SortBy="FinalObjectiveMetricValue"
    )["TrainingJobSummaries"]
    assert sorted(one["TrainingJobName"][: len(NAME) + 5] for one in found) == [
        f"{NAME}-{number:03d}-" for number in range(1, jobs + 1)
    ]
    assert len({one["TunedHyperParameters"]["x"] for one in found}) == jobs
    assert job["BestTrainingJob"]["TrainingJobName"] == found[0]["TrainingJobName"]
    assert len(sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]) == jobs
