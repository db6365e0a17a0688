"""Calls through the stage to LocalStack: on whose account, whole or not at all, and emptied."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stagemaker.backing import localstack as backing_module
from stagemaker.backing.localstack import LocalStackBacking
from stagemaker.backing.localstack_memory import MARK_ACCOUNT, Found, Memory
from stagemaker.backing.port import BackingError, Message
from stagemaker.jobs.signing import sign_s3
from stagemaker.ports import Credentials
from stagemaker.testing import BACKING_VARIABLE, RunningStage, start_stage

ACCOUNT, OTHER = "123456789012", "210987654321"
TRUSTED = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [TRUSTED]})
SIZE = 96 * 2**20
ALLOWED = 64 * 2**20
"""Bytes that the stage may grow by while an object passes: buffers, not the object."""


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """The error's code."""
    return str(refused.value.response["Error"]["Code"])


def names(stage: RunningStage, region: str, account: str) -> list[str]:
    """The ARNs of new resources of several services, and of whoever made them."""
    queue = stage.client("sqs", region_name=region)
    url = queue.create_queue(QueueName="q")["QueueUrl"]
    assert url == f"{stage.endpoint}/{account}/q"
    return [
        stage.client("sns", region_name=region).create_topic(Name="t")["TopicArn"],
        queue.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"],
        stage.client("events", region_name=region).put_rule(Name="r", EventPattern='{"source": ["a"]}')["RuleArn"],
        stage.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"],
        stage.client("sts").get_caller_identity()["Arn"],
    ]


def test_arns_carry_the_account_and_the_region(stage: RunningStage) -> None:
    """Not LocalStack's own account, whatever key the client has, and in each region."""
    assert names(stage, "eu-west-1", ACCOUNT) == [
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:t",
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q",
        f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/r",
        f"arn:aws:iam::{ACCOUNT}:role/role",
        f"arn:aws:iam::{ACCOUNT}:user/admin",
    ]
    assert stage.client("sns").list_topics()["Topics"] == []


def test_events_of_aws_services_are_the_stages_own(stage: RunningStage) -> None:
    """A client's entry with such a source is refused, the others beside it are taken."""
    entries = [{"Source": source, "DetailType": "x", "Detail": "{}"} for source in ("a", "aws.sagemaker", "b")]
    answer = stage.client("events").put_events(Entries=entries)
    assert answer["FailedEntryCount"] == 1
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [None, "NotAuthorizedForSourceException", None]
    assert stage.client("events").put_events(Entries=entries[1:2])["FailedEntryCount"] == 1
    assert "ErrorCode" not in stage.client("events").put_events(Entries=entries[:1])["Entries"][0]


def test_other_services_of_localstack_are_refused(stage: RunningStage) -> None:
    """What no reset would empty and no lab has tried is refused by name, as on the embedded backing."""
    with pytest.raises(ClientError, match="does not serve dynamodb"):
        stage.client("dynamodb").list_tables()


@pytest.mark.parametrize("path", ["/_localstack/health", "/_localstack/info", "/_aws/sqs/messages"])
def test_private_paths_are_not_reached(stage: RunningStage, path: str) -> None:
    """LocalStack answers them to anybody; the stage to nobody."""
    connection = http.client.HTTPConnection("127.0.0.1", int(stage.endpoint.rpartition(":")[2]), timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(stage: RunningStage, algorithm: str) -> None:
    """A checksum comes back as it was sent; one that does not fit is refused, and nothing is kept."""
    from stagemaker.backing.checksums import checksum

    s3 = stage.client("s3", config=Config(retries={"total_max_attempts": 1}))  # BadDigest is tried again
    s3.create_bucket(Bucket="data")
    right, wrong = checksum(algorithm, [b"hello"]), checksum(algorithm, [b"other"])
    s3.put_object(Bucket="data", Key="k", Body=b"hello", **{f"Checksum{algorithm}": right})
    assert s3.head_object(Bucket="data", Key="k", ChecksumMode="ENABLED")[f"Checksum{algorithm}"] == right
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="data", Key="bad", Body=b"hello", **{f"Checksum{algorithm}": wrong})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]] == ["k"]


def signed_put(stage: RunningStage, path: str, body: bytes, content_hash: str) -> int:
    """PUT with a signature over `content_hash`, whatever the body is; the status."""
    variables = stage.environment()
    keys = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    host = stage.endpoint.removeprefix("http://")
    target, headers = sign_s3("PUT", host, path, {}, keys, "us-east-1", payload_hash=content_hash)
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("PUT", target, body, {**headers, "Content-Length": str(len(body))})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("body", [b"", b"hello", bytes(3 * 2**20)], ids=["empty", "small", "large"])
def test_a_body_that_was_not_signed_is_not_kept(stage: RunningStage, body: bytes) -> None:
    """Its last byte is held back until the hash is known, so LocalStack never sees it whole."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    assert signed_put(stage, "/data/k", body, hashlib.sha256(body).hexdigest()) == 200
    assert signed_put(stage, "/data/bad", body, hashlib.sha256(b"signed").hexdigest()) == 400
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]] == ["k"]


def test_an_upload_that_breaks_off_is_no_object(stage: RunningStage) -> None:
    """The client hangs up after half of it."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "data", "Key": "half"})
    host = stage.endpoint.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.putrequest("PUT", url.removeprefix(stage.endpoint))
    connection.putheader("Content-Length", str(2 * 2**20))
    connection.endheaders(bytes(2**20))
    connection.close()
    s3.put_object(Bucket="data", Key="whole", Body=b"x")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]] == ["whole"]


def peak(pid: int) -> int:
    """The most memory that a process has ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_large_objects_stream_through_the_stage(stage: RunningStage, tmp_path: Path) -> None:
    """96 MB there and back leave the stage as small as it was."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="warm", Body=b"up")
    file = tmp_path / "large"
    with file.open("wb") as out:
        for number in range(SIZE // 2**20):
            out.write(bytes([number % 256]) * 2**20)
    before = peak(stage.process.pid)
    with file.open("rb") as body:
        s3.put_object(Bucket="data", Key="large", Body=body)
    s3.download_file("data", "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert peak(stage.process.pid) - before < ALLOWED


def test_names_arrive_as_they_were_sent(stage: RunningStage) -> None:
    """Spaces, plus signs, slashes, dots and letters of other alphabets are part of a key."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    keys = sorted(["a b", "a+b", "a//b", "/a", "a/../b", "ä/ü", "100%25", "a%20b", "q?x=1", "#"])
    for key in keys:
        s3.put_object(Bucket="data", Key=key, Body=key.encode(), Metadata={"name": "plain"})
    assert sorted(each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]) == keys
    for key in keys:
        assert s3.get_object(Bucket="data", Key=key)["Body"].read() == key.encode()


def test_lifecycle_rules_need_no_id(stage: RunningStage) -> None:
    """AWS makes one up, and takes the older form with a Prefix."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    rules = [
        {"Status": "Enabled", "Filter": {"Prefix": "new/"}, "Expiration": {"Days": 3}},
        {"ID": "mine", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 9}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket="data", LifecycleConfiguration={"Rules": rules})
    found = s3.get_bucket_lifecycle_configuration(Bucket="data")["Rules"]
    assert [rule["Filter"].get("Prefix") for rule in found] == ["new/", None]
    assert found[0]["ID"] not in {"", "mine"}
    assert found[1]["ID"] == "mine"
    older = [{"Status": "Enabled", "Prefix": "old/", "Expiration": {"Days": 5}}]
    s3.put_bucket_lifecycle_configuration(Bucket="data", LifecycleConfiguration={"Rules": older})
    found = s3.get_bucket_lifecycle_configuration(Bucket="data")["Rules"]
    assert [rule["Filter"] for rule in found] == [{"Prefix": "old/"}]


def test_settings_are_checked_as_on_the_embedded_backing(stage: RunningStage) -> None:
    """LocalStack takes a rule with a transition after a negative time, or eleven tags; S3 does not."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    rule = {"Status": "Enabled", "Filter": {}, "Expiration": {"Days": -1}}
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_lifecycle_configuration(Bucket="data", LifecycleConfiguration={"Rules": [rule]})
    assert code_of(refused) == "InvalidArgument"
    with pytest.raises(ClientError, match="cannot be greater than 10"):
        s3.put_object(Bucket="data", Key="k", Body=b"x", Tagging="&".join(f"t{n}=x" for n in range(11)))


def test_an_old_version_can_be_copied_back(stage: RunningStage) -> None:
    """Over its own key; a copy of the newest to itself is refused, as on AWS."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    good = s3.put_object(Bucket="data", Key="k", Body=b"good", Metadata={"by": "me"})["VersionId"]
    s3.put_object(Bucket="data", Key="k", Body=b"bad")
    s3.copy_object(Bucket="data", Key="k", CopySource={"Bucket": "data", "Key": "k", "VersionId": good})
    got = s3.get_object(Bucket="data", Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"good", {"by": "me"})
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket="data", Key="k", CopySource={"Bucket": "data", "Key": "k"})
    assert code_of(refused) == "InvalidRequest"


def fill(stage: RunningStage, region: str) -> None:
    """Something in every service."""
    s3, iam, events = stage.client("s3"), stage.client("iam"), stage.client("events", region_name=region)
    s3.create_bucket(Bucket="full")
    s3.put_bucket_versioning(Bucket="full", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket="full", Key="a b", Body=body)
    s3.delete_object(Bucket="full", Key="a b")
    s3.create_multipart_upload(Bucket="full", Key="begun")
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_policy(PolicyName="p", PolicyDocument=policy)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy, SetAsDefault=True)
    iam.create_group(GroupName="g")
    iam.attach_group_policy(GroupName="g", PolicyArn=arn)
    iam.create_user(UserName="u")
    iam.add_user_to_group(GroupName="g", UserName="u")
    iam.create_access_key(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="inline", PolicyDocument=policy)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="ip")
    iam.add_role_to_instance_profile(InstanceProfileName="ip", RoleName="r")
    queue = stage.client("sqs", region_name=region).create_queue(QueueName="q")["QueueUrl"]
    assert queue
    stage.client("sns", region_name=region).create_topic(Name="t")
    events.create_event_bus(Name="bus")
    events.put_rule(Name="rule", EventBusName="bus", EventPattern='{"source": ["a"]}')
    target = {"Id": "1", "Arn": f"arn:aws:sqs:{region}:{ACCOUNT}:q"}
    events.put_targets(Rule="rule", EventBusName="bus", Targets=[target])
    stage.client("secretsmanager", region_name=region).create_secret(Name="s", SecretString="x")
    stage.client("ssm", region_name=region).put_parameter(Name="/p", Value="x", Type="String")
    key = stage.client("kms", region_name=region).create_key()["KeyMetadata"]["KeyId"]
    stage.client("kms", region_name=region).create_alias(AliasName="alias/mine", TargetKeyId=key)


def holds(stage: RunningStage, region: str) -> dict[str, Any]:
    """What is in every service."""
    iam, events = stage.client("iam"), stage.client("events", region_name=region)
    aliases = stage.client("kms", region_name=region).list_aliases()["Aliases"]
    return {
        "buckets": stage.client("s3").list_buckets()["Buckets"],
        "users": sorted(user["UserName"] for user in iam.list_users()["Users"]),
        "groups": iam.list_groups()["Groups"],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "policies": iam.list_policies(Scope="Local")["Policies"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "queues": stage.client("sqs", region_name=region).list_queues().get("QueueUrls", []),
        "topics": stage.client("sns", region_name=region).list_topics()["Topics"],
        "buses": [bus["Name"] for bus in events.list_event_buses()["EventBuses"]],
        "secrets": stage.client("secretsmanager", region_name=region).list_secrets()["SecretList"],
        "parameters": stage.client("ssm", region_name=region).describe_parameters()["Parameters"],
        "aliases": [each for each in aliases if not each["AliasName"].startswith("alias/aws/")],
    }


def test_a_reset_empties_every_service_and_no_other_account(stage: RunningStage, localstack: Any) -> None:
    """In each region that was used; the first users come back, and the neighbour in LocalStack keeps its own."""
    bystander = f"bystander-{uuid.uuid4().hex[:8]}"
    localstack.client("s3", OTHER).create_bucket(Bucket=bystander)
    empty = {region: holds(stage, region) for region in ("us-east-1", "eu-central-1")}
    fill(stage, "eu-central-1")
    filled = holds(stage, "eu-central-1")
    assert all(filled[name] != empty["eu-central-1"][name] for name in filled), filled
    stage.reset()
    assert {region: holds(stage, region) for region in empty} == empty
    localstack.client("s3", OTHER).head_bucket(Bucket=bystander)


def test_the_mark_tells_whose_localstack_it_is(localstack: Any, tmp_path: Path) -> None:
    """A folder without a mark has no account yet; two folders know of one another."""

    async def story() -> list[Found]:
        backings = [
            LocalStackBacking(localstack.url, OTHER, "us-east-1", tmp_path / name, "http://127.0.0.1:1")
            for name in ("a", "b")
        ]
        found = []
        for backing in backings:
            memory = Memory(backing._file, OTHER, backing._iam)
            found.append(await memory.look())
            await memory.claim()
            found.append(await Memory(backing._file, OTHER, backing._iam).look())
        found.append(await Memory(backings[0]._file, OTHER, backings[0]._iam).look())
        for backing in backings:
            await backing.stop()
        return found

    assert asyncio.run(story()) == [Found.FIRST, Found.SAME, Found.FIRST, Found.SAME, Found.OTHERS]
    assert f"stagemaker.{OTHER}" in [
        user["UserName"] for user in localstack.client("iam", MARK_ACCOUNT).list_users()["Users"]
    ]


def test_the_stage_that_started_last_has_the_account(
    localstack: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Calls to the other fail and say why: it would describe what is not its own."""
    monkeypatch.setattr(backing_module, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(backing_module, "PATIENCE_SECONDS", 0.1)

    async def nothing() -> None:
        raise AssertionError("neither has lost an account")

    async def list_buckets(backing: LocalStackBacking) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await backing({**scope, "extensions": {"stagemaker": {"service": "s3"}}}, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    async def story() -> None:
        first, last = (
            LocalStackBacking(localstack.url, OTHER, "us-east-1", tmp_path / name, "http://127.0.0.1:1")
            for name in ("first", "last")
        )
        for backing in (first, last):
            await backing.start()
            await backing.watch(nothing)
        try:
            for _ in range(100):
                if (answer := await list_buckets(first))[0] != 200:
                    break
                await asyncio.sleep(0.05)
            assert answer[0] == 503
            assert f"another stage has taken over account {OTHER}".encode() in answer[1]
            assert (await list_buckets(last))[0] == 200
        finally:
            await first.stop()
            await last.stop()

    asyncio.run(story())


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The start says which address, why not, and what to do."""
    monkeypatch.setattr(backing_module, "START_SECONDS", 0.0)

    async def story() -> None:
        backing = LocalStackBacking("http://127.0.0.1:9", ACCOUNT, "us-east-1", tmp_path, "http://127.0.0.1:1")
        try:
            await backing.start()
        finally:
            await backing.stop()

    with pytest.raises(BackingError, match=r"no LocalStack that works at http://127.0.0.1:9: .*\n.*--backing-url"):
        asyncio.run(story())


def test_a_localstack_that_answers_500_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its health page may say what it likes: the start wants an object back."""
    monkeypatch.setattr(backing_module, "START_SECONDS", 0.0)

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(broken, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        backing = LocalStackBacking(f"http://127.0.0.1:{port}", ACCOUNT, "us-east-1", tmp_path, "http://127.0.0.1:1")
        try:
            await backing.start()
        finally:
            await backing.stop()
            server.close()
            await server.wait_closed()

    with pytest.raises(BackingError, match=r"PUT /stagemaker-probe-.* was answered by 500"):
        asyncio.run(story())


def test_a_folder_stays_on_its_backing(stage: RunningStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an account is in the backing: the folder is not opened with the other one."""
    from stagemaker.background import BackgroundError

    monkeypatch.delenv(BACKING_VARIABLE, raising=False)
    stage.process.terminate()
    stage.process.wait(20)
    with pytest.raises(BackgroundError, match="holds an account on the localstack backing, not on embedded"):
        start_stage(stage.folder.root)
