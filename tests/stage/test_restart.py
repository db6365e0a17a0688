"""Kill the server at any point: jobs go on, and nothing that was acknowledged is lost."""

from __future__ import annotations

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


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own. Whatever still runs on it is ended."""
    yield tmp_path / "state"
    if running := StateFolder(tmp_path / "state").running():
        os.kill(running["pid"], signal.SIGKILL)
    for lock in (tmp_path / "state" / "jobs").glob("*/*/runner.lock"):
        JobDirectory(lock.parent).kill_runner()


def kill(stage: RunningStage) -> None:
    """SIGKILL: no chance to say goodbye."""
    stage.process.kill()
    stage.process.wait()


def create(stage: RunningStage, name: str, **hyperparameters: str) -> None:
    """A toy job with one metric."""
    stage.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": "toy:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
        },
        RoleArn=stage.role_arn,
        HyperParameters=hyperparameters,
        OutputDataConfig={"S3OutputPath": "s3://data/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        Tags=[{"Key": "team", "Value": "a"}],
    )


def finish(stage: RunningStage, name: str) -> dict[str, Any]:
    """The description of a job that must complete."""
    sagemaker = stage.client("sagemaker")
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
    description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
    return description


@pytest.mark.parametrize("down_seconds", [0.0, 3.0])
def test_job_outlives_a_killed_server(state: Path, down_seconds: float) -> None:
    """A job whose server dies completes, also when it ends while no server runs; nothing counts twice."""
    stage = start_stage(state, images=IMAGES)
    stage.client("s3").create_bucket(Bucket="data")
    create(stage, "survivor", sleep="2", model="weights", lines='["loss=0.5", "loss=0.25"]')
    while stage.client("sagemaker").describe_training_job(TrainingJobName="survivor")["SecondaryStatus"] != "Training":
        time.sleep(0.05)
    kill(stage)
    time.sleep(down_seconds)
    stage = start_stage(state, images=IMAGES)
    try:
        job = finish(stage, "survivor")
        assert job["TrainingJobStatus"] == "Completed"
        assert [metric["Value"] for metric in job["FinalMetricDataList"]] == [0.25]
        stage.client("s3").head_object(Bucket="data", Key="output/survivor/output/model.tar.gz")
        assert stage.client("sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"][0]["Value"] == "a"
        points = stage.client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs",
            MetricName="loss",
            Dimensions=[{"Name": "TrainingJobName", "Value": "survivor"}],
            StartTime=job["CreationTime"].replace(second=0, microsecond=0),
            EndTime=job["TrainingEndTime"],
            Period=3600,
            Statistics=["SampleCount"],
        )["Datapoints"]
        assert sum(point["SampleCount"] for point in points) == 2
        statuses = [step["Status"] for step in job["SecondaryStatusTransitions"]]
        assert statuses == ["Starting", "Training", "Uploading", "Completed"]
    finally:
        stage.stop()


def test_job_whose_runner_is_killed_fails_as_an_internal_error(state: Path) -> None:
    """A lost runner is nobody's mistake but the stage's, and its container does not live on."""
    stage = start_stage(state, images=IMAGES)
    try:
        stage.client("s3").create_bucket(Bucket="data")
        create(stage, "lost", sleep="60")
        sagemaker = stage.client("sagemaker")
        while sagemaker.describe_training_job(TrainingJobName="lost")["SecondaryStatus"] != "Training":
            time.sleep(0.05)
        os.kill(int((state / "jobs" / "us-east-1" / "lost" / "runner.lock").read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while (job := sagemaker.describe_training_job(TrainingJobName="lost"))["TrainingJobStatus"] == "InProgress":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("InternalServerError: ")
    finally:
        stage.stop()


def test_acknowledged_writes_survive_kills(state: Path) -> None:
    """Killed right after each answer: bucket, policy, user, key, log events, metric and object are there."""
    import json
    from datetime import UTC, datetime

    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": "arn:aws:s3:::kept"}
            ],
        }
    )
    stamp = int(time.time() * 1000)
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("s3", "create_bucket", {"Bucket": "kept"}),
        ("s3", "put_bucket_policy", {"Bucket": "kept", "Policy": policy}),
        ("s3", "put_object", {"Bucket": "kept", "Key": "k", "Body": b"v"}),
        ("iam", "create_user", {"UserName": "kept"}),
        ("logs", "create_log_group", {"logGroupName": "kept"}),
        ("logs", "create_log_stream", {"logGroupName": "kept", "logStreamName": "s"}),
        (
            "logs",
            "put_log_events",
            {"logGroupName": "kept", "logStreamName": "s", "logEvents": [{"timestamp": stamp, "message": "m"}]},
        ),
        (
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "Kept", "MetricData": [{"MetricName": "m", "Value": 1.0, "Timestamp": datetime.now(tz=UTC)}]},
        ),
    ]
    for service, operation, parameters in steps:
        stage = start_stage(state)
        getattr(stage.client(service), operation)(**parameters)
        kill(stage)
    stage = start_stage(state)
    try:
        s3 = stage.client("s3")
        assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"v"
        assert json.loads(s3.get_bucket_policy(Bucket="kept")["Policy"]) == json.loads(policy)
        assert stage.client("iam").get_user(UserName="kept")["User"]["UserName"] == "kept"
        events = stage.client("logs").get_log_events(logGroupName="kept", logStreamName="s")["events"]
        assert [event["message"] for event in events] == ["m"]
        metrics = stage.client("cloudwatch").list_metrics(Namespace="Kept")["Metrics"]
        assert [metric["MetricName"] for metric in metrics] == ["m"]
    finally:
        stage.stop()
