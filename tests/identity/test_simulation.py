"""IAM's policy simulator says what real calls would meet."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Caller, Context, Request

ACCOUNT = "123456789012"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
READ = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::lake/*"}


def policy(*statements: dict[str, Any]) -> str:
    """A document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def simulate(room: Any, operation: str, *actions: str, **fields: str) -> list[str]:
    """The decisions, in order."""
    named = {f"ActionNames.member.{number}": action for number, action in enumerate(actions, 1)}
    body = urlencode({"Action": operation, "Version": "2010-05-08", **named, **fields}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    api = room.identity.iam
    context = Context(ACCOUNT, "us-east-1", Caller("arn:aws:iam::123456789012:user/learner"), "request-1")
    request = Request("POST", "/", "", headers, body)
    reply = room.run(api.invoke(api.read(request), context))
    return [part.partition("<")[0] for part in reply.body.decode().split("<EvalDecision>")[1:]]


def test_a_users_policies(room: Any) -> None:
    """Allowed, denied on purpose and just not allowed are told apart, resource by resource."""
    room.user("ann", policy(READ, {"Effect": "Deny", "Action": "s3:GetObjectAcl", "Resource": "*"}))
    fields = {
        "PolicySourceArn": ANN,
        "ResourceArns.member.1": "arn:aws:s3:::lake/a",
        "ResourceArns.member.2": "arn:aws:s3:::b",
    }
    found = simulate(room, "SimulatePrincipalPolicy", "s3:GetObject", "s3:GetObjectAcl", **fields)
    assert found == ["allowed", "implicitDeny", "explicitDeny", "explicitDeny"]


def test_the_execution_role(room: Any) -> None:
    """A role is judged by its own policies, as the SDK asks it to be."""
    source = {"PolicySourceArn": room.keys.role_arn}
    actions = ("sagemaker:CreateTrainingJob", "iam:CreateUser")
    assert simulate(room, "SimulatePrincipalPolicy", *actions, **source) == ["allowed", "implicitDeny"]


def test_boundaries_and_context(room: Any) -> None:
    """A boundary limits, and context keys that are given meet conditions."""
    arn = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    condition = {"Condition": {"StringEquals": {"aws:RequestTag/team": "churn"}}}
    room.account.managed[arn] = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    room.user("ann", policy({"Effect": "Allow", "Action": "*", "Resource": "*", **condition}), boundary=arn)
    actions = ("s3:PutObject", "sns:Publish")
    source = {"PolicySourceArn": ANN}
    assert simulate(room, "SimulatePrincipalPolicy", *actions, **source) == ["implicitDeny", "implicitDeny"]
    entry = "ContextEntries.member.1."
    given = {f"{entry}ContextKeyName": "aws:RequestTag/team", f"{entry}ContextKeyType": "string"}
    given[f"{entry}ContextKeyValues.member.1"] = "churn"
    assert simulate(room, "SimulatePrincipalPolicy", *actions, **source, **given) == ["allowed", "implicitDeny"]


def test_policies_of_nobody(room: Any) -> None:
    """SimulateCustomPolicy judges documents that are only given."""
    fields = {"PolicyInputList.member.1": policy(READ), "ResourceArns.member.1": "arn:aws:s3:::lake/a"}
    found = simulate(room, "SimulateCustomPolicy", "s3:GetObject", "s3:PutObject", **fields)
    assert found == ["allowed", "implicitDeny"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/nobody"}, "NoSuchEntity"),
        ({"PolicySourceArn": ANN, "PolicyInputList.member.1": "{"}, "InvalidInput"),
        ({"PolicySourceArn": ANN, "ResourcePolicy": policy(READ)}, "InvalidInput"),
    ],
)
def test_what_it_refuses(fields: dict[str, str], code: str, room: Any) -> None:
    """A source that is not there, a policy that cannot be read, and what it would not take into account."""
    room.user("ann")
    with pytest.raises(AwsError) as refused:
        simulate(room, "SimulatePrincipalPolicy", "s3:GetObject", **fields)
    assert refused.value.code == code
