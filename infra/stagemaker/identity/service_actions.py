"""The permissions that a call to one of the backing's other services needs: query, JSON and REST calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from stagemaker.identity.actions import Call, Permission
from stagemaker.identity.context import parameter_context, request_context
from stagemaker.identity.documents import PolicyKind
from stagemaker.identity.resources import Parameters, Place, resources_of
from stagemaker.identity.service_models import action_prefix, find_rest, find_target, has_operation
from stagemaker.wire.errors import AwsError, UnsupportedError
from stagemaker.wire.message import Request

# Operations whose action has another name.
_ACTIONS = {
    ("lambda", "Invoke"): "InvokeFunction",
    ("lambda", "InvokeAsync"): "InvokeFunction",
    ("lambda", "InvokeWithResponseStream"): "InvokeFunction",
    ("sqs", "SendMessageBatch"): "SendMessage",
    ("sqs", "DeleteMessageBatch"): "DeleteMessage",
    ("sqs", "ChangeMessageVisibilityBatch"): "ChangeMessageVisibility",
    ("sns", "PublishBatch"): "Publish",
}

# DynamoDB's transactions need the actions of the operations in them.
_TRANSACTIONS = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

# Services that take a role over from the caller, with the principal that will assume it.
_ROLE_TAKERS = {
    "lambda": "lambda.amazonaws.com",
    "events": "events.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
    "states": "states.amazonaws.com",
    "firehose": "firehose.amazonaws.com",
    "cloudformation": "cloudformation.amazonaws.com",
    "glue": "glue.amazonaws.com",
    "ecs": "ecs-tasks.amazonaws.com",
    "pipes": "pipes.amazonaws.com",
}
_ROLE_PARAMETERS = frozenset({"role", "rolearn", "taskrolearn", "executionrolearn"})
_ROLE_ARN = re.compile(r"arn:aws:iam::\d{12}:role/.+")
_LIST_ITEM = re.compile(r"(?P<list>Tags|TagKeys)\.(?:member\.|Tag\.)?(?P<number>\d+)(?:\.(?P<member>Key|Value))?")


def describe_service(request: Request, service: str, place: Place) -> Call:
    """The call that `request` makes of `service`. Raises AwsError when that is not clear beyond doubt.

    The backing decides on its own what a request means. So nothing here is lenient: a request that
    could be read in two ways is refused, lest one be authorised and the other be done.
    """
    operation, parameters = _read(request, service)
    prefix = action_prefix(service)
    action = f"{prefix}:{_ACTIONS.get((service, operation), operation)}"
    resources = resources_of(service, operation, parameters, place)
    permissions = [Permission(action, resource) for resource in resources]
    if service == "dynamodb" and operation in {"TransactGetItems", "TransactWriteItems"}:
        permissions = list(_transaction(parameters, place)) or permissions
    permissions += _roles_passed(service, operation, parameters, place)
    context = {**request_context(request), **parameter_context(action, parameters)}
    document, kind = _policy_document(service, operation, parameters)
    return Call(service, operation, tuple(permissions), context, parameters, policy_document=document, policy_kind=kind)


def _read(request: Request, service: str) -> tuple[str, Parameters]:
    """The operation and its parameters, in whichever protocol the request is."""
    target = request.headers.get("x-amz-target")
    form = _form(request)
    if target is not None and "Action" in form:
        raise AwsError("InvalidAction", "The request names its operation twice, in X-Amz-Target and as Action.")
    if target is not None:
        operation = find_target(service, target)
        if operation is None:
            raise UnsupportedError(f"{target} is no operation of the service that the request is signed for: {service}")
        return operation, _json(request.body)
    if "Action" in form:
        name = form["Action"]
        if not has_operation(service, name):
            raise AwsError("InvalidAction", f"Could not find operation {name} for version {form.get('Version')}")
        if service == "sqs" and request.path.count("/") > 1:
            form.setdefault("QueueUrl", request.path)
        return name, _with_lists(form)
    found = find_rest(service, request.method, request.path, request.query)
    if found is None:
        raise UnsupportedError(f"{request.method} {request.path} is no operation of {service}")
    operation, members = found
    if "%2f" in request.path.lower() and any("/" in name and not name.startswith("arn:") for name in members.values()):
        raise AwsError("ValidationException", "A name in the path holds a slash")
    body = _json(request.body) if request.body.lstrip().startswith(b"{") else {}
    return operation, {**body, **form, **members}


def _form(request: Request) -> dict[str, str]:
    """The parameters of the query string and of a form body. None may be given twice."""
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
        try:
            pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
        except UnicodeDecodeError:
            raise AwsError("MalformedQueryString", "The query string is not UTF-8.", 404) from None
    form: dict[str, str] = {}
    for name, value in pairs:
        if form.setdefault(name, value) != value:
            raise AwsError("MalformedQueryString", f"The parameter {name} is given twice.", 404)
    return form


def _with_lists(form: Mapping[str, str]) -> dict[str, Any]:
    """The form with `Tags.member.1.Key` and the like gathered, as JSON services have them."""
    parameters: dict[str, Any] = dict(form)
    tags: dict[str, dict[str, str]] = {}
    keys: list[str] = []
    for name, value in form.items():
        if found := _LIST_ITEM.fullmatch(name):
            if found["list"] == "TagKeys":
                keys.append(value)
            elif found["member"]:
                tags.setdefault(found["number"], {})[found["member"]] = value
    if tags:
        parameters["Tags"] = list(tags.values())
    if keys:
        parameters["TagKeys"] = keys
    return parameters


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}", object_pairs_hook=_once)
    except ValueError as error:
        raise AwsError("SerializationException", f"The request body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AwsError("SerializationException", "The request body is not a JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is given twice in one object")
    return document


def _transaction(parameters: Parameters, place: Place) -> Iterator[Permission]:
    items = parameters.get("TransactItems")
    for item in items if isinstance(items, list) else ():
        for kind, one in item.items() if isinstance(item, dict) else ():
            if kind not in _TRANSACTIONS or not isinstance(one, dict):
                raise AwsError("ValidationException", f"{kind} is no part of a transaction")
            for resource in resources_of("dynamodb", "", one, place):
                yield Permission(f"dynamodb:{_TRANSACTIONS[kind]}", resource)


def _roles_passed(service: str, operation: str, parameters: Parameters, place: Place) -> list[Permission]:
    """iam:PassRole for each role that the call hands to a service."""
    if service == "iam" and operation == "AddRoleToInstanceProfile":
        role = place.iam.roles.get(str(parameters.get("RoleName")))
        arn = role.arn if role else f"arn:aws:iam::{place.account}:role/{parameters.get('RoleName')}"
        return [Permission("iam:PassRole", arn, "ec2.amazonaws.com")]
    taker = _ROLE_TAKERS.get(service)
    if taker is None:
        return []
    return [Permission("iam:PassRole", arn, taker) for arn in dict.fromkeys(_role_arns(parameters))]


def _role_arns(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if str(name).lower() in _ROLE_PARAMETERS and isinstance(one, str) and _ROLE_ARN.fullmatch(one):
                yield one
            else:
                yield from _role_arns(one)
    elif isinstance(value, list):
        for one in value:
            yield from _role_arns(one)


def _policy_document(service: str, operation: str, parameters: Parameters) -> tuple[str, PolicyKind]:
    """The policy that an IAM call would store."""
    if service != "iam" or not operation.startswith(("Create", "Put", "Update")):
        return "", PolicyKind.IDENTITY
    if trust := parameters.get("AssumeRolePolicyDocument"):
        return str(trust), PolicyKind.TRUST
    kind = PolicyKind.TRUST if operation == "UpdateAssumeRolePolicy" else PolicyKind.IDENTITY
    return str(parameters.get("PolicyDocument") or ""), kind
