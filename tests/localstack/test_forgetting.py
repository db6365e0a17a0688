"""LocalStack keeps nothing over a restart: the stage notices, says so, and describes nothing that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stagemaker.testing import RunningStage, start_stage

StageId = Callable[[RunningStage], str]
ANEW = "is not the one that held this account (it was started anew)"


def use(stage: RunningStage) -> str:
    """A bucket, a user, logs, a metric and a key that opens the door; the key's id."""
    stage.client("s3").create_bucket(Bucket="data")
    stage.client("iam").create_user(UserName="ann")
    stage.client("logs").create_log_group(logGroupName="mine")
    datum = {"MetricName": "m", "Value": 1.0, "Timestamp": datetime.now(tz=UTC)}
    stage.client("cloudwatch").put_metric_data(Namespace="Mine", MetricData=[datum])
    return str(stage.client("iam").create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"])


def held(stage: RunningStage) -> dict[str, list[str]]:
    """What the account holds, by the stage's own services and by LocalStack's."""
    return {
        "buckets": [bucket["Name"] for bucket in stage.client("s3").list_buckets()["Buckets"]],
        "users": sorted(user["UserName"] for user in stage.client("iam").list_users()["Users"]),
        "groups": [group["logGroupName"] for group in stage.client("logs").describe_log_groups()["logGroups"]],
        "metrics": [metric["MetricName"] for metric in stage.client("cloudwatch").list_metrics()["Metrics"]],
    }


USED = {"buckets": ["data"], "users": ["admin", "ann", "learner"], "groups": ["mine"], "metrics": ["m"]}
NEW: dict[str, list[str]] = {"buckets": [], "users": ["admin", "learner"], "groups": [], "metrics": []}


def wait_for_another(stage: RunningStage, old: str, stage_id: StageId) -> None:
    """Until the account has another id."""
    deadline = time.monotonic() + 20
    while stage_id(stage) == old:
        assert time.monotonic() < deadline, stage.folder.stage_log.read_text()
        time.sleep(0.05)


def again(stage: RunningStage, url: str) -> RunningStage:
    """The stage of the same folder, killed and started."""
    stage.process.kill()
    stage.process.wait()
    return start_stage(stage.folder.root, backing_url=url)


def test_a_restarted_stage_finds_the_account(stage: RunningStage, localstack: Any, stage_id: StageId) -> None:
    """As long as LocalStack runs, killing the stage loses nothing, and it is the same account."""
    use(stage)
    before = stage_id(stage)
    later = again(stage, localstack.url)
    try:
        assert held(later) == USED
        assert stage_id(later) == before
        assert ANEW not in later.folder.stage_log.read_text()
    finally:
        later.process.kill()
        later.process.wait()


def test_a_new_localstack_is_noticed_while_the_stage_runs(
    stage: RunningStage, localstack: Any, stage_id: StageId
) -> None:
    """The account begins anew: no logs or metrics of the old one, keys of the old users are dead, ours work."""
    key = use(stage)
    before = stage_id(stage)
    localstack.end()
    localstack.start()
    wait_for_another(stage, before, stage_id)
    assert held(stage) == NEW
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stage.client("s3", aws_access_key_id=key).list_buckets()
    stage.client("s3", admin=False).create_bucket(Bucket="data")
    log = stage.folder.stage_log.read_text()
    assert log.count(ANEW) == 1
    assert "Traceback" not in log


def test_a_job_does_not_outlive_the_account(stage: RunningStage, localstack: Any, stage_id: StageId) -> None:
    """Neither in the list nor as a process: its bucket and its role are gone."""
    stage.client("s3").create_bucket(Bucket="data")
    stage.client("s3").put_object(Bucket="data", Key="train/a.csv", Body=b"1,2\n0,1\n" * 5000)
    sagemaker = stage.client("sagemaker")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train/"}}
    sagemaker.create_training_job(
        TrainingJobName="gone",
        AlgorithmSpecification={
            "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
            "TrainingInputMode": "File",
        },
        RoleArn=stage.role_arn,
        HyperParameters={"num_round": "100000"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source, "ContentType": "text/csv"}],
        OutputDataConfig={"S3OutputPath": "s3://data/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    while sagemaker.describe_training_job(TrainingJobName="gone")["SecondaryStatus"] != "Training":
        time.sleep(0.05)
    before = stage_id(stage)
    localstack.end()
    localstack.start()
    wait_for_another(stage, before, stage_id)
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    assert not list(stage.folder.jobs.glob("*/gone"))


def test_a_new_localstack_is_noticed_at_the_start(stage: RunningStage, localstack: Any, stage_id: StageId) -> None:
    """LocalStack was started anew while no stage ran."""
    use(stage)
    before = stage_id(stage)
    stage.process.terminate()
    stage.process.wait(20)
    localstack.end()
    localstack.start()
    later = again(stage, localstack.url)
    try:
        assert stage_id(later) != before
        assert held(later) == NEW
        assert later.folder.stage_log.read_text().count(ANEW) == 1
    finally:
        later.process.kill()
        later.process.wait()


def test_calls_while_localstack_is_away(stage: RunningStage, localstack: Any, stage_id: StageId) -> None:
    """An error that names LocalStack's address, and no hanging; when it is back, so is the stage."""
    once = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    localstack.end()
    begun = time.monotonic()
    with pytest.raises(ClientError, match=f"LocalStack at {localstack.url} does not answer") as refused:
        stage.client("sqs", config=once).list_queues()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert time.monotonic() - begun < 15
    before = stage_id(stage)
    localstack.start()
    wait_for_another(stage, before, stage_id)
    assert held(stage) == NEW
    log = stage.folder.stage_log.read_text()
    assert log.count("does not answer") == 1
    assert log.count("answers again") == 1
