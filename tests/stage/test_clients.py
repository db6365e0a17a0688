"""Real clients against the gateway: boto3, the aws CLI, presigned URLs; and what must not get in."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


def raw(account: Account, method: str, path: str, **headers: str) -> tuple[int, str]:
    """An HTTP request as it stands; its status and body."""
    address = urlsplit(account.stage.endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def aws(account: Account, *arguments: str) -> Any:
    """The aws CLI with the variables of `stagemaker env` and nothing else of AWS's; its JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= account.stage.environment(admin=False)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("aws")), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def test_each_key_is_somebody(account: Account) -> None:
    """The learner's and the administrator's keys are users of the account."""
    for admin, user in ((True, "admin"), (False, "learner")):
        identity = account.stage.client("sts", admin=admin).get_caller_identity()
        assert identity["Arn"] == f"arn:aws:iam::123456789012:user/{user}"
        assert identity["Account"] == "123456789012"


def test_learner_may_use_services_but_not_make_users(account: Account) -> None:
    """Power over services, none over identities, in AWS's words."""
    bucket = account.stage.client("s3", admin=False)
    bucket.create_bucket(Bucket="learners-own")
    assert account.stage.client("sagemaker", admin=False).list_training_jobs()["TrainingJobSummaries"] == []
    with pytest.raises(ClientError, match=r"not authorized to perform: iam:CreateUser on resource: .*user/friend"):
        account.stage.client("iam", admin=False).create_user(UserName="friend")


def test_wrong_secret_is_refused(account: Account) -> None:
    """Nobody gets in by guessing, and the services that are ours refuse as AWS's do."""
    for service, code in (("sagemaker", "InvalidSignatureException"), ("s3", "SignatureDoesNotMatch")):
        client = account.client(service, aws_secret_access_key="wrong")
        call = client.list_training_jobs if service == "sagemaker" else client.list_buckets
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("key", ["test", "123456789012", "AKIAIOSFODNN7EXAMPLE"])
def test_no_key_that_can_be_guessed(account: Account, key: str) -> None:
    """The keys that emulators commonly take for root mean nothing here."""
    for service, call in (("s3", "list_buckets"), ("sts", "get_caller_identity"), ("sagemaker", "list_training_jobs")):
        client = account.client(service, aws_access_key_id=key, aws_secret_access_key="test")
        with pytest.raises(ClientError):
            getattr(client, call)()


def test_unsigned_calls_are_refused(account: Account) -> None:
    """No anonymous list of buckets, no anonymous bucket."""
    assert raw(account, "GET", "/")[0] == 403
    assert raw(account, "PUT", "/anonymous")[0] == 403


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/health", "/_localstack/health", "/_aws/x"])
def test_private_paths_of_the_backing_are_unreachable(account: Account, path: str) -> None:
    """They answer to nobody, whatever the method."""
    for method in ("GET", "POST"):
        assert raw(account, method, path)[0] == 403


def test_web_pages_and_foreign_names_are_refused(account: Account) -> None:
    """By Origin and by Host."""
    assert raw(account, "GET", "/", Origin="https://evil.example")[0] == 403
    assert raw(account, "GET", "/", Host="evil.example")[0] == 403
    assert raw(account, "POST", "/_stagemaker/reset", Origin="https://evil.example")[0] == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls(account: Account, version: str) -> None:
    """Put and get without a client, in boto3's default form and in the newer one; a URL that was changed is refused."""
    s3 = account.client("s3", config=Config(signature_version=version))
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "data", "Key": "a b/ä.txt"})
    # No Content-Type: urllib would add one of its own, which the older form signs.
    assert raw(account, "PUT", put.removeprefix(account.stage.endpoint), **{"Content-Length": "0"})[0] == 200
    account.client("s3").put_object(Bucket="data", Key="a b/ä.txt", Body=b"hello")
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "a b/ä.txt", "ResponseExpires": 0})
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"hello"
    for operation in ("list_objects_v2", "get_bucket_location"):
        with urllib.request.urlopen(s3.generate_presigned_url(operation, Params={"Bucket": "data"})) as answer:
            assert answer.status == 200
    later = re.sub(r"Expires=(\d+)", lambda match: f"Expires={int(match[1]) + 1}", get)
    for spoilt in (get.replace("%C3%A4", "o"), later):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(spoilt)
        assert refused.value.code == 403
        refused.value.close()


def test_aws_cli(account: Account, tmp_path: Path) -> None:
    """The CLI reaches S3, STS, IAM, SageMaker and Logs with nothing but the variables."""
    file = tmp_path / "x.txt"
    file.write_text("hello")
    aws(account, "s3", "mb", "s3://from-cli")
    aws(account, "s3", "cp", str(file), "s3://from-cli/x.txt")
    assert "x.txt" in aws(account, "s3", "ls", "s3://from-cli")
    assert aws(account, "sts", "get-caller-identity")["Arn"].endswith("user/learner")
    account.train("for-cli")
    jobs = aws(account, "sagemaker", "list-training-jobs")["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in jobs] == ["for-cli"]
    aws(account, "sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "for-cli")
    assert aws(account, "logs", "describe-log-groups")["logGroups"][0]["logGroupName"] == "/aws/sagemaker/TrainingJobs"


def test_other_services_of_the_backing(account: Account) -> None:
    """SNS, SQS and EventBridge are there."""
    topic = account.client("sns").create_topic(Name="t")["TopicArn"]
    assert topic == "arn:aws:sns:us-east-1:123456789012:t"
    queue = account.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    account.client("sqs").send_message(QueueUrl=queue, MessageBody="m")
    assert account.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "m"
    account.client("events").put_rule(Name="r", EventPattern='{"source": ["aws.sagemaker"]}')
    assert account.client("events").list_rules()["Rules"][0]["Name"] == "r"


def test_reset_empties_everything(account: Account) -> None:
    """Objects, buckets, jobs, logs, metrics and users go; the two keys stay."""
    from datetime import UTC, datetime

    s3 = account.client("s3")
    s3.put_object(Bucket="data", Key="k", Body=b"x")
    account.client("iam").create_user(UserName="friend")
    account.client("cloudwatch").put_metric_data(
        Namespace="Mine", MetricData=[{"MetricName": "m", "Value": 1, "Timestamp": datetime.now(tz=UTC)}]
    )
    account.train("gone", {"lines": '["a"]'})
    account.stage.reset()
    assert s3.list_buckets()["Buckets"] == []
    assert account.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("cloudwatch").list_metrics()["Metrics"] == []
    users = [user["UserName"] for user in account.client("iam").list_users()["Users"]]
    assert sorted(users) == ["admin", "learner"]
    s3.create_bucket(Bucket="data")
    account.train("gone")


def test_reset_ends_running_jobs(account: Account) -> None:
    """A job that was running does not come back into the empty account."""
    account.client("sagemaker").create_training_job(**account.request("runs", {"sleep": "60"}))
    account.stage.reset()
    account.client("s3").create_bucket(Bucket="data")
    assert account.train("runs")["TrainingJobStatus"] == "Completed"


def test_any_region_is_served(account: Account) -> None:
    """State is kept apart by region."""
    session = boto3.Session(region_name="ap-southeast-2")
    variables = account.stage.environment()
    logs = session.client(
        "logs",
        endpoint_url=account.stage.endpoint,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    logs.create_log_group(logGroupName="there")
    assert [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]] == ["there"]
    assert account.client("logs").describe_log_groups()["logGroups"] == []


def test_policy_simulator_says_what_would_happen(account: Account) -> None:
    """The same evaluation that judges calls, for a role and for a user."""
    iam = account.client("iam")

    def decisions(source: str, *actions: str, resource: str = "*") -> list[str]:
        passed = {"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string"}
        answer = iam.simulate_principal_policy(
            PolicySourceArn=source,
            ActionNames=list(actions),
            ResourceArns=[resource],
            ContextEntries=[{**passed, "ContextKeyValues": ["sagemaker.amazonaws.com"]}],
        )
        return [result["EvalDecision"] for result in answer["EvaluationResults"]]

    role = account.stage.role_arn
    assert decisions(role, "sagemaker:CreateModel", "cloudwatch:PutMetricData", "iam:CreateUser") == [
        "allowed",
        "allowed",
        "implicitDeny",
    ]
    learner = "arn:aws:iam::123456789012:user/learner"
    assert decisions(learner, "s3:PutObject", "iam:CreateUser") == ["allowed", "implicitDeny"]
    assert decisions(learner, "iam:PassRole", resource=role) == ["allowed"]
    with pytest.raises(ClientError, match="cannot be found"):
        decisions("arn:aws:iam::123456789012:role/nobody", "s3:GetObject")


def test_root_can_mend_a_policy_that_locks_everybody_out(account: Account) -> None:
    """A deny of everything to everyone stops the administrator, too; the root's key takes the policy away."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
    }
    s3 = account.client("s3")
    s3.put_bucket_policy(Bucket="data", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    for call in (s3.list_objects_v2, s3.delete_bucket_policy):
        with pytest.raises(ClientError, match="with an explicit deny in a resource-based policy"):
            call(Bucket="data")
    state = str(account.stage.folder.root)
    run = [sys.executable, "-m", "stagemaker", "run", "--state", state, "--root", "--"]
    mend = [str(Path(sys.executable).with_name("aws")), "s3api", "delete-bucket-policy", "--bucket", "data"]
    done = subprocess.run([*run, *mend], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 0
