"""One call of a client, as ministack's modules want it: addressed by path, without its signature."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

from stagemaker.backing.port import Scope

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request")

_VHOST = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}?[a-z0-9])\.(?:"
    r"s3(?:-fips|-accelerate)?(?:\.dualstack)?(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?\.(?:amazonaws\.com(?:\.cn)?|localhost)"
    r"|s3\.localhost\.localstack\.cloud|localhost)"
)
"""Hosts that name a bucket: AWS's, the same on localhost, and `bucket.localhost`."""

_NOT_BUCKETS = {"s3", "sts", "iam", "sqs", "sns", "kms", "events", "ssm", "secretsmanager"}
"""Names before `.localhost` that are services, for clients that put the service's name there."""

_SIGNATURE_V4 = {
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-content-sha256",
}
_SIGNATURE_V2 = {"awsaccesskeyid", "signature", "expires"}

_API_VERSIONS = {"2010-05-08": "iam", "2010-03-31": "sns", "2012-11-05": "sqs"}
_TARGETS = {
    "AWSEvents": "events",
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "IAMService": "iam",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
}


@dataclass(frozen=True, slots=True)
class Call:
    """`path` is decoded and starts with the bucket where the host named it; header names are lower case."""

    service: str
    region: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]

    @property
    def bucket(self) -> str:
        """Of an S3 call, or empty."""
        return self.path.removeprefix("/").partition("/")[0]

    @property
    def key(self) -> str:
        """Of an S3 call, or empty."""
        return self.path.removeprefix("/").partition("/")[2]

    def asked(self, name: str) -> str:
        """The first value of a query parameter, or empty."""
        return self.query.get(name, [""])[0]


def read_call(scope: Scope, default_region: str) -> Call:
    """The call that `scope` (ASGI, http) makes.

    Whatever signed it has been checked, by keys that ministack does not know. It gets a signature that
    says only the region and the service; a call that `stagemaker.anonymous` marks, or that nobody
    signed, gets none.
    """
    said: Mapping[str, object] = scope.get("extensions", {}).get("stagemaker", {})
    headers = _headers(scope)
    query = parse_qs(scope.get("query_string", b"").decode("utf-8", "replace"), keep_blank_values=True)
    presigned = {name.lower(): values[0] for name, values in query.items()}
    found = _SCOPE.search(f"Credential={presigned.get('x-amz-credential', '')} {headers.pop('authorization', '')}")
    service = str(said.get("service") or (found["service"] if found else "s3"))
    region = str(said.get("region") or (found["region"] if found else default_region))
    headers = {name: value for name, value in headers.items() if not name.startswith("x-forwarded-")}
    headers["x-forwarded-proto"] = "https" if said.get("secure_transport", True) else "http"
    if (found or "awsaccesskeyid" in presigned or "service" in said) and not said.get("anonymous"):
        credential = f"stage/{datetime.now(UTC):%Y%m%d}/{region}/{service}/aws4_request"
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=checked"
    gone = _SIGNATURE_V4 | (_SIGNATURE_V2 if "awsaccesskeyid" in presigned else set())
    path: str = scope["path"]
    if service == "s3" and (bucket := bucket_of_host(headers.get("host", ""))):
        path = f"/{bucket}{path}"
    kept = {name: values for name, values in query.items() if name.lower() not in gone}
    return Call(service, region, scope["method"], path, kept, headers)


def bucket_of_host(host: str) -> str | None:
    """The bucket that a virtual-hosted S3 address names."""
    match = _VHOST.fullmatch(host.lower().partition(":")[0])
    return match["bucket"] if match and match["bucket"] not in _NOT_BUCKETS else None


def service_of(headers: Mapping[str, str], query: str, body: bytes) -> str:
    """The service that an unsigned call of our own means."""
    if match := _SCOPE.search(headers.get("authorization", "")):
        return match["service"]
    if target := headers.get("x-amz-target", "").rpartition(".")[0]:
        return _TARGETS.get(target, target.lower())
    parameters = parse_qs(query) | (parse_qs(body.decode("utf-8", "replace")) if b"Version=" in body else {})
    if "Action" in parameters:
        return _API_VERSIONS.get(parameters.get("Version", [""])[0], "")
    label = headers.get("host", "").partition(".")[0]
    return label if label in _NOT_BUCKETS else "s3"


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        try:
            value = raw_value.decode("utf-8")
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
