"""Which operation is an S3 request, and on which bucket and key: by botocore's model of S3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from urllib.parse import parse_qsl, unquote

from botocore.model import OperationModel

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request
from stagemaker.wire.model import load_service_model

_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
_AWS_HOST = re.compile(
    rf"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:accelerate|dualstack|fips|external-1|{_REGION}))*\.amazonaws\.com(?:\.cn)?",
    re.IGNORECASE,
)
_LOCAL_LABELS = re.compile(rf"(?:(?P<bucket>.+)\.)?s3(?:\.{_REGION})?", re.IGNORECASE)
_URI = re.compile(r"/(?:\{Bucket\}(?P<key>/\{Key\+\})?)?(?:\?(?P<query>.*))?")
_COPY_SOURCE = "x-amz-copy-source"

# Directory buckets and Object Lambda, which share paths with the common operations.
_LEFT_OUT = frozenset({"ListDirectoryBuckets", "WriteGetObjectResponse", "CreateSession"})
_STREAMED = frozenset({"PutObject", "UploadPart"})


class Level(IntEnum):
    """What the path names."""

    SERVICE = 0
    BUCKET = 1
    OBJECT = 2


@dataclass(frozen=True, slots=True)
class Route:
    """How an operation looks in HTTP: `required` query names with the value each must have ('' any)."""

    operation: str
    method: str
    level: Level
    required: dict[str, str]
    optional: frozenset[str]
    copies: bool

    def fits(self, query: dict[str, str], *, copies: bool) -> bool:
        """Whether a request of this method and level is one of the operation."""
        return copies >= self.copies and all(
            name in query and value in {"", query[name]} for name, value in self.required.items()
        )


@dataclass(frozen=True, slots=True)
class S3Request:
    """An S3 request, understood. `bucket` and `key` are decoded, and empty where the path has none."""

    operation: str
    bucket: str
    key: str
    query: dict[str, str]
    virtual_host: bool


@cache
def _routes() -> dict[tuple[str, Level], list[Route]]:
    """The routes of each method and level, those with the most demands first."""
    model = load_service_model("s3")
    routes: dict[tuple[str, Level], list[Route]] = {}
    for name in model.operation_names:
        operation = model.operation_model(name)
        found = _URI.fullmatch(operation.http["requestUri"])
        if found and name not in _LEFT_OUT and not operation.deprecated:
            route = _route(operation, found)
            routes.setdefault((route.method, route.level), []).append(route)
    for candidates in routes.values():
        candidates.sort(key=lambda route: (len(route.required), route.copies), reverse=True)
    return routes


def _route(operation: OperationModel, uri: re.Match[str]) -> Route:
    required = dict(parse_qsl(uri["query"] or "", keep_blank_values=True))
    optional = set()
    copies = False
    shape = operation.input_shape
    members, needs = (shape.members, shape.required_members) if shape else ({}, [])
    for name, member in members.items():
        where, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        needed = name in needs
        if where == "querystring":
            if needed:
                required.setdefault(wire_name, "")
            optional.add(wire_name)
        copies = copies or (where == "header" and wire_name == _COPY_SOURCE and needed)
    level = Level.OBJECT if uri["key"] else Level.BUCKET if "{Bucket}" in uri[0] else Level.SERVICE
    return Route(operation.name, operation.http["method"], level, required, frozenset(optional), copies)


@cache
def markers() -> frozenset[str]:
    """All query names by which some operation is told from another."""
    return frozenset(name for routes in _routes().values() for route in routes for name in route.required)


def read_s3_request(request: Request) -> S3Request:
    """What `request` asks of S3. Raises AwsError when that is not clear beyond doubt."""
    bucket, key, virtual_host = _bucket_and_key(request)
    level = Level.OBJECT if key else Level.BUCKET if bucket else Level.SERVICE
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        if name in query:
            raise AwsError("InvalidArgument", f"The query string parameter {name} is given twice.")
        query[name] = value
    copies = _COPY_SOURCE in request.headers
    for route in _routes().get((request.method, level), ()):
        if route.fits(query, copies=copies):
            # A second subresource could make the backing see another operation than the one authorised here.
            others = (markers() & set(query)) - set(route.required) - route.optional
            if others:
                named = ", ".join(sorted(others | (set(route.required) & set(query))))
                raise AwsError("InvalidArgument", f"Conflicting query string parameters: {named}")
            return S3Request(route.operation, bucket, key, query, virtual_host)
    raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)


def streams(request: Request) -> bool:
    """Whether the body of this S3 request is an object's, which may be large, and no document to be read."""
    try:
        return read_s3_request(request).operation in _STREAMED
    except AwsError:
        return False


def _bucket_and_key(request: Request) -> tuple[str, str, bool]:
    """Bucket and key, and whether the bucket stood in the Host header.

    The path is decoded before it is split, as the backing does it: `%2F` is a slash to both.
    """
    try:
        path = unquote(request.path, errors="strict")
    except UnicodeDecodeError:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from None
    bucket = _bucket_of_host(request.headers.get("host", ""))
    if bucket:
        return bucket, path[1:], True
    bucket, _, key = path[1:].partition("/")
    if not bucket and key:
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.")
    return bucket, key, False


def _bucket_of_host(host: str) -> str:
    name, colon, port = host.rpartition(":")
    name = (name if colon and port.isdigit() else host).lower()
    if name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        found = _AWS_HOST.fullmatch(name)
        if found is None:
            raise AwsError("InvalidRequest", f"{name} is no endpoint of S3 that this stage serves.")
        return found["bucket"] or ""
    labels, dot, last = name.rpartition(".")
    if last != "localhost" or not dot:
        return ""
    found = _LOCAL_LABELS.fullmatch(labels)
    return (found["bucket"] or "") if found else labels
