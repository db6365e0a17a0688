"""Whose account it is, what is served, and how the stage's own calls go."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.wire.message import Request

ACCOUNT = "123456789012"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def _body(reply: Any) -> str:
    return str(reply.body.decode())


@pytest.mark.parametrize("key", ["test", "AKIAIOSFODNN7EXAMPLE", "999988887777", ACCOUNT])
def test_every_key_works_in_our_account(stage: Any, key: str) -> None:
    """Whatever key signed a call, also twelve digits of another account, the account is ours."""
    user = stage.client("iam", key=key).create_user(UserName="bob")["User"]
    assert user["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/bob"
    stage.client("s3", key=key).create_bucket(Bucket="data")
    assert [each["Name"] for each in stage.client("s3").list_buckets()["Buckets"]] == ["data"]
    topic = stage.client("sns", key=key, region="eu-west-1").create_topic(Name="t")["TopicArn"]
    assert topic == f"arn:aws:sns:eu-west-1:{ACCOUNT}:t"


def test_regions_are_kept_apart(stage: Any) -> None:
    """A regional resource is where its call was signed for, and in no other region."""
    stage.client("ssm", region="eu-west-1").put_parameter(Name="p", Value="v", Type="String")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        stage.client("ssm", region="us-east-1").get_parameter(Name="p")
    s3 = stage.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket="abroad", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.head_bucket(Bucket="abroad")["BucketRegion"] == "eu-west-1"
    elsewhere = stage.client("s3", region="us-east-1")
    elsewhere.put_object(Bucket="abroad", Key="k", Body=b"x")  # boto3 follows the redirect, and remembers it
    with pytest.raises(ClientError, match="IllegalLocationConstraintException"):
        s3.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})


def test_queues_are_at_the_address_that_the_client_used(stage: Any) -> None:
    """A queue's URL leads back to the stage, whatever its port."""
    url = stage.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    assert url == f"{stage.url}/{ACCOUNT}/q"


@pytest.mark.parametrize("service", ["glue", "lambda", "athena", "ec2", "sts"])
def test_what_is_not_served_is_refused_by_name(stage: Any, service: str) -> None:
    """A service that the backing has no honest answer for is named in the refusal."""
    calls = {
        "glue": "get_databases",
        "lambda": "list_functions",
        "athena": "list_work_groups",
        "ec2": "describe_vpcs",
        "sts": "get_caller_identity",
    }
    with pytest.raises(ClientError, match=f"does not serve {service}") as error:
        getattr(stage.client(service), calls[service])()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    "path", ["/_ministack/health", "/_ministack/reset", "/_localstack/health", "/health", "/_aws/lambda-url/x/"]
)
def test_ministack_s_own_paths_are_only_keys(stage: Any, path: str) -> None:
    """Not even past the gateway are there private paths: S3 sees names of buckets."""
    reply = stage.do(stage.backing.send(Request("GET", path, "", {}), region="us-east-1"))
    assert reply.status in {400, 404}
    assert "<Code>NoSuchBucket</Code>" in _body(reply) or "<Code>InvalidBucketName</Code>" in _body(reply)


def test_calls_of_our_own(stage: Any) -> None:
    """The stage's services call without a signature, in any protocol, and see errors as AWS words them."""

    def send(request: Request, **options: Any) -> Any:
        return stage.do(stage.backing.send(request, region="us-east-1", **options))

    created = send(
        Request(
            "POST",
            "/",
            "",
            FORM,
            b"Action=CreateRole&Version=2010-05-08&RoleName=r&Path=%2F&"
            b"AssumeRolePolicyDocument=%7B%22Statement%22%3A%5B%5D%7D",
        )
    )
    assert (created.status, f"arn:aws:iam::{ACCOUNT}:role/r" in _body(created)) == (200, True)
    missing = send(Request("POST", "/", "", FORM, b"Action=GetRole&RoleName=none&Version=2010-05-08"))
    assert (missing.status, "NoSuchEntity" in _body(missing)) == (404, True)
    json_headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}
    missing = send(Request("POST", "/", "", json_headers, b'{"Name": "none"}'))
    assert json.loads(missing.body)["__type"] == "ParameterNotFound"
    assert send(Request("PUT", "/data", "", {}), service="s3").status == 200
    assert send(Request("PUT", "/data/a%20b", "", {}, b"body")).status == 200
    got = send(Request("GET", "/data/a%20b", "", {}))
    assert (got.body, got.headers["content-length"]) == (b"body", "4")


def test_keys_that_were_made_elsewhere_are_listed(stage: Any) -> None:
    """The stage's first keys show up as their users' keys."""
    iam = stage.client("iam")
    iam.create_user(UserName="learner")
    for _ in range(2):
        stage.do(stage.backing.register_access_key("learner", "AKIALEARNER000000001"))
    keys = iam.list_access_keys(UserName="learner")["AccessKeyMetadata"]
    assert [(key["AccessKeyId"], key["Status"]) for key in keys] == [("AKIALEARNER000000001", "Active")]
    assert iam.get_access_key_last_used(AccessKeyId="AKIALEARNER000000001")["UserName"] == "learner"


def test_errors_that_are_ours_speak_the_client_s_protocol(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ministack's is a 500 InternalError, not a traceback."""
    s3 = stage.client("s3")
    s3.create_bucket(Bucket="data")

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.backing._ministack.s3, "handle_request", fail)
    with pytest.raises(ClientError) as error:
        s3.list_objects_v2(Bucket="data")
    assert error.value.response["Error"]["Code"] == "InternalError"


def test_reset_empties_the_account(stage: Any) -> None:
    """Nothing of any service is left, in memory or on the disk; AWS's managed policies are."""
    s3, iam, sqs = stage.client("s3"), stage.client("iam"), stage.client("sqs")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 200_000)
    s3.create_multipart_upload(Bucket="data", Key="m")
    iam.create_user(UserName="bob")
    sqs.create_queue(QueueName="q")
    stage.do(stage.backing.reset())
    assert s3.list_buckets()["Buckets"] == []
    assert iam.list_users()["Users"] == []
    assert not sqs.list_queues().get("QueueUrls")
    assert list((stage.folder / "objects").iterdir()) == []
    assert iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    s3.create_bucket(Bucket="data")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="data")


def test_reset_amid_calls(stage: Any) -> None:
    """Calls during a reset are answered; afterwards the account is empty and sound."""
    s3 = stage.client("s3", max_pool_connections=4)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                s3.create_bucket(Bucket="data")
                s3.put_object(Bucket="data", Key="k", Body=b"x" * 100_000)
                s3.get_object(Bucket="data", Key="k")["Body"].read()
            except ClientError as error:
                answers.add(error.response["Error"]["Code"])

    answers: set[str] = set()
    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(10):
        stage.do(stage.backing.reset())
    stop.set()
    for worker in workers:
        worker.join()
    assert answers <= {"NoSuchBucket", "NoSuchKey", "InternalError"}
    stage.do(stage.backing.reset())
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 100_000)
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"x" * 100_000
