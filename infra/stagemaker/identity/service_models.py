"""botocore's models of the backing's services, by signing name, and their REST paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, ServiceModel

from stagemaker.wire.errors import UnsupportedError
from stagemaker.wire.model import load_service_model

# Signing names under which botocore files other names, or more than one.
_MODELS = {
    "acm-pca": ("acm-pca",),
    "airflow": ("mwaa",),
    "apigateway": ("apigateway", "apigatewayv2"),
    "application-autoscaling": ("application-autoscaling",),
    "bedrock": ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime"),
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "elasticfilesystem": ("efs",),
    "elasticloadbalancing": ("elb", "elbv2"),
    "elasticmapreduce": ("emr",),
    "email": ("ses",),
    "es": ("es", "opensearch"),
    "kinesisanalytics": ("kinesisanalyticsv2",),
    "monitoring": ("cloudwatch",),
    "ses": ("sesv2",),
    "states": ("stepfunctions",),
    "tagging": ("resourcegroupstaggingapi",),
}

# Services whose word in IAM actions is not their signing name.
_PREFIXES = {"email": "ses", "monitoring": "cloudwatch", "tagging": "tag"}

_LABEL = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class RestRoute:
    """One operation of a REST service. `weight` counts the literal parts: the heavier route wins."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    query: dict[str, str]
    members: dict[str, str]
    """Names in the query string, each with the name of its member."""
    weight: int


def action_prefix(service: str) -> str:
    """The service's word in IAM actions: `cloudwatch` for `monitoring`."""
    return _PREFIXES.get(service, service)


@cache
def models_of(service: str) -> tuple[ServiceModel, ...]:
    """The models of a signing name. Raises UnsupportedError when botocore has none."""
    try:
        return tuple(load_service_model(name) for name in _MODELS.get(service, (service,)))
    except UnknownServiceError as error:
        raise UnsupportedError(f"Stagemaker knows no service that signs as {service!r}") from error


def find_target(service: str, target: str) -> str | None:
    """The operation that an X-Amz-Target header names, if it is one of `service`."""
    prefix, _, name = target.rpartition(".")
    for model in models_of(service):
        if model.metadata.get("targetPrefix") == prefix and name in model.operation_names:
            return name
    return None


def has_operation(service: str, name: str) -> bool:
    """Whether `service` has an operation of that name."""
    return any(name in model.operation_names for model in models_of(service))


def find_rest(service: str, method: str, path: str, query: str) -> tuple[str, dict[str, str]] | None:
    """The operation of a REST call, with its labels and what its query holds by member; None when there is none."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    for route in _rest_routes(service):
        if route.method != method or not all(given.get(name) == value for name, value in route.query.items()):
            continue
        if found := route.pattern.fullmatch(path):
            members = {route.members[name]: value for name, value in given.items() if name in route.members}
            return route.operation, members | {name: unquote(value) for name, value in found.groupdict().items()}
    return None


@cache
def _rest_routes(service: str) -> tuple[RestRoute, ...]:
    routes = [
        _rest_route(model.operation_model(name))
        for model in models_of(service)
        if str(model.metadata.get("protocol", "")).startswith("rest")
        for name in model.operation_names
    ]
    return tuple(sorted(routes, key=lambda route: route.weight, reverse=True))


def _rest_route(operation: OperationModel) -> RestRoute:
    path, _, query = operation.http["requestUri"].partition("?")
    literals = dict(parse_qsl(query, keep_blank_values=True))
    expression = ""
    position = 0
    for label in _LABEL.finditer(path):
        expression += re.escape(path[position : label.start()])
        expression += f"(?P<{label[1]}>.+)" if label[2] else f"(?P<{label[1]}>[^/]+)"
        position = label.end()
    expression += re.escape(path[position:].rstrip("/")) + "/?"
    weight = len(_LABEL.sub("", path)) + len(literals)
    pattern = re.compile(expression)
    return RestRoute(operation.name, operation.http["method"], pattern, literals, _query_members(operation), weight)


def _query_members(operation: OperationModel) -> dict[str, str]:
    members = operation.input_shape.members if operation.input_shape else {}
    return {
        member.serialization.get("name", name): name
        for name, member in members.items()
        if member.serialization.get("location") == "querystring"
    }
