"""What was acknowledged is on the disk: through restarts, kills and full disks."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stagemaker.backing import embedded
from stagemaker.backing.bodies import Bodies
from stagemaker.backing.multipart import MINIMUM_PART
from stagemaker.backing.port import BackingError

Serve = Callable[[Path], AbstractContextManager[Any]]
Spawn = Callable[[Path, int], AbstractContextManager[tuple[subprocess.Popen[str], int]]]

KILLS = 5


def _client(service: str, port: int) -> Any:
    make: Any = boto3.client  # its stubs want each service's name spelt out
    return make(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )


def _policy(bucket: str, policy_id: str) -> str:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Id": policy_id, "Statement": [statement]})


class _Work:
    """Random calls, and what must be true for ever of each that was acknowledged."""

    def __init__(self, port: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.s3, self.iam, self.sqs, self.ssm = (_client(name, port) for name in ("s3", "iam", "sqs", "ssm"))
        self.facts: list[Callable[[], None]] = []
        self.refused: ClientError | None = None

    def prepare(self) -> None:
        self.s3.create_bucket(Bucket="data")
        self.s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
        self.queue = self.sqs.create_queue(QueueName="q")["QueueUrl"]
        self.upload = self.s3.create_multipart_upload(Bucket="data", Key="parts")["UploadId"]

    def run(self) -> None:
        """Call until the server is gone."""
        try:
            while True:
                self.facts.append(self.random.choice(self.calls)(self, next(self.numbers)))
        except BotoCoreError:  # the connection broke
            return
        except ClientError as error:
            self.refused = error

    def user(self, number: int) -> Callable[[], None]:
        name = f"user-{number}"
        self.iam.create_user(UserName=name, Tags=[{"Key": "n", "Value": str(number)}])
        return lambda: self._equal(self.iam.list_user_tags(UserName=name)["Tags"][0]["Value"], str(number))

    def key(self, number: int) -> Callable[[], None]:
        name = f"owner-{number}"
        self.iam.create_user(UserName=name)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
        return lambda: self._equal(
            [each["AccessKeyId"] for each in self.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]], [key]
        )

    def bucket(self, number: int) -> Callable[[], None]:
        name = f"bucket-{number}"
        policy = _policy(name, str(number))
        self.s3.create_bucket(Bucket=name)
        self.s3.put_bucket_policy(Bucket=name, Policy=policy)
        return lambda: self._equal(self.s3.get_bucket_policy(Bucket=name)["Policy"], policy)

    def version(self, number: int) -> Callable[[], None]:
        key, body = f"key-{number % 5}", str(number).encode() * self.random.choice((1, 40_000))
        version = self.s3.put_object(Bucket="data", Key=key, Body=body, Tagging=f"n={number}")["VersionId"]

        def check() -> None:
            self._equal(self.s3.get_object(Bucket="data", Key=key, VersionId=version)["Body"].read(), body)
            tags = self.s3.get_object_tagging(Bucket="data", Key=key, VersionId=version)["TagSet"]
            self._equal(tags, [{"Key": "n", "Value": str(number)}])

        return check

    def deleted(self, number: int) -> Callable[[], None]:
        key = f"gone-{number:06}"
        version = self.s3.put_object(Bucket="data", Key=key, Body=b"x" * 70_000)["VersionId"]
        self.s3.delete_object(Bucket="data", Key=key, VersionId=version)
        return lambda: self._equal("Versions" in self.s3.list_object_versions(Bucket="data", Prefix=key), False)

    def part(self, number: int) -> Callable[[], None]:
        etag = self.s3.upload_part(
            Bucket="data", Key="parts", UploadId=self.upload, PartNumber=number + 1, Body=b"p" * (number + 1)
        )["ETag"]

        def check() -> None:
            parts = self.s3.list_parts(Bucket="data", Key="parts", UploadId=self.upload)["Parts"]
            assert etag in [part["ETag"] for part in parts if part["PartNumber"] == number + 1]

        return check

    def parameter(self, number: int) -> Callable[[], None]:
        name = f"/p/{number}"
        self.ssm.put_parameter(Name=name, Value=str(number), Type="String")
        return lambda: self._equal(self.ssm.get_parameter(Name=name)["Parameter"]["Value"], str(number))

    def message(self, number: int) -> Callable[[], None]:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=str(number))
        self.sent = getattr(self, "sent", 0) + 1
        sent = self.sent

        def check() -> None:
            attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
            assert int(attributes["ApproximateNumberOfMessages"]) >= sent

        return check

    calls = (user, key, bucket, version, version, deleted, part, parameter, message)

    @staticmethod
    def _equal(found: object, expected: object) -> None:
        assert found == expected


def test_nothing_acknowledged_is_lost_by_kill_9(spawn: Spawn, tmp_path: Path) -> None:
    """Killed at random moments over a mix of calls, the backing comes back with all that it had answered for."""
    seed = int(os.environ.get("STAGEMAKER_TEST_SEED", random.randrange(2**32)))
    print(f"repeat with STAGEMAKER_TEST_SEED={seed}")
    chance, port, work = random.Random(seed), 0, None
    for _ in range(KILLS):
        with spawn(tmp_path / "backing", port) as (process, port):
            if work is None:
                work = _Work(port, seed)
                work.prepare()
            caller = threading.Thread(target=work.run)
            caller.start()
            time.sleep(chance.uniform(0.1, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
            caller.join()
            assert work.refused is None
    assert work is not None
    with spawn(tmp_path / "backing", port):
        assert len(work.facts) > KILLS  # how many more depends on how busy the machine is
        for fact in work.facts:
            fact()


def test_a_stop_and_a_start_change_nothing(serve: Serve, tmp_path: Path) -> None:
    """Configurations, tags, holds, sizes, versions and uploads in progress are the same after a restart."""

    def look(s3: Any) -> list[Any]:
        found = [
            s3.get_bucket_encryption(Bucket="data"),
            s3.get_public_access_block(Bucket="data"),
            s3.get_bucket_tagging(Bucket="data"),
            s3.get_bucket_location(Bucket="data"),
            s3.list_object_versions(Bucket="data"),
            s3.get_object_legal_hold(Bucket="data", Key="held"),
            s3.get_object_retention(Bucket="data", Key="held"),
            s3.get_object_tagging(Bucket="data", Key="small"),
            s3.head_object(Bucket="data", Key="small", ChecksumMode="ENABLED"),
            s3.head_object(Bucket="data", Key="large", PartNumber=1),
            s3.list_multipart_uploads(Bucket="data"),
        ]
        for answer in found:
            answer.pop("ResponseMetadata")
        return found

    with serve(tmp_path / "backing") as stage:
        s3 = stage.client("s3", region="eu-west-1")
        s3.create_bucket(
            Bucket="data",
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
            ObjectLockEnabledForBucket=True,
        )
        s3.put_bucket_tagging(Bucket="data", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
        s3.put_object(Bucket="data", Key="small", Body=b"1", Tagging="body=x", Metadata={"m": "v"})
        s3.put_object(Bucket="data", Key="large", Body=b"2" * 300_000, StorageClass="STANDARD_IA")
        s3.put_object(Bucket="data", Key="large", Body=b"3" * 300_000)
        s3.delete_object(Bucket="data", Key="marked")
        s3.put_object(Bucket="data", Key="held", Body=b"", ObjectLockLegalHoldStatus="ON")
        s3.put_object_retention(
            Bucket="data", Key="held", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": "2099-01-01T00:00:00Z"}
        )
        upload = s3.create_multipart_upload(Bucket="data", Key="parts")["UploadId"]
        sent = s3.upload_part(Bucket="data", Key="parts", UploadId=upload, PartNumber=1, Body=b"4" * MINIMUM_PART)
        before = look(s3)
    with serve(tmp_path / "backing") as stage:
        s3 = stage.client("s3", region="eu-west-1")
        assert look(s3) == before
        assert s3.get_object(Bucket="data", Key="large")["Body"].read() == b"3" * 300_000
        last = s3.upload_part(Bucket="data", Key="parts", UploadId=upload, PartNumber=2, Body=b"5")
        parts = [{"PartNumber": number, "ETag": each["ETag"]} for number, each in enumerate((sent, last), 1)]
        s3.complete_multipart_upload(Bucket="data", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
        assert s3.get_object(Bucket="data", Key="parts")["Body"].read() == b"4" * MINIMUM_PART + b"5"


def test_a_full_disk_fails_the_call_and_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    """Each service answers 500 in its own protocol; what was kept before stays, and later calls work."""
    with serve(tmp_path / "backing") as stage:
        s3, iam, ssm = stage.client("s3"), stage.client("iam"), stage.client("ssm")
        s3.create_bucket(Bucket="data")
        s3.put_object(Bucket="data", Key="before", Body=b"kept")
        connection: sqlite3.Connection = stage.backing._account.journal._writer.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        calls: list[Callable[[], Any]] = [
            lambda: s3.put_object(Bucket="data", Key="lost", Body=b"x" * 60_000),
            lambda: s3.put_bucket_policy(Bucket="data", Policy=_policy("data", "x" * 9000)),
            lambda: iam.create_user(UserName="lost", Tags=[{"Key": f"k{n}", "Value": "v" * 200} for n in range(40)]),
            lambda: ssm.put_parameter(Name="lost", Value="v" * 4000, Type="String"),
        ]
        for call in calls:
            with pytest.raises(ClientError) as error:
                call()
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
            assert error.value.response["Error"]["Code"] == "InternalError"
            assert "full" in error.value.response["Error"]["Message"]
        connection.execute(f"PRAGMA max_page_count={pages + 10_000}")
        s3.put_object(Bucket="data", Key="after", Body=b"kept")
    with serve(tmp_path / "backing") as stage:
        s3 = stage.client("s3")
        for key in ("before", "after"):
            assert s3.get_object(Bucket="data", Key=key)["Body"].read() == b"kept"


def test_a_file_that_cannot_be_written(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large object that the disk refuses is a 500 that says why, and leaves nothing."""
    with serve(tmp_path / "backing") as stage:
        s3 = stage.client("s3")
        s3.create_bucket(Bucket="data")

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Bodies, "finish_file", refuse)
        with pytest.raises(ClientError, match="No space left on device") as error:
            s3.put_object(Bucket="data", Key="k", Body=b"x" * 300_000)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert "Contents" not in s3.list_objects_v2(Bucket="data")
        assert list((tmp_path / "backing" / "objects").iterdir()) == []


def test_files_that_nothing_refers_to_are_swept(serve: Serve, tmp_path: Path) -> None:
    """An upload that a kill cut short leaves a file; the next start removes it, and no other."""
    with serve(tmp_path / "backing") as stage:
        s3 = stage.client("s3")
        s3.create_bucket(Bucket="data")
        s3.put_object(Bucket="data", Key="k", Body=b"x" * 300_000)
    (tmp_path / "backing" / "objects" / "f0123").write_bytes(b"half an object")
    with serve(tmp_path / "backing") as stage:
        assert stage.client("s3").get_object(Bucket="data", Key="k")["Body"].read() == b"x" * 300_000
        assert len(list((tmp_path / "backing" / "objects").iterdir())) == 1


def test_what_happens_after_the_answer_is_kept_too(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 tells a queue of a new object in the background; soon the disk has that message as well."""
    monkeypatch.setattr(embedded, "_SETTLE_SECONDS", 0.05)
    with serve(tmp_path / "backing") as stage:
        s3, sqs = stage.client("s3"), stage.client("sqs")
        s3.create_bucket(Bucket="data")
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [allow]})})
        events = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        s3.put_bucket_notification_configuration(Bucket="data", NotificationConfiguration=events)
        s3.put_object(Bucket="data", Key="told-of", Body=b"x")
        until = time.monotonic() + 5
        while "told-of" not in stage.backing._account.journal.services()["sqs"] and time.monotonic() < until:
            time.sleep(0.02)
        assert "told-of" in stage.backing._account.journal.services()["sqs"]


def test_deliveries_are_kept(serve: Serve, tmp_path: Path) -> None:
    """A message that a topic handed to a queue outlives the stage, also when only the topic was asked."""
    with serve(tmp_path / "backing") as stage:
        sns, sqs = stage.client("sns"), stage.client("sqs")
        topic = sns.create_topic(Name="t")["TopicArn"]
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    with serve(tmp_path / "backing") as stage:  # the topic is asked first: it must know the queue
        stage.client("sns").publish(TopicArn=topic, Message="hello")
    with serve(tmp_path / "backing") as stage:
        sqs = stage.client("sqs")
        received = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="q")["QueueUrl"], WaitTimeSeconds=1)
        assert "hello" in received["Messages"][0]["Body"]


def test_a_folder_of_a_newer_version_is_refused(serve: Serve, tmp_path: Path) -> None:
    """State that this version cannot read is left alone."""
    with serve(tmp_path / "backing"):
        pass
    database = sqlite3.connect(tmp_path / "backing" / "backing.db")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(BackingError, match="newer"), serve(tmp_path / "backing"):
        pass


def test_a_damaged_folder_is_refused(serve: Serve, tmp_path: Path) -> None:
    """A database that is none is named in the error."""
    (tmp_path / "backing").mkdir()
    (tmp_path / "backing" / "backing.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BackingError, match=r"backing\.db"), serve(tmp_path / "backing"):
        pass
