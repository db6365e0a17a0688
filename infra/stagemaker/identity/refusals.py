"""How each kind of service words the refusal of a call that it cannot authenticate or authorise.

Codes, statuses and texts are AWS's own, from its lists of common errors, S3's list of error codes
and public threads. Where they differ between services of one family, SageMaker's are taken.
"""

from __future__ import annotations

from enum import Enum

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request


class Family(Enum):
    """Services that speak of errors in one way."""

    S3 = "s3"
    QUERY = "query"
    JSON = "json"
    REST = "rest"


QUERY_SERVICES = frozenset(
    {
        "iam",
        "sts",
        "sns",
        "cloudformation",
        "autoscaling",
        "elasticloadbalancing",
        "rds",
        "redshift",
        "elasticache",
        "elasticbeanstalk",
        "elasticmapreduce",
        "ec2",
        "email",
    }
)
"""Signing names of services whose answers are XML whatever the request looks like."""


def family_of(request: Request, service: str) -> Family:
    """The family of `service` (a signing name), by the protocol that `request` speaks."""
    if service in {"s3", "s3express"}:
        return Family.S3
    if service == "sagemaker" and request.path.startswith("/endpoints/"):
        return Family.REST  # the runtime's bodies are the user's, in any content type
    content_type = request.headers.get("content-type", "")
    if "x-amz-target" in request.headers or "smithy-protocol" in request.headers or "x-amz-json" in content_type:
        return Family.JSON
    if service in QUERY_SERVICES or "x-www-form-urlencoded" in content_type or "Action=" in request.query:
        return Family.QUERY
    return Family.REST


class Refusal(Enum):
    """Why a call is refused before any policy is asked."""

    MISSING = "no signature"
    INCOMPLETE = "a signature that lacks a part"
    UNSUPPORTED = "another kind of signature"
    UNKNOWN_KEY = "a key that does not exist or is inactive"
    BAD_TOKEN = "a session token that does not belong to the key"  # noqa: S105 - prose
    EXPIRED_TOKEN = "a session that is over"  # noqa: S105 - prose
    BAD_SIGNATURE = "a signature that does not fit"
    SKEWED = "signed too long ago, or in the future"
    BAD_SCOPE = "a credential scope of another day or service"


_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - prose
_EXPIRED_TOKEN = "The security token included in the request is expired"  # noqa: S105 - prose
_S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)

# (code, status, text); a text of None is worded where the refusal is found.
_QUERY: dict[Refusal, tuple[str, int, str | None]] = {
    Refusal.MISSING: ("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
    Refusal.INCOMPLETE: ("IncompleteSignature", 400, None),
    Refusal.UNSUPPORTED: ("IncompleteSignature", 400, None),
    Refusal.UNKNOWN_KEY: ("InvalidClientTokenId", 403, _INVALID_TOKEN),
    Refusal.BAD_TOKEN: ("InvalidClientTokenId", 403, _INVALID_TOKEN),
    Refusal.EXPIRED_TOKEN: ("ExpiredToken", 403, _EXPIRED_TOKEN),
    Refusal.BAD_SIGNATURE: ("SignatureDoesNotMatch", 403, _MISMATCH),
    Refusal.SKEWED: ("SignatureDoesNotMatch", 403, None),
    Refusal.BAD_SCOPE: ("SignatureDoesNotMatch", 403, None),
}
_JSON: dict[Refusal, tuple[str, int, str | None]] = {
    Refusal.MISSING: ("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
    Refusal.INCOMPLETE: ("IncompleteSignatureException", 400, None),
    Refusal.UNSUPPORTED: ("IncompleteSignatureException", 400, None),
    Refusal.UNKNOWN_KEY: ("UnrecognizedClientException", 400, _INVALID_TOKEN),
    Refusal.BAD_TOKEN: ("UnrecognizedClientException", 400, _INVALID_TOKEN),
    Refusal.EXPIRED_TOKEN: ("ExpiredTokenException", 400, _EXPIRED_TOKEN),
    Refusal.BAD_SIGNATURE: ("InvalidSignatureException", 400, _MISMATCH),
    Refusal.SKEWED: ("InvalidSignatureException", 400, None),
    Refusal.BAD_SCOPE: ("InvalidSignatureException", 400, None),
}
# REST services such as SageMaker Runtime and Lambda use JSON's codes and answer 403.
_REST = {refusal: (code, 403, text) for refusal, (code, _, text) in _JSON.items()}
_S3: dict[Refusal, tuple[str, int, str | None]] = {
    Refusal.MISSING: ("AccessDenied", 403, "Access Denied"),
    Refusal.INCOMPLETE: ("AuthorizationHeaderMalformed", 400, None),
    Refusal.UNSUPPORTED: ("InvalidRequest", 400, None),
    Refusal.UNKNOWN_KEY: (
        "InvalidAccessKeyId",
        403,
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    Refusal.BAD_TOKEN: ("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
    Refusal.EXPIRED_TOKEN: ("ExpiredToken", 400, "The provided token has expired."),
    Refusal.BAD_SIGNATURE: ("SignatureDoesNotMatch", 403, _S3_MISMATCH),
    Refusal.SKEWED: (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
    ),
    Refusal.BAD_SCOPE: ("AuthorizationHeaderMalformed", 400, None),
}
_TABLES = {Family.S3: _S3, Family.QUERY: _QUERY, Family.JSON: _JSON, Family.REST: _REST}


def refuse(refusal: Refusal, family: Family, detail: str = "") -> AwsError:
    """The error that `family` answers. `detail` is the text where AWS words it case by case."""
    code, status, text = _TABLES[family][refusal]
    return AwsError(code, text or detail, status)


# Services that have a code of their own for a call that no policy allows.
_DENIAL_CODES = {"sns": "AuthorizationError", "ec2": "UnauthorizedOperation"}


def access_denied(family: Family, message: str, action: str = "") -> AwsError:
    """The refusal of a call by policy, with the code and status of `family` and of the action's service."""
    match family:
        case Family.S3 | Family.QUERY:
            return AwsError(_DENIAL_CODES.get(action.partition(":")[0], "AccessDenied"), message, 403)
        case Family.JSON:
            return AwsError("AccessDeniedException", message, 400)
        case Family.REST:
            return AwsError("AccessDeniedException", message, 403)
