"""Transform jobs over the wire: objects in, a model's container between, objects out."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError
from hosting import Hosting, wait_for

from stagemaker.jobs.directory import JobDirectory
from stagemaker.state import StateFolder
from stagemaker.testing import RunningStage, start_stage

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGES = Path(__file__).parent / "images"
GROUP = "/aws/sagemaker/TransformJobs"


class Transforms:
    """An account with objects to transform, and short ways to do it."""

    def __init__(self, stage: RunningStage) -> None:
        self.stage = stage
        self.hosting = Hosting(stage)
        self.sagemaker, self.s3, self.logs = stage.client("sagemaker"), stage.client("s3"), stage.client("logs")

    def put(self, **objects: bytes | str) -> None:
        """Objects below `in/`; two underscores are a slash."""
        for key, body in objects.items():
            self.s3.put_object(Bucket="data", Key=f"in/{key.replace('__', '/')}", Body=body)

    def create(self, name: str, given: dict[str, Any] | None = None, **members: Any) -> None:
        """Begin a job over `in/`, or over what `given` says."""
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}}
        self.sagemaker.create_transform_job(
            **{
                "TransformJobName": name,
                "ModelName": "model",
                "TransformInput": {"DataSource": source, "ContentType": "text/csv", **(given or {})},
                "TransformOutput": {"S3OutputPath": f"s3://data/out-{name}"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                **members,
            }
        )

    def finish(self, name: str) -> dict[str, Any]:
        """The description of a job that is over."""
        with contextlib.suppress(WaiterError):
            self.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName=name)
        description: dict[str, Any] = self.sagemaker.describe_transform_job(TransformJobName=name)
        return description

    def run(self, name: str, given: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
        """A job from its beginning to its end; its description."""
        self.create(name, given, **members)
        return self.finish(name)

    def outputs(self, name: str) -> dict[str, bytes]:
        """What the job has stored."""
        found = self.s3.list_objects_v2(Bucket="data", Prefix=f"out-{name}/").get("Contents", [])
        return {
            each["Key"].partition("/")[2]: self.s3.get_object(Bucket="data", Key=each["Key"])["Body"].read()
            for each in found
        }

    def streams(self, name: str) -> list[str]:
        """The job's log streams, without its name."""
        found = self.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        return [each["logStreamName"].removeprefix(f"{name}/") for each in found]

    def data_log(self, name: str) -> list[str]:
        """The lines of all its data logs, without their stamps."""
        return [
            event["message"].partition(":[sagemaker logs]: ")[2]
            for stream in self.streams(name)
            if stream.endswith("/data-log")
            for event in self.logs.get_log_events(logGroupName=GROUP, logStreamName=f"{name}/{stream}")["events"]
        ]


@pytest.fixture
def transforms(account: Account) -> Transforms:
    """An empty account with a bucket and the model `model`, one container that says what it is told."""
    made = Transforms(account.stage)
    made.hosting.model("model", made.hosting.container(MINE="model"))
    return made


def test_job_from_request_to_outputs(transforms: Transforms) -> None:
    """Two instances share the objects; sub-folders are kept; logs, metrics, times and events tell the job's life."""
    sqs, events = transforms.stage.client("sqs"), transforms.stage.client("events")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Transform Job State Change"]}
    events.put_rule(Name="jobs", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="jobs", Targets=[{"Id": "queue", "Arn": arn}])
    transforms.put(a="1,2\n3,4\n", b__c="environment", d="")
    job = transforms.run(
        "done",
        {"SplitType": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
        Environment={"OWN": "yes"},
        BatchStrategy="SingleRecord",
        MaxPayloadInMB=1,
    )
    assert job["TransformJobStatus"] == "Completed", job
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    outputs = transforms.outputs("done")
    assert outputs["a.out"] == b"1,2\n3,4\n"
    assert outputs["d.out"] == b""
    seen = json.loads(outputs["b/c.out"])
    assert seen["argv"] == ["serve"]
    expected = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        "OWN": "yes",
        "MINE": "model",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS" not in seen
    instances = {stream.partition("/")[0] for stream in transforms.streams("done")}
    assert len(instances) == 2
    assert set(transforms.streams("done")) == instances | {f"{each}/data-log" for each in instances}
    settings = "MaxConcurrentTransforms=1, MaxPayloadInMB=1, BatchStrategy=SINGLE_RECORD"
    assert transforms.data_log("done") == [settings, settings]
    metrics = transforms.stage.client("cloudwatch").list_metrics(Namespace=GROUP)["Metrics"]
    hosts = {f"done/{each.rpartition('-')[0]}" for each in instances}
    assert {(each["MetricName"], each["Dimensions"][0]["Value"]) for each in metrics} == {
        (name, host) for name in ("CPUUtilization", "MemoryUtilization") for host in hosts
    }
    changes: list[dict[str, Any]] = []

    def complete() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            changes.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return len(changes) >= 2

    wait_for(complete)
    assert {each["detail"]["TransformJobStatus"] for each in changes} == {"InProgress", "Completed"}


def test_pipeline_from_a_manifest_of_gzip_objects(transforms: Transforms) -> None:
    """Containers in series, a log stream each; what was transformed is captured as manifests."""
    hosting = transforms.hosting
    hosting.model("chain", hosting.container(MARK="1"), {**hosting.container(MARK="2"), "ContainerHostname": "last"})
    transforms.put(x__1=gzip.compress(b"a\n"), x__2=gzip.compress(b"b\n"), y="not named")
    manifest = [{"prefix": "s3://data/in/"}, "x/1", "x/2"]
    transforms.s3.put_object(Bucket="data", Key="manifest", Body=json.dumps(manifest))
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://data/manifest"}}
    job = transforms.run(
        "chained",
        {"DataSource": source, "CompressionType": "Gzip", "SplitType": "Line"},
        ModelName="chain",
        DataCaptureConfig={"DestinationS3Uri": "s3://data/capture"},
        DataProcessing={"JoinSource": "Input"},
        TransformOutput={"S3OutputPath": "s3://data/out-chained/", "AssembleWith": "Line"},
    )
    assert job["TransformJobStatus"] == "Completed", job
    assert transforms.outputs("chained") == {"x/1.out": b"a,21a\n", "x/2.out": b"b,21b\n"}
    names = {stream.partition("/")[2] for stream in transforms.streams("chained")}
    assert names == {"container-1", "last", "data-log"}
    found = transforms.s3.list_objects_v2(Bucket="data", Prefix="capture/")["Contents"]
    captured = {
        each["Key"].split("/")[1]: json.load(transforms.s3.get_object(Bucket="data", Key=each["Key"])["Body"])
        for each in found
    }
    assert captured == {
        "input": [{"prefix": "s3://data/in/x/"}, "1", "2"],
        "output": [{"prefix": "s3://data/out-chained/x/"}, "1.out", "2.out"],
    }


def test_objects_that_fail_fail_the_job(transforms: Transforms) -> None:
    """The others are stored all the same; the data log says what the container said; a dead container comes back."""
    transforms.put(a="fine", b="status 400", c="die", d="fine too")
    job = transforms.run("partly", ModelClientConfig={"InvocationsMaxRetries": 0})
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "ClientError: See job logs for more information"
    assert transforms.outputs("partly") == {"a.out": b"fine", "d.out": b"fine too"}
    assert transforms.data_log("partly") == [
        "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD",
        "data/in/b: ClientError: 400",
        "data/in/b: ",
        "data/in/b: Message:",
        "data/in/b: status 400",
        "data/in/c: Unable to get response from algorithm",
    ]


def test_jobs_that_cannot_begin(transforms: Transforms) -> None:
    """A container that is never healthy; no input; an image that nobody has; outputs that cannot be stored."""
    hosting = transforms.hosting
    hosting.model("dying", hosting.container(DIES="1"))
    hosting.model("nowhere", {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"})
    transforms.put(a="x")
    empty = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/empty/"}}}
    transforms.create("ping", ModelName="dying")
    transforms.create("image", ModelName="nowhere")
    transforms.create("input", empty)
    transforms.create("output", TransformOutput={"S3OutputPath": "s3://no-such-bucket/out"})
    reasons = {name: transforms.finish(name).get("FailureReason", "") for name in ("ping", "image", "input", "output")}
    assert reasons["ping"] == (
        "AlgorithmError: Model container failed to respond to ping. "
        "Please ensure /ping endpoint is implemented and responds with an HTTP 200 status code"
    )
    assert reasons["image"].startswith("ClientError: Cannot pull algorithm container.")
    assert reasons["input"].startswith("ClientError: No objects found under S3 URL: s3://data/empty/.")
    assert reasons["output"].startswith("ClientError: Failed to store the output of the transform job.")


def test_stop(transforms: Transforms, tmp_path: Path) -> None:
    """A job that is stopped keeps what is whole and nothing else."""
    transforms.put(a="fine", b=f"await {tmp_path}/never", c="fine")
    transforms.create("stopped")
    wait_for(lambda: transforms.outputs("stopped"))
    transforms.sagemaker.stop_transform_job(TransformJobName="stopped")
    job = transforms.finish("stopped")
    assert job["TransformJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert transforms.outputs("stopped") == {"a.out": b"fine"}


def test_job_whose_runner_is_killed(transforms: Transforms, tmp_path: Path) -> None:
    """It has failed, its containers are gone, and what was whole is there."""
    transforms.put(a="pid", b=f"await {tmp_path}/never")
    transforms.create("killed")
    wait_for(lambda: transforms.outputs("killed"))
    container = int(transforms.outputs("killed")["a.out"])
    assert is_there(container)
    runner = transforms.stage.folder.transform_jobs / "us-east-1" / "killed" / "runner.lock"
    os.kill(int(runner.read_text()), signal.SIGKILL)
    job = transforms.finish("killed")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: ")
    wait_for(lambda: not is_there(container))
    assert set(transforms.outputs("killed")) == {"a.out"}


def is_there(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] != "Z"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own. Whatever still runs on it is ended."""
    yield tmp_path / "state"
    if running := StateFolder(tmp_path / "state").running():
        os.kill(running["pid"], signal.SIGKILL)
    for lock in (tmp_path / "state" / "transform-jobs").glob("*/*/runner.lock"):
        JobDirectory(lock.parent).kill_runner()


def test_job_outlives_a_killed_server(state: Path, tmp_path: Path) -> None:
    """It goes on, waits for S3 to come back, and the next server takes up its record."""
    stage = start_stage(state, images=IMAGES)
    stage.client("s3").create_bucket(Bucket="data")
    transforms = Transforms(stage)
    transforms.hosting.model("model", transforms.hosting.container())
    transforms.put(a="fine", b=f"await {tmp_path}/go")
    transforms.create("survivor")
    wait_for(lambda: transforms.outputs("survivor"))
    stage.process.kill()
    stage.process.wait()
    (tmp_path / "go").touch()
    stage = start_stage(state, images=IMAGES)
    try:
        transforms = Transforms(stage)
        job = transforms.finish("survivor")
        assert job["TransformJobStatus"] == "Completed", job
        assert set(transforms.outputs("survivor")) == {"a.out", "b.out"}
    finally:
        stage.stop()
