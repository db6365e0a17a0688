"""Who makes a call: the signature of every request is verified here, whatever service it is for."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from stagemaker.identity.checks import check_scope, check_signed_headers, check_time, payload_hash, unreadable
from stagemaker.identity.directory import Directory
from stagemaker.identity.keyring import ROOT_USER, Keyring, Session, UserKey
from stagemaker.identity.payload import Payload
from stagemaker.identity.principal import Principal, PrincipalKind, anonymous, root
from stagemaker.identity.refusals import Family, Refusal, family_of, refuse
from stagemaker.identity.sigv2 import QuerySignature, expected_query_signature, find_query_signature
from stagemaker.identity.sigv4 import (
    UNSIGNED_PAYLOAD,
    Signature,
    SignatureError,
    expected_signatures,
    find_signature,
    signing_key,
)
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

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
        if not self._enforce:
            return self._as_root(request, service_guess, family)
        try:
            signature = find_signature(request)
        except SignatureError as error:
            raise unreadable(error, family) from error
        if signature is None and (older := find_query_signature(request)):
            return await self._presigned_v2(request, older, family)
        if signature is None:
            return self._unsigned(request, service_guess, family)
        check_scope(signature, service_guess, family)
        declared = payload_hash(request, signature, family, body_is_whole=body_is_whole)
        entry = self._find_key(signature, family)
        signed_at = check_time(signature, self._clock(), family)
        check_signed_headers(request, signature, family)
        given = signature.signature.encode()
        expected = expected_signatures(request, signature, entry.key.secret_access_key, declared)
        if not any(hmac.compare_digest(one.encode(), given) for one in expected):
            raise refuse(Refusal.BAD_SIGNATURE, family)
        payload = _payload(signature, declared, family, entry.key.secret_access_key)
        if body_is_whole:
            payload.check(request.body)
        return Authenticated(
            await self._principal(entry, signature, family),
            signature.region,
            signature.service,
            signature.scope,
            declared,
            payload,
            family,
            signature.presigned,
            signed_at,
        )

    async def _presigned_v2(self, request: Request, signature: QuerySignature, family: Family) -> Authenticated:
        """The maker of a URL of S3's older kind. Its region is the default one: the signature names none."""
        if family is not Family.S3:
            raise refuse(Refusal.UNSUPPORTED, family, "Signature Version 2 is not supported. Use Signature Version 4.")
        entry = self._find_key(signature, Family.S3)
        expires = signature.expires
        if expires is None:
            raise AwsError(
                "AccessDenied", f"Invalid date (should be seconds since epoch): {signature.expires_text}", 403
            )
        if expires <= self._clock():
            raise AwsError("AccessDenied", "Request has expired", 403)
        expected = expected_query_signature(request, signature, entry.key.secret_access_key)
        if not hmac.compare_digest(expected.encode(), signature.signature.encode()):
            raise refuse(Refusal.BAD_SIGNATURE, Family.S3)
        return Authenticated(
            await self._principal(entry, signature, Family.S3),
            self._region,
            "s3",
            "",
            UNSIGNED_PAYLOAD,
            Payload(UNSIGNED_PAYLOAD, Family.S3),
            Family.S3,
            presigned=True,
        )

    def _as_root(self, request: Request, service: str, family: Family) -> Authenticated:
        """Root, whatever the request shows. Its region still comes from the scope, if that can be read."""
        signature = None
        with contextlib.suppress(SignatureError):
            signature = find_signature(request)
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

    def _find_key(self, signature: Signature | QuerySignature, family: Family) -> UserKey | Session:
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

    async def _principal(
        self, entry: UserKey | Session, signature: Signature | QuerySignature, family: Family
    ) -> Principal:
        """The user or role of the key, as IAM has it now. One made anew under an old name is another one."""
        if isinstance(entry, UserKey) and entry.user_name == ROOT_USER:
            return root(self._account, signature.access_key_id)
        account = await self._directory.account()
        if isinstance(entry, Session):
            entity = account.entity(entry.principal)
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


def _payload(signature: Signature, declared: str, family: Family, secret: str) -> Payload:
    key = signing_key(secret, signature.day, signature.region, signature.service)
    return Payload(declared, family, key, signature.timestamp, signature.scope, signature.signature)
