"""S3's older query signature, Signature Version 2, which boto3 still puts into presigned URLs by default.

A stage that refused them would break `generate_presigned_url` of an unmodified client. Only S3, only in
the query: in a header this kind of signature is refused by name.
Source: "Signing and authenticating REST requests (AWS signature version 2)" of S3's user guide.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

from stagemaker.identity.s3_routes import markers, read_s3_request
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

PARAMETERS = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
"""What the signature puts into the query."""

_SUBRESOURCES = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle"),
        *("location", "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication"),
        *("requestPayment", "response-cache-control", "response-content-disposition"),
        *("response-content-encoding", "response-content-language", "response-content-type", "response-expires"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads"),
        *("versionId", "versioning", "versions", "website"),
    }
)
"""Query parameters that are part of what is signed, as S3's clients have them."""

_OF_NO_CONSEQUENCE = frozenset({"list-type"})
"""Parameters that tell one operation from another which needs the same permission."""


@dataclass(frozen=True, slots=True)
class QuerySignature:
    """What a presigned URL says. `expires` is an absolute time; None when it is not a number."""

    access_key_id: str
    signature: str
    expires_text: str
    token: str | None

    @property
    def service(self) -> str:
        """Only S3 takes this kind."""
        return "s3"

    @property
    def expires(self) -> datetime | None:
        """When the URL ends being good."""
        try:
            return datetime.fromtimestamp(int(self.expires_text), tz=UTC)
        except (ValueError, OverflowError, OSError):
            return None


def find_query_signature(request: Request) -> QuerySignature | None:
    """The signature in the query of `request`, or None when there is none of this kind."""
    if "AWSAccessKeyId=" not in request.query:
        return None
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    if not query.keys() >= PARAMETERS:
        return None
    return QuerySignature(
        query["AWSAccessKeyId"], query["Signature"], query["Expires"], query.get("x-amz-security-token")
    )


def expected_query_signature(request: Request, signature: QuerySignature, secret: str) -> str:
    """The signature that would be right, in base 64."""
    text = "\n".join(
        [
            request.method,
            request.headers.get("content-md5", ""),
            request.headers.get("content-type", ""),
            signature.expires_text,
            _amz_lines(request) + _resource(request),
        ]
    )
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _amz_lines(request: Request) -> str:
    """The x-amz-* headers, those that the presigner moved into the query among them."""
    values = {name: value for name, value in request.headers.items() if name.startswith("x-amz-")}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        if name.lower().startswith("x-amz-"):
            values[name.lower()] = value
    return "".join(f"{name}:{values[name].strip()}\n" for name in sorted(values))


def _resource(request: Request) -> str:
    target = read_s3_request(request)
    # The list of what is signed is old: a holder of a URL could add `retention` to it, and do another thing.
    if uncovered := (markers() & set(target.query)) - _SUBRESOURCES - _OF_NO_CONSEQUENCE:
        raise AwsError(
            "InvalidRequest",
            f"Signature Version 2 does not cover {', '.join(sorted(uncovered))} in the query. "
            "Use Signature Version 4 (in boto3: Config(signature_version='s3v4')).",
        )
    path = f"/{target.bucket}{request.path}" if target.virtual_host else request.path
    if path == f"/{target.bucket}":
        path += "/"  # a bucket by itself is signed as a folder, however its URL ends
    signed = sorted(
        (name, value) for name, value in parse_qsl(request.query, keep_blank_values=True) if name in _SUBRESOURCES
    )
    query = "&".join(f"{name}={unquote(value)}" if value else name for name, value in signed)
    return f"{path}?{query}" if query else path
