"""Killed at 50 random moments over a mix of calls: nothing that was acknowledged is lost.

The seed is printed and, with a failure, in the assertion; `STAGEMAKER_SEED` repeats a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stagemaker.testing import BACKING_VARIABLE, RunningStage, start_stage
from stagemaker_labs.proof import prove

KILLS = int(os.environ.get("STAGEMAKER_KILLS", "50"))
IMAGES = Path(__file__).parents[1] / "stage" / "images"
LABS = sorted(folder.parent for folder in (Path(__file__).parents[2] / "labs").glob("*/lab.toml"))
TARGET = ["--target", "localstack"] if BACKING_VARIABLE in os.environ else []
BUCKET = "kept"
GROUP = "kept"

Check = Callable[["Client"], None]


@dataclass
class Client:
    """The administrator's clients of whichever stage runs now. No retries: an answer or none."""

    stage: RunningStage
    session: boto3.Session
    made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __call__(self, service: str, **credentials: str) -> Any:
        """A client, with other credentials when some are given."""
        key = (service, credentials.get("aws_access_key_id", ""))
        if key not in self.made:
            variables = self.stage.environment()
            own = {
                "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            }
            config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20)
            make: Any = self.session.client
            self.made[key] = make(
                service,
                endpoint_url=self.stage.endpoint,
                region_name="us-east-1",
                config=config,
                **(credentials or own),
            )
        return self.made[key]


def put_object(client: Client, number: int) -> Check:
    """An object and its version."""
    body = os.urandom(2000 + number)
    version = client("s3").put_object(Bucket=BUCKET, Key="object", Body=body)["VersionId"]

    def check(later: Client) -> None:
        answer = later("s3").get_object(Bucket=BUCKET, Key="object", VersionId=version)
        assert answer["Body"].read() == body

    return check


def put_policy(client: Client, number: int) -> Check:
    """A bucket and its policy."""
    name = f"policy-{number}"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": f"arn:aws:s3:::{name}"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    client("s3").create_bucket(Bucket=name)
    client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(document))
    return lambda later: _same(json.loads(later("s3").get_bucket_policy(Bucket=name)["Policy"]), document)


def create_key(client: Client, number: int) -> Check:
    """A user's access key, which still opens the door."""
    name = f"user-{number}"
    client("iam").create_user(UserName=name)
    key = client("iam").create_access_key(UserName=name)["AccessKey"]

    def check(later: Client) -> None:
        sts = later("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        assert sts.get_caller_identity()["Arn"].endswith(f":user/{name}")

    return check


def assume_role(client: Client, number: int) -> Check:
    """A session of a role."""
    name = f"role-{number}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]

    def check(later: Client) -> None:
        sts = later(
            "sts",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
        assert sts.get_caller_identity()["Arn"].endswith(f":assumed-role/{name}/session")

    return check


def put_log_events(client: Client, number: int) -> Check:
    """Two log events, once each."""
    messages = [f"{number}-a", f"{number}-b"]
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    client("logs").create_log_stream(logGroupName=GROUP, logStreamName=str(number))
    client("logs").put_log_events(logGroupName=GROUP, logStreamName=str(number), logEvents=events)

    def check(later: Client) -> None:
        found = later("logs").get_log_events(logGroupName=GROUP, logStreamName=str(number), startFromHead=True)
        assert [event["message"] for event in found["events"]] == messages

    return check


def put_metric(client: Client, number: int) -> Check:
    """A metric's value."""
    now = datetime.now(tz=UTC)
    datum = {"MetricName": f"m{number}", "Value": float(number), "Timestamp": now}
    client("cloudwatch").put_metric_data(Namespace="Kept", MetricData=[datum])

    def check(later: Client) -> None:
        points = later("cloudwatch").get_metric_statistics(
            Namespace="Kept",
            MetricName=f"m{number}",
            StartTime=now.replace(second=0, microsecond=0),
            EndTime=datetime.fromtimestamp(now.timestamp() + 60, tz=UTC),
            Period=3600,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        assert [(point["Sum"], point["SampleCount"]) for point in points] == [(float(number), 1.0)]

    return check


def create_job(client: Client, number: int) -> Check:
    """A tagged training job, which completes whoever is killed meanwhile."""
    name = f"job-{number}"
    sagemaker = client("sagemaker")
    arn = sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "toy:1", "TrainingInputMode": "File"},
        RoleArn=client.stage.role_arn,
        HyperParameters={"sleep": "0.5", "model": name},
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        Tags=[{"Key": "number", "Value": str(number)}],
    )["TrainingJobArn"]

    def check(later: Client) -> None:
        deadline = time.monotonic() + 120
        while (job := later("sagemaker").describe_training_job(TrainingJobName=name))["TrainingJobStatus"] in {
            "InProgress",
            "Stopping",
        }:
            assert time.monotonic() < deadline, f"{name} hangs in {job['SecondaryStatus']}"
            time.sleep(0.1)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert later("sagemaker").list_tags(ResourceArn=arn)["Tags"] == [{"Key": "number", "Value": str(number)}]
        later("s3").head_object(Bucket=BUCKET, Key=f"output/{name}/output/model.tar.gz")

    return check


CALLS = (put_object, put_policy, create_key, assume_role, put_log_events, put_metric, create_job)


def _same(found: object, expected: object) -> None:
    assert found == expected


def work(
    client: Client, chance: random.Random, numbers: Any, kept: list[tuple[str, Check]], killed: threading.Event
) -> None:
    """Make calls until the stage is gone, and note what must be true of those that were answered."""
    while True:
        call = chance.choice(CALLS)
        number = next(numbers)
        try:
            check = call(client, number)
        except (BotoCoreError, ClientError):
            # Not acknowledged, whole or in part: it may have happened or not.
            if killed.wait(timeout=1):
                return
            raise
        kept.append((f"{call.__name__} {number}", check))


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Bucket policies, keys, sessions, log events, metrics, tags, versions and jobs outlive every kill."""
    import itertools

    seed = int(os.environ.get("STAGEMAKER_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"STAGEMAKER_SEED={seed}")
    (tmp_path / "seed").write_text(str(seed))
    chance, numbers = random.Random(seed), itertools.count()
    session = boto3.Session()
    kept: list[tuple[str, Check]] = []

    stage = start_stage(tmp_path / "state", images=IMAGES)
    first = Client(stage, session)
    first("s3").create_bucket(Bucket=BUCKET)
    first("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first("logs").create_log_group(logGroupName=GROUP)
    for _ in range(KILLS):
        client = Client(stage, session)
        failures: list[BaseException] = []
        killed = threading.Event()

        def run(
            client: Client = client, failures: list[BaseException] = failures, killed: threading.Event = killed
        ) -> None:
            try:
                work(client, chance, numbers, kept, killed)
            except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
                failures.append(error)

        worker = threading.Thread(target=run)
        worker.start()
        time.sleep(chance.uniform(0.0, 0.8))
        killed.set()
        stage.process.kill()
        stage.process.wait()
        worker.join()
        assert not failures, f"seed {seed}: {failures}"
        stage = start_stage(tmp_path / "state", images=IMAGES)

    last = Client(stage, session)
    lost = []
    for what, check in kept:
        try:
            check(last)
        except (AssertionError, ClientError) as error:
            lost.append(f"{what}: {error}")
    print(f"{KILLS} kills, {len(kept)} acknowledged calls")
    assert len(kept) > KILLS / 2
    assert not lost, f"seed {seed}: {lost}"
    for lab in LABS:
        env = {"STAGEMAKER_STATE": str(stage.folder.root)}
        proof = prove(lab, lab / "author" / "solution.py", work=tmp_path / lab.name, env=env, arguments=TARGET)
        assert proof.exit_code == 0, proof.output
    with contextlib.suppress(Exception):
        stage.stop()
