"""What a query, JSON or REST call to the backing needs, and what is refused because it can be read in two ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from stagemaker.identity.actions import Call
from stagemaker.identity.directory import Account, Entity
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.identity.resources import Place
from stagemaker.identity.service_actions import describe_service
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"
ANN = f"arn:aws:iam::{ACCOUNT}:user/team/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/runner"


def _entity(arn: str) -> Entity:
    return Entity(arn.rpartition("/")[2], arn, "ID", (), (), {})


PLACE = Place(
    ACCOUNT,
    "eu-west-1",
    Principal(ANN, kind=PrincipalKind.USER, account=ACCOUNT, name="ann", entity_arn=ANN),
    Account({"ann": _entity(ANN)}, {}, {"runner": _entity(ROLE)}, {}),
)


def query(**fields: Any) -> Request:
    """A call of the query protocol."""
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    return Request("POST", "/", "", headers, urlencode(fields).encode())


def target(name: str, /, **parameters: Any) -> Request:
    """A call of a JSON service."""
    headers = {"x-amz-target": name, "content-type": "application/x-amz-json-1.1"}
    return Request("POST", "/", "", headers, json.dumps(parameters).encode())


def describe(request: Request, service: str) -> Call:
    """The call."""
    return describe_service(request, service, PLACE)


HERE = f"eu-west-1:{ACCOUNT}"


@pytest.mark.parametrize(
    ("request_", "service", "action", "resource"),
    [
        (query(Action="GetUser", UserName="ann"), "iam", "iam:GetUser", ANN),
        (query(Action="GetUser"), "iam", "iam:GetUser", ANN),
        (query(Action="CreateAccessKey"), "iam", "iam:CreateAccessKey", ANN),
        (
            query(Action="CreateUser", UserName="bob", Path="/x/"),
            "iam",
            "iam:CreateUser",
            f"arn:aws:iam::{ACCOUNT}:user/x/bob",
        ),
        (query(Action="GetRole", RoleName="runner"), "iam", "iam:GetRole", ROLE),
        (
            query(Action="AttachRolePolicy", RoleName="runner", PolicyArn="arn:aws:iam::aws:policy/X"),
            "iam",
            "iam:AttachRolePolicy",
            ROLE,
        ),
        (
            query(Action="AddUserToGroup", GroupName="g", UserName="ann"),
            "iam",
            "iam:AddUserToGroup",
            f"arn:aws:iam::{ACCOUNT}:group/g",
        ),
        (
            query(Action="CreatePolicy", PolicyName="p"),
            "iam",
            "iam:CreatePolicy",
            f"arn:aws:iam::{ACCOUNT}:policy/p",
        ),
        (
            query(Action="GetPolicy", PolicyArn="arn:aws:iam::aws:policy/X"),
            "iam",
            "iam:GetPolicy",
            "arn:aws:iam::aws:policy/X",
        ),
        (query(Action="ListUsers"), "iam", "iam:ListUsers", f"arn:aws:iam::{ACCOUNT}:user/"),
        (query(Action="ListRoles", PathPrefix="/x/"), "iam", "iam:ListRoles", f"arn:aws:iam::{ACCOUNT}:role/x/"),
        (query(Action="GetAccountSummary"), "iam", "iam:GetAccountSummary", "*"),
        (
            query(Action="SimulatePrincipalPolicy", PolicySourceArn=ANN),
            "iam",
            "iam:SimulatePrincipalPolicy",
            ANN,
        ),
        (query(Action="CreateTopic", Name="t"), "sns", "sns:CreateTopic", f"arn:aws:sns:{HERE}:t"),
        (query(Action="Publish", TopicArn=f"arn:aws:sns:{HERE}:t"), "sns", "sns:Publish", f"arn:aws:sns:{HERE}:t"),
        (
            query(Action="Unsubscribe", SubscriptionArn=f"arn:aws:sns:{HERE}:t:0-1"),
            "sns",
            "sns:Unsubscribe",
            f"arn:aws:sns:{HERE}:t",
        ),
        (
            target("AmazonSQS.SendMessage", QueueUrl=f"http://localhost:4566/{ACCOUNT}/q"),
            "sqs",
            "sqs:SendMessage",
            f"arn:aws:sqs:{HERE}:q",
        ),
        (
            target("AmazonSQS.SendMessageBatch", QueueUrl=f"http://localhost:4566/{ACCOUNT}/q"),
            "sqs",
            "sqs:SendMessage",
            f"arn:aws:sqs:{HERE}:q",
        ),
        (target("AmazonSQS.CreateQueue", QueueName="q"), "sqs", "sqs:CreateQueue", f"arn:aws:sqs:{HERE}:q"),
        (
            replace(query(Action="SendMessage"), path=f"/{ACCOUNT}/q"),
            "sqs",
            "sqs:SendMessage",
            f"arn:aws:sqs:{HERE}:q",
        ),
        (target("AWSEvents.PutRule", Name="r"), "events", "events:PutRule", f"arn:aws:events:{HERE}:rule/r"),
        (
            target("AWSEvents.PutTargets", Rule="r", EventBusName="b"),
            "events",
            "events:PutTargets",
            f"arn:aws:events:{HERE}:rule/b/r",
        ),
        (
            target("AWSEvents.PutEvents", Entries=[{"Source": "x"}]),
            "events",
            "events:PutEvents",
            f"arn:aws:events:{HERE}:event-bus/default",
        ),
        (
            target("AWSEvents.CreateEventBus", Name="b"),
            "events",
            "events:CreateEventBus",
            f"arn:aws:events:{HERE}:event-bus/b",
        ),
        (target("TrentService.Encrypt", KeyId="1-2"), "kms", "kms:Encrypt", f"arn:aws:kms:{HERE}:key/1-2"),
        (target("TrentService.Encrypt", KeyId="alias/a"), "kms", "kms:Encrypt", f"arn:aws:kms:{HERE}:alias/a"),
        (target("TrentService.CreateKey"), "kms", "kms:CreateKey", "*"),
        (target("AmazonSSM.GetParameter", Name="/a/b"), "ssm", "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/a/b"),
        (
            target("secretsmanager.GetSecretValue", SecretId="s"),
            "secretsmanager",
            "secretsmanager:GetSecretValue",
            f"arn:aws:secretsmanager:{HERE}:secret:s-??????",
        ),
        (
            target("DynamoDB_20120810.PutItem", TableName="t"),
            "dynamodb",
            "dynamodb:PutItem",
            f"arn:aws:dynamodb:{HERE}:table/t",
        ),
        (
            target("DynamoDBStreams_20120810.DescribeStream", StreamArn="arn:aws:dynamodb:x"),
            "dynamodb",
            "dynamodb:DescribeStream",
            "arn:aws:dynamodb:x",
        ),
        (
            target("DynamoDB_20120810.TransactWriteItems", TransactItems=[{"Delete": {"TableName": "t"}}]),
            "dynamodb",
            "dynamodb:DeleteItem",
            f"arn:aws:dynamodb:{HERE}:table/t",
        ),
        (
            Request("POST", "/2015-03-31/functions/f/invocations", "", {}, b"{}"),
            "lambda",
            "lambda:InvokeFunction",
            f"arn:aws:lambda:{HERE}:function:f",
        ),
        (
            Request("GET", "/schedules/s", "groupName=g", {}),
            "scheduler",
            "scheduler:GetSchedule",
            f"arn:aws:scheduler:{HERE}:schedule/g/s",
        ),
        (
            target("ResourceGroupsTaggingAPI_20170126.GetResources"),
            "tagging",
            "tag:GetResources",
            "*",
        ),
        (query(Action="DescribeVpcs", Version="2016-11-15"), "ec2", "ec2:DescribeVpcs", "*"),
    ],
    ids=lambda value: value if isinstance(value, str) and ":" in value else "",
)
def test_action_and_resource(request_: Request, service: str, action: str, resource: str) -> None:
    """The action and the ARN are those of the Service Authorization Reference."""
    permissions = describe(request_, service).permissions
    assert [(one.action, one.resource) for one in permissions] == [(action, resource)]


def test_several_resources() -> None:
    """A call that names several is judged for each."""
    names = describe(target("AmazonSSM.GetParameters", Names=["a", "/b"]), "ssm").permissions
    assert [one.resource for one in names] == [f"arn:aws:ssm:{HERE}:parameter/{name}" for name in "ab"]
    tables = describe(target("DynamoDB_20120810.BatchGetItem", RequestItems={"t": {}, "u": {}}), "dynamodb").permissions
    assert [one.resource for one in tables] == [f"arn:aws:dynamodb:{HERE}:table/{name}" for name in "tu"]
    buses = describe(target("AWSEvents.PutEvents", Entries=[{"EventBusName": "a"}, {}]), "events").permissions
    assert [one.resource.rpartition("/")[2] for one in buses] == ["a", "default"]


@pytest.mark.parametrize(
    ("request_", "service", "taker"),
    [
        (query(Action="AddRoleToInstanceProfile", InstanceProfileName="p", RoleName="runner"), "iam", "ec2"),
        (target("AWSEvents.PutTargets", Rule="r", Targets=[{"Arn": "a", "RoleArn": ROLE}]), "events", "events"),
        (target("AWSStepFunctions.CreateStateMachine", name="m", roleArn=ROLE), "states", "states"),
        (
            Request("POST", "/2015-03-31/functions", "", {}, json.dumps({"FunctionName": "f", "Role": ROLE}).encode()),
            "lambda",
            "lambda",
        ),
    ],
    ids=["instance profile", "rule", "state machine", "function"],
)
def test_roles_that_are_handed_over(request_: Request, service: str, taker: str) -> None:
    """A call that hands a role to a service needs iam:PassRole for that service."""
    passed = [one for one in describe(request_, service).permissions if one.action == "iam:PassRole"]
    assert [(one.resource, one.passed_to) for one in passed] == [(ROLE, f"{taker}.amazonaws.com")]


@pytest.mark.parametrize(
    ("request_", "service", "words"),
    [
        (target("secretsmanager.GetSecretValue", SecretId="s"), "sqs", "no operation of the service"),
        (target("AmazonSQS.Nothing"), "sqs", "no operation of the service"),
        (query(Action="Nothing"), "iam", "Could not find operation Nothing"),
        (query(Action="CreateTopic"), "iam", "Could not find operation CreateTopic"),
        (replace(query(Action="GetUser"), query="Action=DeleteUser"), "iam", "Action is given twice"),
        (replace(query(Action="GetUser", UserName="a"), query="UserName=admin"), "iam", "UserName is given twice"),
        (replace(target("AmazonSQS.ListQueues"), query="Action=PurgeQueue"), "sqs", "names its operation twice"),
        (replace(target("AmazonSQS.ListQueues"), body=b'{"a":1,"a":2}'), "sqs", "given twice in one object"),
        (replace(target("AmazonSQS.ListQueues"), body=b"[]"), "sqs", "not a JSON object"),
        (replace(target("AmazonSQS.ListQueues"), body=b"{"), "sqs", "not JSON"),
        (replace(query(Action="GetUser"), body=b"Action=GetUser&UserName=%ff\xff"), "iam", "not UTF-8"),
        (Request("POST", "/", "", {}), "iam", "no operation of iam"),
        (Request("GET", "/2015-03-31/functions/a%2Fb", "", {}), "lambda", "holds a slash"),
        (Request("GET", "/nothing", "", {}), "lambda", "no operation of lambda"),
        (Request("GET", "/", "", {}), "no-such-service", "no service that signs as 'no-such-service'"),
        (
            target("DynamoDB_20120810.TransactWriteItems", TransactItems=[{"Drop": {"TableName": "t"}}]),
            "dynamodb",
            "no part of a transaction",
        ),
    ],
)
def test_what_is_not_clear_is_refused(request_: Request, service: str, words: str) -> None:
    """A request that the backing could read in another way than it was authorised never gets that far."""
    with pytest.raises(AwsError) as refused:
        describe(request_, service)
    assert words in refused.value.message


def test_tags_are_context() -> None:
    """Tags of a call become the keys that tag policies ask for, in each protocol."""
    form = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "churn"}
    for call in (
        describe(query(Action="CreateUser", UserName="bob", **form), "iam"),
        describe(target("AmazonSSM.AddTagsToResource", Tags=[{"Key": "team", "Value": "churn"}]), "ssm"),
        describe(target("AmazonSQS.CreateQueue", QueueName="q", tags={"team": "churn"}), "sqs"),
    ):
        assert call.context["aws:RequestTag/team"] == "churn"
        assert call.context["aws:TagKeys"] == ["team"]
    untag = describe(query(Action="UntagUser", UserName="bob", **{"TagKeys.member.1": "team"}), "iam")
    assert untag.context["aws:TagKeys"] == ["team"]


def test_a_policy_that_may_only_be_attached(room: Any, signed: Signed) -> None:
    """`iam:PolicyARN` lets an administrator say which policies may be handed on."""
    statement = {
        "Effect": "Allow",
        "Action": "iam:AttachUserPolicy",
        "Resource": "*",
        "Condition": {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/PowerUserAccess"}},
    }
    ann = room.user("ann", {"Version": "2012-10-17", "Statement": statement})

    def attach(name: str) -> Request:
        fields = {"Action": "AttachUserPolicy", "UserName": "bob", "PolicyArn": f"arn:aws:iam::aws:policy/{name}"}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = signed(ann, "iam", "POST", "/", urlencode(fields).encode(), headers)
        assert isinstance(request, Request)
        return request

    room.backing_call(attach("PowerUserAccess"), "iam")
    with pytest.raises(AwsError, match="iam:AttachUserPolicy"):
        room.backing_call(attach("AdministratorAccess"), "iam")


class TestTheLearner:
    """What the account's second user may do from the start."""

    @pytest.mark.parametrize(
        ("fields", "allowed"),
        [
            ({"Action": "ListRoles"}, True),
            ({"Action": "GetRole", "RoleName": "AmazonSageMaker-ExecutionRole"}, True),
            ({"Action": "CreateUser", "UserName": "x"}, False),
            ({"Action": "AttachUserPolicy", "UserName": "learner", "PolicyArn": "arn:aws:iam::aws:policy/X"}, False),
        ],
    )
    def test_iam_is_to_be_looked_at(self, fields: dict[str, str], allowed: bool, room: Any, signed: Signed) -> None:
        """It reads IAM and changes nothing there."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = signed(room.keys.learner, "iam", "POST", "/", urlencode(fields).encode(), headers)
        assert (room.refusal(lambda: room.backing_call(request, "iam")) is None) is allowed

    @pytest.mark.parametrize(
        ("role_arn", "allowed"),
        [
            (f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole", True),
            (f"arn:aws:iam::{ACCOUNT}:role/admin", False),
        ],
    )
    def test_it_hands_over_one_role(self, role_arn: str, allowed: bool, room: Any, signed: Signed) -> None:
        """It may pass the execution role to SageMaker, wherever that stands in a request, and no other."""
        headers = {"x-amz-target": "SageMaker.CreateHyperParameterTuningJob"}
        request = signed(room.keys.learner, "sagemaker", "POST", "/", b"{}", headers)
        parameters = {"Definitions": [{"RoleArn": role_arn}]}
        error = room.refusal(lambda: room.own_call(request, "sagemaker:CreateHyperParameterTuningJob", "*", parameters))
        assert (error is None) is allowed
        if error is not None:
            assert (error.code, error.status) == ("AccessDeniedException", 400)
            assert error.message == (
                f"User: arn:aws:iam::{ACCOUNT}:user/learner is not authorized to perform: iam:PassRole on resource: "
                f"{role_arn} because no identity-based policy allows the iam:PassRole action"
            )

    def test_it_hands_it_to_nobody_else(self, room: Any, signed: Signed) -> None:
        """Lambda, say, does not get the role."""
        body = json.dumps({"FunctionName": "f", "Role": room.keys.role_arn}).encode()
        request = signed(room.keys.learner, "lambda", "POST", "/2015-03-31/functions", body)
        with pytest.raises(AwsError, match="iam:PassRole"):
            room.backing_call(request, "lambda")

    def test_a_call_about_oneself_names_oneself(self, room: Any, signed: Signed) -> None:
        """GetUser without a name goes on to the backing with the caller's."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        for request in (
            signed(room.keys.learner, "iam", "POST", "/", b"Action=GetUser&Version=2010-05-08", headers),
            signed(room.keys.learner, "iam", "GET", "/?Action=GetUser&Version=2010-05-08"),
        ):
            authenticated, call = room.backing_call(request, "iam")
            forwarded = room.identity.forward(request, authenticated, call)
            assert "UserName=learner" in (forwarded.query + forwarded.body.decode())
            assert "authorization" not in forwarded.headers
            if forwarded.body:
                assert forwarded.headers["content-length"] == str(len(forwarded.body))


def test_a_bucket_in_the_host_goes_on_in_the_path(room: Any, signed: Signed) -> None:
    """The backing reads the bucket where it was authorised, and from nowhere else."""
    request = signed(room.keys.learner, "s3", "GET", "/a%20b", endpoint="http://lake.localhost:4566")
    authenticated, call = room.backing_call(request, "s3")
    forwarded = room.identity.forward(request, authenticated, call)
    assert (forwarded.path, forwarded.headers["host"]) == ("/lake/a%20b", "s3.us-east-1.amazonaws.com")


def test_a_path_that_is_not_ascii(room: Any, signed: Signed) -> None:
    """Bytes that two readers could decode in two ways are not let through."""
    request = signed(room.keys.learner, "s3", "GET", "/lake/a")
    authenticated = room.run(room.identity.authenticate(request, service_guess="s3"))
    for odd in (replace(request, path="/lake/é"), replace(request, query="prefix=é")):
        with pytest.raises(AwsError, match="InvalidURI"):
            room.run(room.identity.describe(odd, authenticated))
