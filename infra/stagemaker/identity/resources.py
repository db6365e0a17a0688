"""The ARNs that a call to one of the backing's services touches.

After the "Resource types" tables of the Service Authorization Reference, for the services that stand
round SageMaker in the labs. Elsewhere an ARN-valued parameter counts, and without one `*`: there a
policy that names single resources allows nothing, and its explicit denies of single resources do not
bite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagemaker.identity.directory import Account, Entity
from stagemaker.identity.principal import Principal, PrincipalKind

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call happens and who makes it."""

    account: str
    region: str
    principal: Principal
    iam: Account


# Service -> (parameter, ARN) pairs; the first parameter that is given decides. `{}` is its value, a
# value that is an ARN stands for itself.
_BY_PARAMETER: dict[str, tuple[tuple[str, str], ...]] = {
    "sns": (
        ("TopicArn", "{}"),
        ("TargetArn", "{}"),
        ("ResourceArn", "{}"),
        ("Name", "arn:aws:sns:{region}:{account}:{}"),
    ),
    "sqs": (
        ("QueueUrl", "arn:aws:sqs:{region}:{account}:{last}"),
        ("QueueName", "arn:aws:sqs:{region}:{account}:{}"),
        ("SourceArn", "{}"),
    ),
    "kms": (
        ("KeyId", "arn:aws:kms:{region}:{account}:{key}"),
        ("TargetKeyId", "arn:aws:kms:{region}:{account}:{key}"),
        ("AliasName", "arn:aws:kms:{region}:{account}:{}"),
    ),
    "ssm": (
        ("Name", "arn:aws:ssm:{region}:{account}:parameter/{bare}"),
        ("Names", "arn:aws:ssm:{region}:{account}:parameter/{bare}"),
        ("Path", "arn:aws:ssm:{region}:{account}:parameter/{bare}"),
    ),
    # The six random characters of a secret's ARN are not known here; policies write them as `??????`.
    "secretsmanager": (
        ("SecretId", "arn:aws:secretsmanager:{region}:{account}:secret:{}-??????"),
        ("Name", "arn:aws:secretsmanager:{region}:{account}:secret:{}-??????"),
    ),
    "dynamodb": (
        ("TableName", "arn:aws:dynamodb:{region}:{account}:table/{}"),
        ("RequestItems", "arn:aws:dynamodb:{region}:{account}:table/{}"),
    ),
    "lambda": (("FunctionName", "arn:aws:lambda:{region}:{account}:function:{}"),),
    "states": (
        ("stateMachineArn", "{}"),
        ("executionArn", "{}"),
        ("name", "arn:aws:states:{region}:{account}:stateMachine:{}"),
    ),
    "ecr": (("repositoryName", "arn:aws:ecr:{region}:{account}:repository/{}"),),
    "kinesis": (("StreamARN", "{}"), ("StreamName", "arn:aws:kinesis:{region}:{account}:stream/{}")),
    "firehose": (("DeliveryStreamName", "arn:aws:firehose:{region}:{account}:deliverystream/{}"),),
    "cloudformation": (("StackName", "arn:aws:cloudformation:{region}:{account}:stack/{}/*"),),
    "athena": (("WorkGroup", "arn:aws:athena:{region}:{account}:workgroup/{}"),),
}


def resources_of(service: str, operation: str, parameters: Parameters, place: Place) -> list[str]:
    """The ARNs that the call touches, `["*"]` when it names none."""
    special = _SPECIAL.get(service)
    found = list(special(operation, parameters, place)) if special else []
    if not found:
        found = list(_by_parameter(service, parameters, place)) or list(_arn_valued(parameters))
    return found or ["*"]


def _by_parameter(service: str, parameters: Parameters, place: Place) -> Iterator[str]:
    for name, template in _BY_PARAMETER.get(service, ()):
        values = [value for value in _listed(parameters.get(name)) if isinstance(value, str) and value]
        for value in values:
            if value.startswith("arn:"):
                yield value
                continue
            yield template.format(
                value,
                account=place.account,
                region=place.region,
                last=value.rstrip("/").rpartition("/")[2],
                bare=value.removeprefix("/"),
                key=value if value.startswith("alias/") else f"key/{value}",
            )
        if values:
            return


def _listed(value: Any) -> list[Any]:
    """One value, a list's members or a map's names."""
    return list(value) if isinstance(value, list | Mapping) else [value]


def _arn_valued(parameters: Parameters) -> Iterator[str]:
    for name, value in parameters.items():
        lowered = name.lower()
        if lowered.endswith("arn") and "role" not in lowered and isinstance(value, str) and value.startswith("arn:"):
            yield value
            return


def _events(operation: str, parameters: Parameters, place: Place) -> Iterator[str]:
    """Rules carry the name of their bus, unless it is the default one."""
    start = f"arn:aws:events:{place.region}:{place.account}"
    if operation == "PutEvents":
        for entry in _listed(parameters.get("Entries")):
            yield _bus(start, entry.get("EventBusName") if isinstance(entry, Mapping) else None)
    elif "EventBus" in operation:
        yield _bus(start, parameters.get("Name"))
    elif rule := parameters.get("Rule", parameters.get("Name")):
        bus = str(parameters.get("EventBusName") or "default").rpartition("/")[2]
        yield f"{start}:rule/{rule}" if bus == "default" else f"{start}:rule/{bus}/{rule}"


def _bus(start: str, name: Any) -> str:
    text = str(name or "default")
    return text if text.startswith("arn:") else f"{start}:event-bus/{text}"


def _scheduler(operation: str, parameters: Parameters, place: Place) -> Iterator[str]:
    name = parameters.get("Name")
    if isinstance(name, str):
        kind = "schedule-group" if "Group" in operation else f"schedule/{parameters.get('GroupName') or 'default'}"
        yield f"arn:aws:scheduler:{place.region}:{place.account}:{kind}/{name}"


def _transactions(_operation: str, parameters: Parameters, place: Place) -> Iterator[str]:
    """DynamoDB's TransactItems: a list of operations, each on a table."""
    for item in _listed(parameters.get("TransactItems")):
        for one in item.values() if isinstance(item, Mapping) else ():
            if isinstance(one, Mapping):
                yield from _by_parameter("dynamodb", one, place)


def _subscriptions(_operation: str, parameters: Parameters, _place: Place) -> Iterator[str]:
    """A subscription belongs to its topic, whose ARN its own begins with."""
    subscription = parameters.get("SubscriptionArn")
    if isinstance(subscription, str) and subscription.count(":") > 5:
        yield subscription.rpartition(":")[0]


# IAM: which parameter names the resource, the first one that is given.
_IAM_ENTITIES: tuple[tuple[str, str, Callable[[Account], Mapping[str, Entity]] | None], ...] = (
    ("GroupName", "group", lambda iam: iam.groups),
    ("InstanceProfileName", "instance-profile", None),
    ("RoleName", "role", lambda iam: iam.roles),
    ("UserName", "user", lambda iam: iam.users),
)
_IAM_LISTS = {
    "ListUsers": "user",
    "ListRoles": "role",
    "ListGroups": "group",
    "ListPolicies": "policy",
    "ListInstanceProfiles": "instance-profile",
}

# IAM calls that are about the caller when they name no user.
OF_ONESELF = frozenset(
    {
        "CreateAccessKey",
        "DeleteAccessKey",
        "GetUser",
        "ListAccessKeys",
        "ListMFADevices",
        "ListSSHPublicKeys",
        "ListServiceSpecificCredentials",
        "ListSigningCertificates",
        "UpdateAccessKey",
    }
)


def _iam(operation: str, parameters: Parameters, place: Place) -> Iterator[str]:
    start = f"arn:aws:iam::{place.account}"
    path = parameters.get("Path") or "/"
    if operation in _IAM_LISTS:
        yield f"{start}:{_IAM_LISTS[operation]}{parameters.get('PathPrefix') or '/'}"
        return
    for parameter, kind, known in _IAM_ENTITIES:
        name = parameters.get(parameter)
        if isinstance(name, str) and name:
            entity = known(place.iam).get(name) if known else None
            yield entity.arn if entity else f"{start}:{kind}{path}{name}"
            return
    if operation in OF_ONESELF and place.principal.kind is PrincipalKind.USER:
        yield place.principal.entity_arn
    elif arn := parameters.get("PolicyArn") or parameters.get("PolicySourceArn"):
        yield str(arn)
    elif name := parameters.get("PolicyName"):
        yield f"{start}:policy{path}{name}"
    elif operation == "CreateServiceLinkedRole":
        yield f"{start}:role/aws-service-role/{parameters.get('AWSServiceName')}/*"


_SPECIAL: dict[str, Callable[[str, Parameters, Place], Iterator[str]]] = {
    "events": _events,
    "scheduler": _scheduler,
    "dynamodb": _transactions,
    "sns": _subscriptions,
    "iam": _iam,
}
