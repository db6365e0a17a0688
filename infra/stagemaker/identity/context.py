"""The context of a call: the condition keys that policies may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stagemaker.identity.directory import Entity
from stagemaker.identity.globs import Keys
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.wire.message import Request

Context = Mapping[str, str | Sequence[str]]
"""Condition keys as AWS spells them, each with a value or several."""

_ROLE_KEYS = frozenset({"RoleArn", "ExecutionRoleArn", "DomainExecutionRoleArn"})


def request_context(request: Request) -> dict[str, str]:
    """What the HTTP request itself tells.

    `x-forwarded-proto` must be the gateway's own: it drops the client's. Without it the transport
    counts as secure, as the stage's loopback listener does.
    """
    context = {
        "aws:SourceIp": "127.0.0.1",
        "aws:SecureTransport": "false" if request.headers.get("x-forwarded-proto") == "http" else "true",
        "aws:ViaAWSService": "false",
    }
    for header, key in (("user-agent", "aws:UserAgent"), ("referer", "aws:Referer")):
        if value := request.headers.get(header):
            context[key] = value
    return context


def parameter_context(action: str, parameters: Mapping[str, Any]) -> dict[str, str | Sequence[str]]:
    """What the parameters of a call tell: tags, and the keys of STS and IAM."""
    context: dict[str, str | Sequence[str]] = {}
    tags = parameters.get("Tags", parameters.get("tags"))
    pairs = list(_tags(tags))
    for name, value in pairs:
        context[f"aws:RequestTag/{name}"] = value
    if names := [name for name, _ in pairs] or _texts(parameters.get("TagKeys")):
        context["aws:TagKeys"] = names
    for name, key in _PARAMETER_KEYS.get(action.partition(":")[0], {}).items():
        given = parameters.get(name)
        if isinstance(given, str):
            context[key] = given
    return context


_PARAMETER_KEYS = {
    "sts": {"ExternalId": "sts:ExternalId", "RoleSessionName": "sts:RoleSessionName"},
    "iam": {
        "PolicyArn": "iam:PolicyARN",
        "PermissionsBoundary": "iam:PermissionsBoundary",
        "AWSServiceName": "iam:AWSServiceName",
    },
}


def _tags(tags: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tags, Mapping):
        yield from ((str(name), str(value)) for name, value in tags.items())
    elif isinstance(tags, list):
        for tag in tags:
            if isinstance(tag, Mapping):
                name, value = tag.get("Key", tag.get("key")), tag.get("Value", tag.get("value", ""))
                if isinstance(name, str):
                    yield name, str(value)


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def passed_roles(parameters: Any) -> Iterator[str]:
    """The ARNs of all roles that a call's parameters hand to the service, wherever they stand."""
    if isinstance(parameters, Mapping):
        for name, value in parameters.items():
            if name in _ROLE_KEYS and isinstance(value, str):
                yield value
            else:
                yield from passed_roles(value)
    elif isinstance(parameters, list):
        for value in parameters:
            yield from passed_roles(value)


def question_keys(
    principal: Principal, entity: Entity | None, context: Context, *, region: str, account: str, now: datetime
) -> Keys:
    """The whole context of one call, names in lower case."""
    keys: dict[str, tuple[str, ...]] = {
        "aws:principaltype": (principal.kind.value,),
        "aws:principalisawsservice": (str(principal.kind is PrincipalKind.SERVICE).lower(),),
        "aws:requestedregion": (region,),
        "aws:resourceaccount": (account,),
        "s3:resourceaccount": (account,),
        "aws:currenttime": (now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),),
        "aws:epochtime": (str(int(now.timestamp())),),
    }
    if principal.account and principal.kind is not PrincipalKind.SERVICE:
        keys["aws:principalaccount"] = (principal.account,)
        keys["aws:principalarn"] = (principal.entity_arn,)
        keys["aws:userid"] = (principal.user_id,)
    if principal.kind is PrincipalKind.USER:
        keys["aws:username"] = (principal.name,)
    if principal.temporary:
        keys["aws:multifactorauthpresent"] = ("false",)
        if principal.issued_at:
            keys["aws:tokenissuetime"] = (principal.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),)
    if entity is not None:
        for name, value in entity.tags.items():
            keys[f"aws:principaltag/{name}".lower()] = (value,)
    for name, given in context.items():
        keys[name.lower()] = (given,) if isinstance(given, str) else tuple(given)
    return keys
