"""Who makes a call: the signature of every request is verified here, whatever service it is for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from stagemaker.identity.directory import Directory
from stagemaker.identity.keyring import Keyring, Session, UserKey
from stagemaker.identity.payload import SIGNED_CHUNKS, UNSIGNED_CHUNKS, Payload
from stagemaker.identity.principal import Principal, PrincipalKind, anonymous, root
from stagemaker.identity.refusals import Family, Refusal, family_of, refuse
from stagemaker.identity.sigv4 import (
    UNSIGNED_PAYLOAD,
    RepeatedSignatureError,
    Signature,
    SignatureError,
    UnsupportedSignatureError,
    expected_signatures,
    find_signature,
    signing_key,
)
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

WINDOW = timedelta(minutes=15)
"""How far a call's signing time may lie from now, both ways. Within it a copy of the call is accepted again."""

LONGEST_URL = 7 * 24 * 3600
"""Seconds that a presigned URL may be good for."""

_SECOND_FACTOR_SERVICES = frozenset({"iam"})
"""A session of a user (GetSessionToken) cannot call these unless it was opened with a second factor."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A caller whose signature holds, and what the signature says of the call.

    `payload_hash` is the declared hash of the body or one of the modes UNSIGNED-PAYLOAD and
    STREAMING-...; `payload` checks the body against it. An anonymous call has an empty scope.
    """

    principal: Principal
    region: str
    service: str
    credential_scope: str
    payload_hash: str
    payload: Payload
    family: Family
    presigned: bool = False
    signed_at: datetime | None = None


class Authenticator:
    """Verifies signatures. With `enforce` off any key is the account's root and nothing is verified."""

    def __init__(
        self,
        keyring: Keyring,
        directory: Directory,
        *,
        account: str,
        region: str,
        clock: Callable[[], datetime],
        enforce: bool = True,
    ) -> None:
        self._keyring = keyring
        self._directory = directory
        self._account = account
        self._region = region
        self._clock = clock
        self._enforce = enforce

    async def authenticate(self, request: Request, *, service_guess: str, body_is_whole: bool = True) -> Authenticated:
        """The maker of `request`. `service_guess` is the signing name that the gateway will act on.

        With `body_is_whole` off the body streams past later: the caller must show it to `payload`.
        Headers must hold every header of the request, repeated ones joined by commas. Raises AwsError
        with the code, text and status of the service's family.
        """
        family = family_of(request, service_guess)
        try:
            signature = find_signature(request)
        except SignatureError as error:
            raise _unreadable(error, family) from error
        if not self._enforce:
            return self._as_root(signature, service_guess, family)
        if signature is None:
            return self._unsigned(request, service_guess, family)
        _check_scope(signature, service_guess, family)
        payload_hash = _payload_hash(request, signature, family, body_is_whole=body_is_whole)
        entry = self._find_key(signature, family)
        self._check_time(signature, family)
        _check_signed_headers(request, signature, family)
        expected = expected_signatures(request, signature, entry.key.secret_access_key, payload_hash)
        if not any(hmac.compare_digest(one, signature.signature) for one in expected):
            raise refuse(Refusal.BAD_SIGNATURE, family)
        payload = _payload(signature, payload_hash, family, entry.key.secret_access_key)
        if body_is_whole:
            payload.check(request.body)
        return Authenticated(
            await self._principal(entry, signature, family),
            signature.region,
            signature.service,
            signature.scope,
            payload_hash,
            payload,
            family,
            signature.presigned,
            signature.time,
        )

    def _as_root(self, signature: Signature | None, service: str, family: Family) -> Authenticated:
        unchecked = Payload(UNSIGNED_PAYLOAD, family)
        if signature is None:
            return Authenticated(root(self._account), self._region, service, "", UNSIGNED_PAYLOAD, unchecked, family)
        return Authenticated(
            root(self._account, signature.access_key_id),
            signature.region,
            service,
            signature.scope,
            UNSIGNED_PAYLOAD,
            unchecked,
            family,
            signature.presigned,
        )

    def _unsigned(self, request: Request, service: str, family: Family) -> Authenticated:
        """Only S3 hears callers without a name, and asks its bucket policies about them."""
        if family is not Family.S3:
            raise refuse(Refusal.MISSING, family)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise AwsError(
                "NotImplemented",
                "Stagemaker takes no uploads by POST with a policy form; sign a PUT instead (generate_presigned_url).",
                501,
            )
        payload = Payload(UNSIGNED_PAYLOAD, family)
        return Authenticated(anonymous(), self._region, service, "", UNSIGNED_PAYLOAD, payload, family)

    def _find_key(self, signature: Signature, family: Family) -> UserKey | Session:
        """The key that the call names, if it may be used: known, active, with its own token, not over."""
        entry = self._keyring.find(signature.access_key_id)
        match entry:
            case UserKey(active=True):
                if signature.token is not None:
                    raise refuse(Refusal.BAD_TOKEN, family)
                return entry
            case Session():
                if signature.token is None:
                    raise refuse(Refusal.UNKNOWN_KEY, family)
                if not hmac.compare_digest(signature.token.encode(), entry.token.encode()):
                    raise refuse(Refusal.BAD_TOKEN, family)
                if entry.expiration <= self._clock():
                    raise refuse(Refusal.EXPIRED_TOKEN, family)
                of_user = entry.principal.kind is PrincipalKind.USER
                if of_user and signature.service in _SECOND_FACTOR_SERVICES:
                    raise refuse(Refusal.UNKNOWN_KEY, family)
                return entry
        raise refuse(Refusal.UNKNOWN_KEY, family)

    def _check_time(self, signature: Signature, family: Family) -> None:
        try:
            signed = signature.time
        except SignatureError as error:
            raise _unreadable(error, family) from error
        if signature.timestamp[:8] != signature.day:
            detail = (
                "The authorization header is malformed; Invalid credential date. Date is not the same as X-Amz-Date."
                if family is Family.S3
                else "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{signature.day}' != '{signature.timestamp[:8]}', from '{signature.timestamp}'."
            )
            raise refuse(Refusal.BAD_SCOPE, family, detail)
        now = self._clock()
        if signature.presigned and (family is Family.S3 or signature.expires is not None):
            _check_expiry(signature, signed, now, family)
        elif signed < now - WINDOW:
            raise refuse(Refusal.SKEWED, family, _expired(signature, now))
        elif signed > now + WINDOW:
            raise refuse(
                Refusal.SKEWED,
                family,
                f"Signature not yet current: {signature.timestamp} is still later than {_stamp(now + WINDOW)} "
                f"({_stamp(now)} + 15 min.)",
            )

    async def _principal(self, entry: UserKey | Session, signature: Signature, family: Family) -> Principal:
        """The user or role of the key, as IAM has it now. A role made anew is not the session's role."""
        account = await self._directory.account()
        if isinstance(entry, Session):
            entity = account.entity(entry.principal)
            if entry.principal.kind is PrincipalKind.ROOT:
                return entry.principal
            if entity is None or entity.unique_id != entry.principal.user_id.partition(":")[0]:
                raise refuse(Refusal.UNKNOWN_KEY, family)
            return entry.principal
        user = account.users.get(entry.user_name)
        if user is None:
            raise refuse(Refusal.UNKNOWN_KEY, family)
        return Principal(
            user.arn,
            user.unique_id,
            kind=PrincipalKind.USER,
            account=self._account,
            name=user.name,
            entity_arn=user.arn,
            access_key_id=signature.access_key_id,
        )


def _stamp(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")


def _expired(signature: Signature, now: datetime) -> str:
    return (
        f"Signature expired: {signature.timestamp} is now earlier than {_stamp(now - WINDOW)} ({_stamp(now)} - 15 min.)"
    )


def _unreadable(error: SignatureError, family: Family) -> AwsError:
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


def _check_scope(signature: Signature, service: str, family: Family) -> None:
    if signature.service != service:
        detail = (
            f'The authorization header is malformed; incorrect service "{signature.service}". '
            f'This endpoint belongs to "{service}".'
            if family is Family.S3
            else f"Credential should be scoped to correct service: '{service}'. "
        )
        raise refuse(Refusal.BAD_SCOPE, family, detail)


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
    elif int(expires) > LONGEST_URL:
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
        raise refuse(Refusal.SKEWED, family, f"Signature not yet current: {signature.timestamp}")
    if now >= signed + timedelta(seconds=int(expires)):
        if family is Family.S3:
            raise AwsError("AccessDenied", "Request has expired", 403)
        raise refuse(Refusal.SKEWED, family, _expired(signature, now))


def _check_signed_headers(request: Request, signature: Signature, family: Family) -> None:
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


# Time and payload hash are parts of the signature without being listed; the user agent decides nothing.
_NEED_NOT_BE_SIGNED = frozenset({"x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"})


def _payload_hash(request: Request, signature: Signature, family: Family, *, body_is_whole: bool) -> str:
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
    if declared is None:
        if signature.presigned:
            return UNSIGNED_PAYLOAD
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


def _payload(signature: Signature, payload_hash: str, family: Family, secret: str) -> Payload:
    key = signing_key(secret, signature.day, signature.region, signature.service)
    return Payload(payload_hash, family, key, signature.timestamp, signature.scope, signature.signature)
