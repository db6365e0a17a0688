"""Who may do what, over the wire: the same outcome for S3, which the backing serves, and for SageMaker, which we do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stagemaker.testing import RunningStage

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

ACCOUNT = "123456789012"
JOBS = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job"
CONFIG = Config(retries={"total_max_attempts": 1})

# One vocabulary for both services: the words of a case are replaced by the service's own.
WORDS = {
    "s3": {
        "service": "s3",
        "read": "s3:GetObject",
        "write": "s3:PutObjectTagging",
        "read_like": "s3:Get*",
        "one": "arn:aws:s3:::data/private-1",
        "shouted": "arn:aws:s3:::data/PRIVATE-1",
        "other": "arn:aws:s3:::data/public-1",
        "family": "arn:aws:s3:::data/private-*",
        "mark": "arn:aws:s3:::data/private-?",
        "mine": "arn:aws:s3:::data/${aws:username}-*",
    },
    "sagemaker": {
        "service": "sagemaker",
        "read": "sagemaker:DescribeTrainingJob",
        "write": "sagemaker:AddTags",
        "read_like": "sagemaker:Describe*",
        "one": f"{JOBS}/private-1",
        "shouted": f"{JOBS}/PRIVATE-1",
        "other": f"{JOBS}/public-1",
        "family": f"{JOBS}/private-*",
        "mark": f"{JOBS}/private-?",
        "mine": f"{JOBS}/${{aws:username}}-*",
    },
}


def allow(actions: Any, resources: Any, **condition: Any) -> dict[str, Any]:
    """An Allow statement; `condition` as operator=(key, value)."""
    return statement("Allow", actions, resources, **condition)


def deny(actions: Any, resources: Any, **condition: Any) -> dict[str, Any]:
    """A Deny statement."""
    return statement("Deny", actions, resources, **condition)


def statement(effect: str, actions: Any, resources: Any, **condition: Any) -> dict[str, Any]:
    """A statement; a name ending in `not_` before a value makes its Not form."""
    document = {"Effect": effect, "Action": actions, "Resource": resources}
    if condition:
        document["Condition"] = {operator: {key: value} for operator, (key, value) in condition.items()}
    return document


def negated(document: dict[str, Any], *members: str) -> dict[str, Any]:
    """The statement with `Not` before some of its members."""
    return {f"Not{name}" if name in members else name: value for name, value in document.items()}


TOMORROW = (datetime.now(tz=UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")

# name: (statements, may read the one, may write the one, may read the other)
CASES: dict[str, tuple[list[dict[str, Any]], bool, bool, bool]] = {
    "nothing allows": ([], False, False, False),
    "everything": ([allow("*", "*")], True, True, True),
    "the service": ([allow("{service}:*", "*")], True, True, True),
    "another service": ([allow("sqs:*", "*")], False, False, False),
    "one action": ([allow("{read}", "*")], True, False, True),
    "a list of actions": ([allow(["{read}", "{write}"], "*")], True, True, True),
    "actions by pattern": ([allow("{read_like}", "*")], True, False, True),
    "actions in any case": ([allow("{READ}", "*")], True, False, True),
    "one resource": ([allow("{service}:*", "{one}")], True, True, False),
    "a list of resources": ([allow("{service}:*", ["{one}", "{other}"])], True, True, True),
    "resources by star": ([allow("{service}:*", "{family}")], True, True, False),
    "resources by question mark": ([allow("{service}:*", "{mark}")], True, True, False),
    "resources are told by case": ([allow("{service}:*", "{shouted}")], False, False, False),
    "a user's own by variable": ([allow("{service}:*", "{mine}")], True, True, False),
    "all actions but one": ([negated(allow("{write}", "*"), "Action")], True, False, True),
    "all resources but one": ([negated(allow("{service}:*", "{one}"), "Resource")], False, False, True),
    "deny beats allow": ([allow("*", "*"), deny("{write}", "*")], True, False, True),
    "deny beats allow in any order": ([deny("{read}", "{one}"), allow("*", "*")], False, True, True),
    "deny of all but one": (
        [allow("*", "*"), negated(deny("{service}:*", "{one}"), "Resource")],
        True,
        True,
        False,
    ),
    "deny without allow": ([deny("{write}", "*")], False, False, False),
    "condition that holds": (
        [allow("{service}:*", "*", StringEquals=("aws:RequestedRegion", "us-east-1"))],
        True,
        True,
        True,
    ),
    "condition that does not hold": (
        [allow("{service}:*", "*", StringEquals=("aws:RequestedRegion", "eu-west-1"))],
        False,
        False,
        False,
    ),
    "condition by pattern": (
        [allow("{service}:*", "*", StringLike=("aws:username", "priv*"))],
        True,
        True,
        True,
    ),
    "condition on a key that is absent": (
        [allow("{service}:*", "*", StringEquals=("aws:PrincipalTag/team", "red"))],
        False,
        False,
        False,
    ),
    "if exists on a key that is absent": (
        [allow("{service}:*", "*", StringEqualsIfExists=("aws:PrincipalTag/team", "red"))],
        True,
        True,
        True,
    ),
    "deny without TLS": ([allow("*", "*"), deny("*", "*", Bool=("aws:SecureTransport", "false"))], True, True, True),
    "deny with TLS": ([allow("*", "*"), deny("*", "*", Bool=("aws:SecureTransport", "true"))], False, False, False),
    "from an address": ([allow("*", "*", IpAddress=("aws:SourceIp", "127.0.0.0/8"))], True, True, True),
    "from another address": ([allow("*", "*", IpAddress=("aws:SourceIp", "10.0.0.0/8"))], False, False, False),
    "before a date": ([allow("*", "*", DateLessThan=("aws:CurrentTime", TOMORROW))], True, True, True),
    "after a date": ([allow("*", "*", DateGreaterThan=("aws:CurrentTime", TOMORROW))], False, False, False),
    "key must be absent": ([allow("*", "*", Null=("aws:TokenIssueTime", "true"))], True, True, True),
    "key must be present": ([allow("*", "*", Null=("aws:TokenIssueTime", "false"))], False, False, False),
}


def in_words(document: Any, service: str) -> str:
    """The policy of a case in a service's words."""
    words = WORDS[service]
    text = json.dumps({"Version": "2012-10-17", "Statement": document})
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
        text = text.replace(f"{{{name.upper()}}}", word.upper())
    return text


@dataclass(frozen=True, slots=True)
class Subject:
    """The user called `private` whose policy each case sets, and what there is to read and write."""

    account: Account
    keys: dict[str, str]

    def client(self, service: str) -> Any:
        """The user's client."""
        make: Any = boto3.client
        return make(
            service, endpoint_url=self.account.stage.endpoint, region_name="us-east-1", config=CONFIG, **self.keys
        )

    def calls(self, service: str) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
        """Read the one, write the one, read the other."""
        client = self.client(service)
        if service == "s3":
            tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
            return (
                partial(client.get_object, Bucket="data", Key="private-1"),
                partial(client.put_object_tagging, Bucket="data", Key="private-1", Tagging=tags),
                partial(client.get_object, Bucket="data", Key="public-1"),
            )
        return (
            partial(client.describe_training_job, TrainingJobName="private-1"),
            partial(client.add_tags, ResourceArn=f"{JOBS}/private-1", Tags=[{"Key": "a", "Value": "b"}]),
            partial(client.describe_training_job, TrainingJobName="public-1"),
        )


@pytest.fixture(scope="module")
def subject(running: RunningStage) -> Subject:
    """One account for all cases: two objects, two jobs, a user without rights."""
    from tests.stage.conftest import Account as MadeAccount

    running.reset()
    account = MadeAccount(running)
    s3, iam = account.client("s3"), account.client("iam")
    s3.create_bucket(Bucket="data")
    for name in ("private-1", "public-1"):
        s3.put_object(Bucket="data", Key=name, Body=b"x")
        account.train(name)
    iam.create_user(UserName="private")
    key = iam.create_access_key(UserName="private")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    return Subject(account, keys)


def is_allowed(call: Callable[[], object]) -> bool:
    """Whether the call was carried out; a refusal must be one of authorisation, in AWS's words."""
    try:
        call()
    except ClientError as error:
        refusal = error.response["Error"]
    else:
        return True
    assert refusal["Code"] in {"AccessDenied", "AccessDeniedException"}
    assert f"User: arn:aws:iam::{ACCOUNT}:user/private is not authorized to perform: " in refusal["Message"]
    return False


@pytest.mark.parametrize("service", WORDS)
@pytest.mark.parametrize("case", CASES)
def test_policy_over_the_wire(subject: Subject, case: str, service: str) -> None:
    """Each case of the table, with the same outcome for both services."""
    statements, *expected = CASES[case]
    iam = subject.account.client("iam")
    if statements:
        iam.put_user_policy(UserName="private", PolicyName="case", PolicyDocument=in_words(statements, service))
    try:
        assert [is_allowed(call) for call in subject.calls(service)] == expected
    finally:
        if statements:
            iam.delete_user_policy(UserName="private", PolicyName="case")


@pytest.mark.parametrize("service", WORDS)
def test_forged_expired_late_and_anonymous_calls(subject: Subject, service: str) -> None:
    """A wrong secret, a forged token, a signature of an hour ago and no signature at all are refused everywhere."""
    import botocore
    from botocore import UNSIGNED

    codes = {
        "s3": ("SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed", "AccessDenied"),
        "sagemaker": (
            "InvalidSignatureException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "MissingAuthenticationTokenException",
        ),
    }[service]
    make: Any = boto3.client
    options = {"endpoint_url": subject.account.stage.endpoint, "region_name": "us-east-1"}

    def refused(client: Any) -> str:
        call = client.list_buckets if service == "s3" else client.list_training_jobs
        with pytest.raises(ClientError) as caught:
            call()
        return str(caught.value.response["Error"]["Code"])

    forged = {**subject.keys, "aws_secret_access_key": "x" * 40}
    assert refused(make(service, config=CONFIG, **options, **forged)) == codes[0]
    unknown = {"aws_access_key_id": "AKIA" + "A" * 16, "aws_secret_access_key": "x" * 40}
    assert refused(make(service, config=CONFIG, **options, **unknown)) == codes[1]
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)
    with patch.object(
        botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: _naive(hour_ago, remove_tzinfo)
    ):
        assert refused(make(service, config=CONFIG, **options, **subject.keys)) == codes[2]
    unsigned = CONFIG.merge(Config(signature_version=UNSIGNED))
    assert refused(make(service, config=unsigned, **options)) == codes[3]


def _naive(time: datetime, remove_tzinfo: bool) -> datetime:
    return time.replace(tzinfo=None) if remove_tzinfo else time


def test_passing_a_role_needs_its_own_permission(subject: Subject) -> None:
    """A user who may create training jobs but not pass the role is refused by iam:PassRole's name."""
    iam = subject.account.client("iam")
    policy = in_words([allow("sagemaker:*", "*")], "sagemaker")
    iam.put_user_policy(UserName="private", PolicyName="case", PolicyDocument=policy)
    sagemaker = subject.client("sagemaker")
    request = subject.account.request("by-private")
    with pytest.raises(ClientError, match=f"iam:PassRole on resource: {subject.account.stage.role_arn}"):
        sagemaker.create_training_job(**request)
    passing = allow("iam:PassRole", "*", StringEquals=("iam:PassedToService", "sagemaker.amazonaws.com"))
    policy = in_words([allow("sagemaker:*", "*"), passing], "sagemaker")
    iam.put_user_policy(UserName="private", PolicyName="case", PolicyDocument=policy)
    sagemaker.create_training_job(**request)
    iam.delete_user_policy(UserName="private", PolicyName="case")


def test_job_whose_role_may_not_read_its_input(subject: Subject) -> None:
    """The role decides, not the caller: without s3:ListBucket the request is refused as on AWS."""
    iam = subject.account.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="blind", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    channel = subject.account.channel("train", "private-1")
    request = subject.account.request("blind", RoleArn=role, InputDataConfig=[channel])
    sagemaker = subject.account.client("sagemaker")
    with pytest.raises(ClientError, match=f'the role "{role}" has "s3:ListBucket" permissions on bucket "data"'):
        sagemaker.create_training_job(**request)
    listing = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListBucket", "arn:aws:s3:::data")]})
    iam.put_role_policy(RoleName="blind", PolicyName="list", PolicyDocument=listing)
    sagemaker.create_training_job(**request)
    reason = subject.account.settle("blind")["FailureReason"]
    assert reason.startswith("ClientError: Data download failed:Failed to download data.")
    assert "is not authorized to perform: s3:GetObject" in reason
