"""A job's life beyond the simple case: programs, hosts, stops, checkpoints, spot capacity, events, usage."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.jobs import namespace
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.kept import KeptFolders
from stagemaker.jobs.local_connection import local_address
from stagemaker.testing import BACKING_VARIABLE

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

REPORT = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
(base / "output/data/report.json").write_text(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}))
"""
TWO_HOSTS = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


def refusal(account: Account, **members: Any) -> str:
    """The message with which the request is refused."""
    with pytest.raises(ClientError) as caught:
        account.client("sagemaker").create_training_job(**account.request("refused", **members))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def wait_for(condition: Any, seconds: float = 60) -> Any:
    """Until `condition()` holds; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return value


def describe(account: Account, name: str) -> dict[str, Any]:
    """DescribeTrainingJob."""
    description: dict[str, Any] = account.client("sagemaker").describe_training_job(TrainingJobName=name)
    return description


def statuses(job: dict[str, Any]) -> list[str]:
    """The secondary statuses, in order."""
    return [step["Status"] for step in job["SecondaryStatusTransitions"]]


def output(account: Account, name: str, archive: str) -> dict[str, str]:
    """The files of an archive of the job, as text."""
    body = account.client("s3").get_object(Bucket="data", Key=f"output/{name}/output/{archive}")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as opened:
        return {member.name: opened.extractfile(member).read().decode() for member in opened}  # type: ignore[union-attr] # files


def test_entrypoint_and_arguments(account: Account) -> None:
    """ContainerEntrypoint replaces the program, ContainerArguments the word `train`; /opt/ml in them is the job's."""
    account.client("s3").put_object(Bucket="data", Key="code/report.py", Body=REPORT.encode())
    algorithm = account.request("x")["AlgorithmSpecification"] | {
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/report.py"],
        "ContainerArguments": ["--model", "/opt/ml/model", "x/opt/ml"],
    }
    code = [account.channel("code", "code/")]
    environment = {"WHERE": "/opt/ml/code"}
    job = account.train("words", AlgorithmSpecification=algorithm, InputDataConfig=code, Environment=environment)
    report = account.report("words")
    assert report["argv"][0] == "--model"
    base = report["env"]["SAGEMAKER_BASE_DIR"]
    assert report["argv"][1] == f"{base}/model"
    assert report["argv"][2] == "x/opt/ml"
    assert report["env"]["WHERE"] == f"{base}/code"
    for member in ("ContainerArguments", "ContainerEntrypoint"):
        assert job["AlgorithmSpecification"][member] == algorithm.pop(member)
    algorithm["ContainerEntrypoint"] = ["python3", "/opt/ml/input/data/code/report.py"]
    account.train("bare", AlgorithmSpecification=algorithm, InputDataConfig=code)
    assert account.report("bare")["argv"] == []


def test_arguments_for_the_images_own_program(account: Account) -> None:
    """ContainerArguments alone are given to the image's program instead of `train`."""
    algorithm = account.request("x")["AlgorithmSpecification"] | {"ContainerArguments": ["fit", "--fast"]}
    account.train("arguments", {"report": "1"}, AlgorithmSpecification=algorithm)
    assert account.report("arguments")["argv"] == ["fit", "--fast"]


def test_missing_entrypoint_is_the_jobs_failure(account: Account) -> None:
    """An entrypoint that the image does not have fails the job, by name."""
    algorithm = account.request("x")["AlgorithmSpecification"] | {"ContainerEntrypoint": ["no-such-program"]}
    reason = account.fail("missing", AlgorithmSpecification=algorithm)["FailureReason"]
    assert reason == "ClientError: Cannot run algorithm container. No such file or directory: no-such-program"


def test_both_outputs_are_one_log(account: Account) -> None:
    """What goes to standard output and to standard error are events of one stream, in their order."""
    script = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three')"
    account.run("outputs", **account.script(script))
    logs = account.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    events = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="outputs/")["events"]
    assert [event["message"] for event in events] == ["one", "two", "three"]


def test_uncompressed_artifacts(account: Account) -> None:
    """CompressionType NONE: the model's files themselves below output/model/, which is the artifact's address."""
    job = account.train(
        "plain", {"model": "weights"}, OutputDataConfig={"S3OutputPath": "s3://data/output", "CompressionType": "NONE"}
    )
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://data/output/plain/output/model/"
    keys = account.client("s3").list_objects_v2(Bucket="data", Prefix="output/plain/")["Contents"]
    assert [entry["Key"] for entry in keys] == ["output/plain/output/model/model.txt"]


HOST = """
import json, os, pathlib, socket, time
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
me, hosts = config["current_host"], config["hosts"]
addresses = json.loads(os.environ["STAGEMAKER_HOSTS"])
print("I am", me, flush=True)
if me == "algo-1":
    with socket.create_server((addresses[me], 7777)) as server:
        peer, _ = server.accept()
        said = peer.makefile().readline()
else:
    with socket.create_server((addresses[me], 7777)):
        pass
    for _ in range(200):
        try:
            peer = socket.create_connection((addresses["algo-1"], 7777), timeout=5)
            break
        except OSError:
            time.sleep(0.05)
    peer.sendall(f"{me} of {os.environ['CURRENT_HOST']}\\n".encode())
    said = ""
pathlib.Path(f"/opt/ml/model/{me}").write_text(json.dumps([hosts, said]))
pathlib.Path("/opt/ml/model/shared").write_text(me)
"""


def test_two_hosts_meet_and_leave_one_artifact(account: Account) -> None:
    """Each host has its own tree and log stream, finds its peer, and all leave their files in one archive."""
    job = account.train("pair", **account.script(HOST), ResourceConfig=TWO_HOSTS)
    assert job["TrainingJobStatus"] == "Completed"
    files = output(account, "pair", "model.tar.gz")
    assert json.loads(files["algo-1"]) == [["algo-1", "algo-2"], "algo-2 of algo-2\n"]
    assert json.loads(files["algo-2"])[0] == ["algo-1", "algo-2"]
    assert files["shared"] in {"algo-1", "algo-2"}
    logs = account.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="pair/")["logStreams"]
    names = [stream["logStreamName"] for stream in streams]
    assert [name.rsplit("-", 1)[0] for name in names] == ["pair/algo-1", "pair/algo-2"]
    said = [logs.get_log_events(logGroupName=group, logStreamName=name)["events"][0]["message"] for name in names]
    assert said == ["I am algo-1", "I am algo-2"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"]


def test_host_that_fails_ends_the_others(account: Account) -> None:
    """The job fails with the failing host's reason, and no host goes on."""
    script = """
import os, pathlib, sys, time
if os.environ["CURRENT_HOST"] == "algo-2":
    pathlib.Path("/opt/ml/output/failure").write_text("two gave up")
    sys.exit(4)
time.sleep(60)
"""
    job = account.fail("half", **account.script(script), ResourceConfig=TWO_HOSTS)
    assert job["FailureReason"] == "AlgorithmError: two gave up, exit code: 4"


def test_deaf_container_is_killed_after_the_grace_period(account: Account) -> None:
    """SIGTERM, the grace period (1.5 s on this stage), SIGKILL: also for what ran away into a session of its own."""
    script = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
pathlib.Path("/opt/ml/model/kept").write_text("x")
print("ready", flush=True)
time.sleep(600)
"""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("deaf", **account.script(script)))
    ready = account.stage.folder.jobs / "us-east-1" / "deaf" / "algo-1" / "opt" / "ml" / "model" / "kept"
    wait_for(ready.exists)
    start = time.monotonic()
    sagemaker.stop_training_job(TrainingJobName="deaf")
    job = account.settle("deaf")
    assert time.monotonic() - start > 1.4
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("/deaf/output/model.tar.gz")
    assert statuses(job) == ["Starting", "Training", "Stopping", "Uploading", "Stopped"]
    assert not _processes_below(account, "deaf")


def _processes_below(account: Account, name: str) -> list[str]:
    """Command lines of living processes that work in the job's folder."""
    folder = str(account.stage.folder.jobs / "us-east-1" / name)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str((entry / "cwd").readlink()).startswith(folder):
                    found.append((entry / "cmdline").read_text())
    return found


CHECKPOINTING = """
import json, pathlib, time
config = json.load(open("/opt/ml/input/config/checkpointconfig.json"))
folder = pathlib.Path(config["LocalPath"])
before = sorted(p.name for p in folder.iterdir())
(folder / f"epoch-{len(before)}").write_text("weights")
pathlib.Path("/opt/ml/model/before.json").write_text(json.dumps(before))
print("saved", flush=True)
time.sleep(LAST if before else FIRST)
"""


def checkpointing(account: Account, first: float = 0, last: float = 0) -> dict[str, Any]:
    """A program that leaves one more checkpoint each time it starts, then sleeps."""
    return account.script(CHECKPOINTING.replace("FIRST", str(first)).replace("LAST", str(last)))


def test_checkpoints_come_and_go(account: Account) -> None:
    """What lies under CheckpointConfig.S3Uri is there at the start; what is written is there after the end."""
    config = {"S3Uri": "s3://data/checkpoints"}
    for name, before in (("one", []), ("two", ["epoch-0"])):
        job = account.train(name, **checkpointing(account), CheckpointConfig=config)
        assert job["CheckpointConfig"] == {"S3Uri": "s3://data/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
        assert json.loads(output(account, name, "model.tar.gz")["before.json"]) == before
    keys = account.client("s3").list_objects_v2(Bucket="data", Prefix="checkpoints/")["Contents"]
    assert [entry["Key"] for entry in keys] == ["checkpoints/epoch-0", "checkpoints/epoch-1"]


def test_checkpoints_are_copied_while_the_job_runs(account: Account) -> None:
    """A checkpoint is in S3 seconds after it was written, long before the job ends."""
    account.client("sagemaker").create_training_job(
        **account.request(
            "long",
            **checkpointing(account, first=60),
            CheckpointConfig={"S3Uri": "s3://data/running/"},
        )
    )
    s3 = account.client("s3")
    wait_for(lambda: s3.list_objects_v2(Bucket="data", Prefix="running/")["KeyCount"], 15)
    assert describe(account, "long")["TrainingJobStatus"] == "InProgress"
    account.client("sagemaker").stop_training_job(TrainingJobName="long")
    assert account.settle("long")["TrainingJobStatus"] == "Stopped"


def spot(wait: int = 900, run: int = 600) -> dict[str, Any]:
    """The members that make a spot job."""
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": run, "MaxWaitTimeInSeconds": wait},
    }


def test_spot_job_is_interrupted_and_goes_on_from_its_checkpoint(account: Account) -> None:
    """Interrupted, then Starting again; the checkpoint is there; fewer seconds are billed than were trained."""
    import subprocess
    import sys

    account.client("sagemaker").create_training_job(
        **account.request(
            "spot",
            **checkpointing(account, first=60, last=3),
            CheckpointConfig={"S3Uri": "s3://data/spot/"},
            **spot(),
        )
    )
    saved = account.stage.folder.jobs / "us-east-1" / "spot" / "algo-1" / "opt" / "ml" / "checkpoints" / "epoch-0"
    wait_for(lambda: saved.exists() and saved.read_text() == "weights")
    command = [sys.executable, "-m", "stagemaker", "interrupt", "spot", "--state", str(account.stage.folder.root)]
    subprocess.run(command, check=True, capture_output=True)
    job = account.settle("spot")
    assert job["TrainingJobStatus"] == "Completed"
    middle = statuses(job)
    assert middle == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert json.loads(output(account, "spot", "model.tar.gz")["before.json"]) == ["epoch-0"]
    assert job["TrainingTimeInSeconds"] >= 3
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    streams = account.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="spot/"
    )["logStreams"]
    assert len(streams) == 2
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "is not running" in again.stderr


def test_spot_job_that_waits_too_long(account: Account) -> None:
    """MaxWaitTimeInSeconds counts from the creation, and ends the job with its own status."""
    job = account.train("waits", {"sleep": "60"}, **spot(wait=2, run=2))
    assert job["SecondaryStatus"] in {"MaxWaitTimeExceeded", "MaxRuntimeExceeded"}
    assert job["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds is required"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 5, "MaxWaitTimeInSeconds": 9}}, "Invalid MaxWaitTimeInSeconds"),
        (spot(wait=5, run=9), "Invalid MaxWaitTimeInSeconds"),
        ({"CheckpointConfig": {"S3Uri": "s3://data/x", "LocalPath": "/tmp/x"}}, "CheckpointConfig.LocalPath"),  # noqa: S108 - refused
        ({"CheckpointConfig": {"S3Uri": "s3://data/x", "LocalPath": "/opt/ml/input/x"}}, "CheckpointConfig.LocalPath"),
    ],
)
def test_rules_of_spot_and_checkpoints(account: Account, members: dict[str, Any], words: str) -> None:
    """What does not go together is refused when the job is made."""
    assert words in refusal(account, **members)


def test_usage_is_measured_on_the_real_processes(account: Account) -> None:
    """CPUUtilization, MemoryUtilization, DiskUtilization in percent, for each host."""
    script = "import time\nblob = bytearray(300_000_000)\nwhile time.process_time() < 1.5: pass"
    job = account.train("busy", **account.script(script))
    cloudwatch = account.client("cloudwatch")

    def value(metric: str) -> float:
        points = cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs",
            MetricName=metric,
            Dimensions=[{"Name": "Host", "Value": "busy/algo-1"}],
            StartTime=job["CreationTime"] - timedelta(minutes=1),
            EndTime=job["TrainingEndTime"] + timedelta(minutes=2),
            Period=3600,
            Statistics=["Maximum"],
            Unit="Percent",
        )["Datapoints"]
        assert len(points) == 1
        return float(points[0]["Maximum"])

    total = 8 << 30  # what an ml.m5.large has
    # The last look may have missed what came within a second of the end, and others use the machine too.
    seconds = (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
    assert 100 * 0.4 / seconds < value("CPUUtilization") < 130
    assert 100 * 250e6 / total < value("MemoryUtilization") < 100 * 600e6 / total
    assert 0 <= value("DiskUtilization") < 1


def test_state_changes_reach_eventbridge(account: Account) -> None:
    """A rule on aws.sagemaker gets one event for each status, in order, that holds what Describe answers."""
    sqs, events = account.client("sqs"), account.client("events")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(
        Name="jobs",
        EventPattern=json.dumps({"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"]}),
    )
    events.put_targets(Rule="jobs", Targets=[{"Id": "queue", "Arn": arn}])
    job = account.train("told", {"model": "x"})
    seen: list[dict[str, Any]] = []

    def complete() -> bool:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            seen.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return any(event["detail"]["TrainingJobStatus"] == "Completed" for event in seen)

    wait_for(complete)
    secondary = [event["detail"]["SecondaryStatus"] for event in seen]
    assert sorted(secondary) == sorted(statuses(job))
    last = next(event for event in seen if event["detail"]["TrainingJobStatus"] == "Completed")
    assert last["source"] == "aws.sagemaker"
    assert last["resources"] == [job["TrainingJobArn"]]
    assert last["detail"]["TrainingJobName"] == "told"
    assert last["detail"]["TrainingEndTime"] == round(job["TrainingEndTime"].timestamp() * 1000)
    assert last["detail"]["ModelArtifacts"] == job["ModelArtifacts"]


def test_clients_cannot_speak_as_an_aws_service(account: Account) -> None:
    """PutEvents with a source of AWS's stays refused for everybody else."""
    entry = {"Source": "aws.sagemaker", "DetailType": "x", "Detail": "{}"}
    answer = account.client("events").put_events(Entries=[entry])
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


def test_folders_of_finished_jobs_are_swept(account: Account) -> None:
    """Of a job that went well only its log and records stay; a failed job's tree stays to be looked at."""
    account.train("well", {"model": "x"})
    account.fail("ill", {"exit": "1"})
    jobs = account.stage.folder.jobs / "us-east-1"
    assert not (jobs / "well" / "algo-1").exists()
    assert (jobs / "well" / "algo-1.log").exists()
    assert (jobs / "ill" / "algo-1" / "opt" / "ml").is_dir()


def test_failed_jobs_keep_no_more_than_they_may(tmp_path: Path) -> None:
    """The oldest folder goes first; logs and records stay, and so does what a job that runs has written."""
    import asyncio

    names = ["first", "second", "third", "running"]
    for number, name in enumerate(names):
        directory = JobDirectory(tmp_path / "us-east-1" / name)
        directory.host("algo-1").mkdir(parents=True)
        (directory.host("algo-1") / "big").write_bytes(b"x" * 100_000)
        for file in (directory.record, directory.root / "algo-1.log"):
            file.write_text(name)
        os.utime(directory.record, (number, number))
    (tmp_path / ".swept" / "left" / "algo-1").mkdir(parents=True)
    (tmp_path / ".swept" / "left" / "algo-1" / "by a kill").write_bytes(b"x" * 100_000)
    kept = KeptFolders(tmp_path, 150_000, lambda directory: directory.root.name != "running")
    asyncio.run(kept.sweep())
    assert [name for name in names if (tmp_path / "us-east-1" / name / "algo-1").exists()] == ["third", "running"]
    assert (tmp_path / "us-east-1" / "first" / "algo-1.log").read_text() == "first"
    assert (tmp_path / "us-east-1" / "first" / "record.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["us-east-1"]


def test_delete_frees_the_name_and_keeps_the_log(account: Account) -> None:
    """DeleteTrainingJob: the name can be used again; log stream, artifact and cost of the old job stay."""
    import subprocess
    import sys

    sagemaker, logs = account.client("sagemaker"), account.client("logs")
    arn = account.fail("twice", {"lines": '["one"]', "model": "1", "exit": "1", "sleep": "1.1"})["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "a"}])
    sagemaker.delete_training_job(TrainingJobName="twice")
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        sagemaker.describe_training_job(TrainingJobName="twice")
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        sagemaker.delete_training_job(TrainingJobName="twice")
    folder = account.stage.folder.jobs / "us-east-1" / "twice"
    assert [path.name for path in folder.iterdir()] == ["algo-1.log"]
    assert account.run("twice", {"lines": '["two"]', "sleep": "1.1"})["TrainingJobStatus"] == "Completed"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="twice/")["events"]
    assert sorted(event["message"] for event in events) == ["one", "two"]
    assert len({event["logStreamName"] for event in events}) == 2
    account.client("s3").head_object(Bucket="data", Key="output/twice/output/model.tar.gz")
    command = [sys.executable, "-m", "stagemaker", "bill", "--json", "--state", str(account.stage.folder.root)]
    lines = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["lines"]
    assert [line["job"] for line in lines] == ["twice", "twice"]
    assert all(line["usd"] > 0 for line in lines)


def test_delete_waits_for_the_end(account: Account) -> None:
    """A job that runs cannot be deleted."""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("busy", {"sleep": "600"}))
    with pytest.raises(ClientError, match="while it is in status InProgress") as refused:
        sagemaker.delete_training_job(TrainingJobName="busy")
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    sagemaker.stop_training_job(TrainingJobName="busy")
    account.settle("busy")
    sagemaker.delete_training_job(TrainingJobName="busy")
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_artifacts_are_encrypted_with_the_key_that_was_asked_for(account: Account, compression: str) -> None:
    """OutputDataConfig.KmsKeyId: S3 shows the key on every artifact."""
    key = account.client("kms").create_key()["KeyMetadata"]
    output = {"S3OutputPath": "s3://data/output", "KmsKeyId": key["KeyId"], "CompressionType": compression}
    job = account.train("secret", {"model": "x", "report": "1"}, OutputDataConfig=output)
    assert job["OutputDataConfig"] == output
    s3 = account.client("s3")
    found = s3.list_objects_v2(Bucket="data", Prefix="output/")["Contents"]
    assert len(found) == 2
    for entry in found:
        head = s3.head_object(Bucket="data", Key=entry["Key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])


@pytest.mark.skipif(BACKING_VARIABLE in os.environ, reason="LocalStack stores objects under keys that are not there")
def test_key_that_does_not_exist(account: Account) -> None:
    """The upload fails, and the job with it, by the words of KMS."""
    key = "00000000-0000-4000-8000-000000000000"
    output = {"S3OutputPath": "s3://data/output", "KmsKeyId": key}
    job = account.fail("keyless", {"model": "x"}, OutputDataConfig=output)
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")
    assert key in job["FailureReason"]


def test_members_that_are_only_kept(account: Account) -> None:
    """VpcConfig and VolumeKmsKeyId are described as they were given; the fidelity page says what they lack."""
    network = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": "alias/x"}
    job = account.train("vpc", VpcConfig=network, ResourceConfig=resources)
    assert (job["VpcConfig"], job["ResourceConfig"]) == (network, resources)


def test_retry_strategy_starts_a_lost_job_again(account: Account) -> None:
    """A runner that dies is an InternalServerError: Restarting, as often as RetryStrategy says, then Failed."""
    account.client("sagemaker").create_training_job(
        **account.request("retry", {"sleep": "60"}, RetryStrategy={"MaximumRetryAttempts": 1})
    )
    lock = account.stage.folder.jobs / "us-east-1" / "retry" / "runner.lock"
    killed = {""}  # a lock that nobody has signed yet, or any more
    for _ in range(2):

        def training() -> bool:
            return lock.read_text() not in killed and describe(account, "retry")["SecondaryStatus"] == "Training"

        wait_for(lambda: lock.exists() and training())
        killed.add(lock.read_text())
        os.kill(int(lock.read_text()), 9)
    job = account.settle("retry")
    assert job["FailureReason"].startswith("InternalServerError: ")
    assert statuses(job) == ["Starting", "Training", "Restarting", "Starting", "Training", "Failed"]
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 1}


def test_bill_agrees_with_describe(account: Account) -> None:
    """`stagemaker bill`: billable seconds of Describe, times instances, times the price of a second."""
    import subprocess
    import sys

    job = account.train("paid", {"sleep": "1.2"}, ResourceConfig=TWO_HOSTS)
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    command = [sys.executable, "-m", "stagemaker", "bill", "--json", "--state", str(account.stage.folder.root)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (line,) = told["lines"]
    assert (line["job"], line["instances"]) == ("paid", 2)
    assert line["billable_seconds"] == job["BillableTimeInSeconds"]
    assert told["usd"] == pytest.approx(job["BillableTimeInSeconds"] * 2 * 0.115 / 3600)


def test_quota_that_is_used_up(account: Account) -> None:
    """ResourceLimitExceeded counts the instances of the jobs that run; the quota can be raised while the stage runs."""
    quotas = account.stage.folder.root / "quotas.json"
    quotas.write_text(json.dumps({"ml.m5.large for training job usage": 1}))
    try:
        sagemaker = account.client("sagemaker")
        sagemaker.create_training_job(**account.request("first", {"sleep": "30"}))
        with pytest.raises(ClientError, match="current utilization of 1 Instances and a request delta of 1"):
            sagemaker.create_training_job(**account.request("second"))
        quotas.write_text(json.dumps({"ml.m5.large for training job usage": 2}))
        assert account.train("second")["TrainingJobStatus"] == "Completed"
        sagemaker.stop_training_job(TrainingJobName="first")
        account.settle("first")
    finally:
        quotas.unlink()


LITERAL = """
import json, pathlib, socket
seen = {
    "names": {name: socket.gethostbyname(name) for name in ("algo-1", "algo-2")},
    "files": sorted(p.name for p in pathlib.Path("/opt", "ml").iterdir()),
    "opt": sorted(p.name for p in pathlib.Path("/opt").iterdir()),
}
pathlib.Path("/opt", "ml", "output", "data", "report.json").write_text(json.dumps(seen))
"""


@pytest.mark.skipif(not namespace.available(), reason="this machine has no namespaces for us")
def test_container_has_the_literal_tree_and_its_peers_names(account: Account) -> None:
    """Where namespaces can be made `/opt/ml` is the host's own tree, `algo-2` resolves, and /opt keeps the rest."""
    before = sorted(path.name for path in Path("/opt").iterdir())
    job = account.run("literal", **account.script(LITERAL.replace("/opt/ml", "")), ResourceConfig=TWO_HOSTS)
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    seen = account.report("literal")
    assert seen["files"] == ["input", "model", "output"]
    assert seen["opt"] == sorted({*before, "ml"})
    assert seen["names"]["algo-1"] != seen["names"]["algo-2"]
    assert all(address.startswith("127.") for address in seen["names"].values())
    assert sorted(path.name for path in Path("/opt").iterdir()) == before


@pytest.mark.skipif(not namespace.available(), reason="this machine has no namespaces for us")
def test_isolated_container_has_no_network_and_no_keys(account: Account) -> None:
    """EnableNetworkIsolation: nothing can be reached, not even the stage, and no keys are there; its input is."""
    script = """
import json, os, pathlib, socket
port = int(os.environ.get("PORT", "0"))
def reach(address):
    try:
        socket.create_connection(address, timeout=3).close()
        return "reached"
    except OSError as error:
        return type(error).__name__
with socket.create_server(("127.0.0.1", 0)) as own:
    seen = {"stage": reach(("127.0.0.1", port)), "own": reach(own.getsockname()), "far": reach(("192.0.2.1", 80))}
with socket.socket(socket.AF_UNIX) as local:
    try:
        local.connect(os.environ["SOCKET"].replace("@", "\\0"))
        seen["socket"] = "reached"
    except OSError as error:
        seen["socket"] = type(error).__name__
seen["keys"] = [name for name in os.environ if name.startswith("AWS_") and "REGION" not in name]
seen["input"] = sorted(p.name for p in pathlib.Path("/opt/ml/input/data/train").iterdir())
pathlib.Path("/opt/ml/output/data/report.json").write_text(json.dumps(seen))
"""
    account.client("s3").put_object(Bucket="data", Key="in/a", Body=b"1")
    port = account.stage.endpoint.rpartition(":")[2]
    variables = {"PORT": port, "SOCKET": local_address("127.0.0.1", int(port)).replace("\0", "@")}
    members: dict[str, Any] = {"InputDataConfig": [account.channel("train", "in/")], "Environment": variables}
    job = account.run("isolated", **account.script(script), **members, EnableNetworkIsolation=True)
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert job["EnableNetworkIsolation"] is True
    seen = account.report("isolated")
    assert seen["own"] == "reached"
    assert seen["stage"] == "ConnectionRefusedError"
    assert seen["far"] != "reached"
    assert (seen["keys"], seen["input"], seen["socket"]) == ([], ["a"], "ConnectionRefusedError")
    account.run("open", **account.script(script), **members)
    seen = account.report("open")
    assert (seen["stage"], seen["socket"]) == ("reached", "reached")
