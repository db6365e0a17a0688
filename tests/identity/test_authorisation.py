"""The table of authorisation: each policy judges a call to S3 and a call to SageMaker alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from stagemaker.wire.message import Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"

ALLOWED = ""
SILENT = "because no identity-based policy allows the {action} action"
DENIED = "with an explicit deny in an identity-based policy"


@dataclass(frozen=True)
class Target:
    """One of the two calls. The placeholders of a case's policies are filled from here."""

    service: str
    action: str
    resource: str
    other_action: str
    pattern: str
    one_letter: str
    folder: str


S3 = Target(
    "s3",
    "s3:GetObject",
    "arn:aws:s3:::lake/ann/churn.csv",
    "s3:PutObject",
    "s3:Get*",
    "s3:GetObjec?",
    "arn:aws:s3:::lake/",
)
SAGEMAKER = Target(
    "sagemaker",
    "sagemaker:DescribeTrainingJob",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/ann/churn.csv",
    "sagemaker:StopTrainingJob",
    "sagemaker:Describe*",
    "sagemaker:DescribeTrainingJo?",
    f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/",
)


@dataclass(frozen=True)
class Case:
    """What Ann has, and how her call is judged. `<...>` in a policy is a member of the target."""

    behaviour: str
    outcome: str
    inline: list[Any] = field(default_factory=list)
    managed: list[Any] = field(default_factory=list)
    group: list[Any] = field(default_factory=list)
    boundary: Any = None
    tags: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def allow(**elements: Any) -> dict[str, Any]:
    """An allowing statement on the call, with some elements replaced."""
    return _statement("Allow", elements)


def deny(**elements: Any) -> dict[str, Any]:
    """A denying one."""
    return _statement("Deny", elements)


def _statement(effect: str, elements: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": effect}
    if "NotAction" not in elements:
        statement["Action"] = "<action>"
    if "NotResource" not in elements:
        statement["Resource"] = "<resource>"
    return {**statement, **elements}


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    """A document."""
    return {"Version": version, "Statement": list(statements)}


def under(operator: str, key: str, value: Any) -> dict[str, Any]:
    """A Condition element with one condition."""
    return {"Condition": {operator: {key: value}}}


CASES = [
    Case("without a policy nothing is allowed", SILENT),
    Case("an allow of the action on the resource allows", ALLOWED, [policy(allow())]),
    Case("everything on everything allows", ALLOWED, [policy(allow(Action="*", Resource="*"))]),
    Case("all actions of the service allow", ALLOWED, [policy(allow(Action="<service>:*"))]),
    Case("a pattern of actions allows", ALLOWED, [policy(allow(Action="<pattern>"))]),
    Case("a question mark stands for one letter", ALLOWED, [policy(allow(Action="<one_letter>"))]),
    Case("a list of actions holds if one fits", ALLOWED, [policy(allow(Action=["<other_action>", "<action>"]))]),
    Case("the case of actions does not count", ALLOWED, [policy(allow(Action="<ACTION>"))]),
    Case("another action does not help", SILENT, [policy(allow(Action="<other_action>"))]),
    Case("another service's actions do not help", SILENT, [policy(allow(Action=["ec2:*", "sns:*"]))]),
    Case("another resource does not help", SILENT, [policy(allow(Resource="<folder>bob/churn.csv"))]),
    Case("a pattern of resources allows", ALLOWED, [policy(allow(Resource="<folder>*/churn.csv"))]),
    Case("one letter of a resource may be open", ALLOWED, [policy(allow(Resource="<folder>ann/churn.cs?"))]),
    Case("a pattern is matched to the end", SILENT, [policy(allow(Resource="<folder>ann/churn"))]),
    Case("the case of resources counts", SILENT, [policy(allow(Resource="<folder>Ann/churn.csv"))]),
    Case("NotAction allows what it does not list", ALLOWED, [policy(allow(NotAction="<other_action>"))]),
    Case("NotAction does not allow what it lists", SILENT, [policy(allow(NotAction="<pattern>"))]),
    Case("NotResource allows what it does not list", ALLOWED, [policy(allow(NotResource="<folder>bob/*"))]),
    Case("NotResource does not allow what it lists", SILENT, [policy(allow(NotResource="<folder>ann/*"))]),
    Case("a deny wins over an allow", DENIED, [policy(allow(), deny())]),
    Case("a deny wins whatever the order", DENIED, [policy(deny()), policy(allow())]),
    Case("a deny of something else does no harm", ALLOWED, [policy(allow(), deny(Resource="<folder>bob/*"))]),
    Case("a deny of all but one folder denies the rest", DENIED, [policy(allow(), deny(NotResource="<folder>bob/*"))]),
    Case("a deny alone is an explicit one", DENIED, [policy(deny(Action="*", Resource="*"))]),
    Case("a managed policy counts", ALLOWED, managed=[policy(allow())]),
    Case("a managed policy's deny wins over an inline allow", DENIED, [policy(allow())], [policy(deny())]),
    Case("a group's policy counts", ALLOWED, group=[policy(allow())]),
    Case("a group's deny wins over the user's allow", DENIED, [policy(allow())], group=[policy(deny())]),
    Case("a boundary that allows lets pass", ALLOWED, [policy(allow())], boundary=policy(allow(Action="<pattern>"))),
    Case("a boundary alone allows nothing", SILENT, boundary=policy(allow(Action="*", Resource="*"))),
    Case(
        "what a boundary leaves out is refused",
        "because no permissions boundary allows the {action} action",
        [policy(allow())],
        boundary=policy(allow(Action="<other_action>")),
    ),
    Case(
        "a boundary's deny is named",
        "with an explicit deny in a permissions boundary",
        [policy(allow())],
        boundary=policy(allow(), deny()),
    ),
    Case(
        "the region that is meant allows",
        ALLOWED,
        [policy(allow(**under("StringEquals", "aws:RequestedRegion", ["eu-west-1", "us-east-1"])))],
    ),
    Case(
        "another region does not",
        SILENT,
        [policy(allow(**under("StringEquals", "aws:RequestedRegion", "eu-west-1")))],
    ),
    Case(
        "a deny outside of a region does not reach inside",
        ALLOWED,
        [policy(allow(), deny(**under("StringNotEquals", "aws:RequestedRegion", "us-east-1")))],
    ),
    Case(
        "the loopback listener counts as secure transport",
        ALLOWED,
        [policy(allow(), deny(**under("Bool", "aws:SecureTransport", "false")))],
    ),
    Case(
        "plain HTTP does not",
        DENIED,
        [policy(allow(), deny(**under("Bool", "aws:SecureTransport", "false")))],
        headers={"x-forwarded-proto": "http"},
    ),
    Case(
        "a JSON boolean in a policy is as good as a text",
        DENIED,
        [policy(allow(), deny(**under("Bool", "aws:SecureTransport", value=False)))],
        headers={"x-forwarded-proto": "http"},
    ),
    Case(
        "an address in the range allows", ALLOWED, [policy(allow(**under("IpAddress", "aws:SourceIp", "127.0.0.0/8")))]
    ),
    Case("an address out of it does not", SILENT, [policy(allow(**under("IpAddress", "aws:SourceIp", "10.0.0.0/8")))]),
    Case(
        "a deny of all other addresses denies",
        DENIED,
        [policy(allow(), deny(**under("NotIpAddress", "aws:SourceIp", "10.0.0.0/8")))],
    ),
    Case("the user's name fills a variable", ALLOWED, [policy(allow(Resource="<folder>${aws:username}/*"))]),
    Case(
        "in the old language a variable is just text",
        SILENT,
        [policy(allow(Resource="<folder>${aws:username}/*"), version="2008-10-17")],
    ),
    Case(
        "a variable without a value fits nothing",
        SILENT,
        [policy(allow(Resource="<folder>${aws:PrincipalTag/team}/*"))],
    ),
    Case(
        "a variable may have a default",
        ALLOWED,
        [policy(allow(Resource="<folder>${aws:PrincipalTag/team, 'ann'}/*"))],
    ),
    Case(
        "a tag of the user fills a variable, and its star is no wildcard",
        SILENT,
        [policy(allow(Resource="<folder>${aws:PrincipalTag/team}/*"))],
        tags={"team": "*"},
    ),
    Case(
        "a tag of the user meets a condition",
        ALLOWED,
        [policy(allow(**under("StringEquals", "aws:PrincipalTag/team", "churn")))],
        tags={"team": "churn"},
    ),
    Case(
        "a key that is absent meets no positive condition",
        SILENT,
        [policy(allow(**under("StringEquals", "aws:PrincipalTag/team", "churn")))],
    ),
    Case(
        "unless it need not exist",
        ALLOWED,
        [policy(allow(**under("StringEqualsIfExists", "aws:PrincipalTag/team", "churn")))],
    ),
    Case(
        "a key that is absent meets a negative one",
        DENIED,
        [policy(allow(), deny(**under("StringNotEquals", "aws:PrincipalTag/team", "churn")))],
    ),
    Case("Null finds a key absent", ALLOWED, [policy(allow(**under("Null", "aws:PrincipalTag/team", "true")))]),
    Case("Null finds a key present", SILENT, [policy(allow(**under("Null", "aws:username", "true")))]),
    Case(
        "all conditions of a statement must hold",
        SILENT,
        [policy(allow(Condition={"StringLike": {"aws:username": "a*"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))],
    ),
    Case(
        "the caller's ARN meets a pattern",
        ALLOWED,
        [policy(allow(**under("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/a*")))],
    ),
    Case(
        "a star in an ARN's part does not reach over a colon",
        SILENT,
        [policy(allow(**under("ArnLike", "aws:PrincipalArn", "arn:*:user/ann")))],
    ),
    Case(
        "a time that is past ends an allow",
        SILENT,
        [policy(allow(**under("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z")))],
    ),
    Case(
        "numbers are compared as numbers",
        ALLOWED,
        [policy(allow(**under("NumericGreaterThan", "aws:EpochTime", "99999")))],
    ),
]


@pytest.mark.parametrize("target", [S3, SAGEMAKER], ids=lambda target: target.service)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.behaviour)
def test_policies_judge_all_services_alike(case: Case, target: Target, room: Any, signed: Signed) -> None:
    """Each case's policies give the same outcome for S3 and for SageMaker, in AWS's words."""
    key = _make_ann(case, target, room)
    error = room.refusal(lambda: _call(case, target, room, signed, key))
    if case.outcome == ALLOWED:
        assert error is None
        return
    resource = f'"{target.resource}"' if target is S3 else target.resource
    reason = case.outcome.format(action=target.action)
    assert error is not None
    assert error.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: {target.action} "
        f"on resource: {resource} {reason}"
    )
    assert (error.code, error.status) == (("AccessDenied", 403) if target is S3 else ("AccessDeniedException", 400))


def _make_ann(case: Case, target: Target, room: Any) -> Any:
    account = room.account
    account.buckets["lake"] = {}
    more: dict[str, Any] = {"tags": case.tags}
    for number, document in enumerate(case.managed):
        arn = f"arn:aws:iam::{ACCOUNT}:policy/managed-{number}"
        account.managed[arn] = _filled(document, target)
        more.setdefault("attached", []).append(arn)
    if case.boundary:
        more["boundary"] = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
        account.managed[more["boundary"]] = _filled(case.boundary, target)
    if case.group:
        entity = type(account.entities["User"]["admin"])
        account.add(entity("Group", "team", inline={str(i): _filled(one, target) for i, one in enumerate(case.group)}))
        more["groups"] = ["team"]
    return room.user("ann", *[_filled(document, target) for document in case.inline], **more)


def _filled(document: Any, target: Target) -> str:
    text = json.dumps(document).replace("<ACTION>", target.action.upper())
    for name in target.__dataclass_fields__:
        text = text.replace(f"<{name}>", getattr(target, name))
    return text


def _call(case: Case, target: Target, room: Any, signed: Signed, key: Any) -> None:
    if target is S3:
        request = signed(key, "s3", "GET", "/lake/ann/churn.csv", headers=case.headers)
        room.backing_call(request, "s3")
        return
    headers = {"x-amz-target": "SageMaker.DescribeTrainingJob", "content-type": "application/x-amz-json-1.1"}
    request = signed(key, "sagemaker", "POST", "/", b"{}", {**headers, **case.headers})
    room.own_call(request, target.action, target.resource, {})
