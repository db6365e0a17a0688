"""What a signature must fulfil beside being right: its form, scope, time and the headers that it covers."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from stagemaker.identity.payload import SIGNED_CHUNKS, UNSIGNED_CHUNKS
from stagemaker.identity.refusals import Family, Refusal, refuse
from stagemaker.identity.sigv4 import (
    UNSIGNED_PAYLOAD,
    RepeatedSignatureError,
    Signature,
    SignatureError,
    UnsupportedSignatureError,
)
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

WINDOW = timedelta(minutes=15)
"""How far a call's signing time may lie from now, both ways. Within it a copy of the call is accepted again."""

LONGEST_URL = 7 * 24 * 3600
"""Seconds that a presigned URL may be good for."""


# Time and payload hash are parts of the signature without being listed; the user agent decides nothing.
_NEED_NOT_BE_SIGNED = frozenset({"x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"})


def unreadable(error: SignatureError, family: Family) -> AwsError:
    """The refusal of a call whose signature cannot be read."""
    text = str(error)
    match error:
        case UnsupportedSignatureError():
            if family is Family.S3:
                text = f"The authorization mechanism you have provided is not supported. {text}"
            return refuse(Refusal.UNSUPPORTED, family, text)
        case RepeatedSignatureError() if family is Family.S3:
            return AwsError("InvalidArgument", text)
    if family is Family.S3:
        text = f"The authorization header is malformed; {text}"
    return refuse(Refusal.INCOMPLETE, family, text)


def check_scope(signature: Signature, service: str, family: Family) -> None:
    """The call must be signed for the service that will carry it out. Regions are all served."""
    if signature.service != service:
        detail = (
            f'The authorization header is malformed; incorrect service "{signature.service}". '
            f'This endpoint belongs to "{service}".'
            if family is Family.S3
            else f"Credential should be scoped to correct service: '{service}'. "
        )
        raise refuse(Refusal.BAD_SCOPE, family, detail)


def check_time(signature: Signature, now: datetime, family: Family) -> datetime:
    """When the call was signed, which must be near `now` or, for a presigned URL, not too long ago."""
    try:
        signed = signature.time
    except SignatureError as error:
        raise unreadable(error, family) from error
    if signature.timestamp[:8] != signature.day:
        detail = (
            "The authorization header is malformed; Invalid credential date. Date is not the same as X-Amz-Date."
            if family is Family.S3
            else "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{signature.day}' != '{signature.timestamp[:8]}', from '{signature.timestamp}'."
        )
        raise refuse(Refusal.BAD_SCOPE, family, detail)
    if signature.presigned and (family is Family.S3 or signature.expires is not None):
        _check_expiry(signature, signed, now, family)
    elif signed < now - WINDOW:
        raise refuse(Refusal.SKEWED, family, _expired(signature, now))
    elif signed > now + WINDOW:
        raise refuse(Refusal.SKEWED, family, _not_yet(signature, now))
    return signed


def _check_expiry(signature: Signature, signed: datetime, now: datetime, family: Family) -> None:
    """A presigned URL is good from its signing time, less the usual skew, for X-Amz-Expires seconds."""
    expires = signature.expires or ""
    problem = ""
    if not expires:
        problem = (
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    elif not expires.isascii() or not expires.lstrip("-").isdigit():
        problem = "X-Amz-Expires should be a number"
    elif expires.startswith("-"):
        problem = "X-Amz-Expires must be non-negative"
    elif len(expires) > 9 or int(expires) > LONGEST_URL:
        problem = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
    if problem:
        raise (
            AwsError("AuthorizationQueryParametersError", problem)
            if family is Family.S3
            else refuse(Refusal.INCOMPLETE, family, problem)
        )
    if signed > now + WINDOW:
        if family is Family.S3:
            raise AwsError("AccessDenied", "Request is not valid yet", 403)
        raise refuse(Refusal.SKEWED, family, _not_yet(signature, now))
    if now >= signed + timedelta(seconds=int(expires)):
        if family is Family.S3:
            raise AwsError("AccessDenied", "Request has expired", 403)
        raise refuse(Refusal.SKEWED, family, _expired(signature, now))


def _stamp(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")


def _expired(signature: Signature, now: datetime) -> str:
    return (
        f"Signature expired: {signature.timestamp} is now earlier than {_stamp(now - WINDOW)} ({_stamp(now)} - 15 min.)"
    )


def _not_yet(signature: Signature, now: datetime) -> str:
    return (
        f"Signature not yet current: {signature.timestamp} is still later than {_stamp(now + WINDOW)} "
        f"({_stamp(now)} + 15 min.)"
    )


def check_signed_headers(request: Request, signature: Signature, family: Family) -> None:
    """The host and every x-amz-* header must be covered, or they could be changed on the way."""
    signed = set(signature.signed_headers)
    if "host" not in signed and ":authority" not in signed:
        raise refuse(
            Refusal.INCOMPLETE,
            family,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        )
    unsigned = [
        name
        for name in request.headers
        if name.startswith("x-amz-") and name not in signed and name not in _NEED_NOT_BE_SIGNED
    ]
    if unsigned:
        if family is Family.S3:
            raise AwsError("AccessDenied", "There were headers present in the request which were not signed", 403)
        raise refuse(
            Refusal.INCOMPLETE,
            family,
            f"'{unsigned[0]}' must be a 'SignedHeader' in the AWS Authorization.",
        )


def payload_hash(request: Request, signature: Signature, family: Family, *, body_is_whole: bool) -> str:
    """What the canonical request says of the body.

    S3 goes by the header x-amz-content-sha256, all other services by the body itself.
    """
    declared = request.headers.get("x-amz-content-sha256")
    if family is not Family.S3:
        if body_is_whole:
            return hashlib.sha256(request.body).hexdigest()
        if declared is None or not _is_sha256(declared):
            raise AwsError("InvalidRequest", "A streamed body needs its SHA-256 in the header x-amz-content-sha256")
        return declared
    if signature.presigned and "x-amz-content-sha256" not in signature.signed_headers:
        return UNSIGNED_PAYLOAD
    if declared is None:
        raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if declared in SIGNED_CHUNKS or declared in {UNSIGNED_PAYLOAD, UNSIGNED_CHUNKS} or _is_sha256(declared):
        return declared
    raise AwsError(
        "InvalidArgument",
        f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, {UNSIGNED_CHUNKS}, {', '.join(sorted(SIGNED_CHUNKS))} "
        "or a valid sha256 value.",
    )


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)
