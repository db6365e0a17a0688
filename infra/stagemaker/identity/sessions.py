"""Temporary credentials: roles assumed by users, by other roles and by SageMaker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from stagemaker.identity.context import question_keys
from stagemaker.identity.directory import Directory, Entity
from stagemaker.identity.documents import MalformedPolicyError, PolicyKind, check_policy, parse_policy
from stagemaker.identity.evaluation import Policies, Question, evaluate
from stagemaker.identity.keyring import Keyring, Session
from stagemaker.identity.principal import Principal, PrincipalKind, service
from stagemaker.ports import Credentials, PortError
from stagemaker.wire.errors import AwsError

SAGEMAKER = "sagemaker.amazonaws.com"
JOB_SESSION = timedelta(days=29)
"""How long a job's credentials last. Nothing renews them inside a container, and a job may be allowed 28 days."""

_CHAINED = timedelta(hours=1)
_DEFAULT_SECONDS = 3600
_DEFAULT_USER_SECONDS = 43200


class Sessions:
    """Opens sessions. Whether a caller may assume a role has been judged before `assume_role` is called."""

    def __init__(
        self,
        keyring: Keyring,
        directory: Directory,
        *,
        account: str,
        clock: Callable[[], datetime],
        enforce: bool = True,
    ) -> None:
        self._keyring = keyring
        self._directory = directory
        self._account = account
        self._clock = clock
        self._enforce = enforce

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Temporary credentials of `role_arn` for sagemaker.amazonaws.com, good for JOB_SESSION.

        Raises PortError NoSuchEntity (no such role) or AccessDenied (its trust policy does not let
        sagemaker.amazonaws.com assume it). This is `stagemaker.ports.Roles`.
        """
        role = await self._role(role_arn)
        if self._enforce:
            if role is None:
                name = role_arn.rpartition("/")[2]
                raise PortError("NoSuchEntity", f"The role with name {name} cannot be found.")
            if not self._trusts_sagemaker(role, region, session_name):
                raise PortError(
                    "AccessDenied", f"{SAGEMAKER} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
                )
        session = self._open(role_arn, role, session_name, JOB_SESSION)
        return Credentials(session.key.access_key_id, session.key.secret_access_key, session.token, session.expiration)

    def _trusts_sagemaker(self, role: Entity, region: str, session_name: str) -> bool:
        principal = service(SAGEMAKER, self._account)
        context = {
            "aws:SourceAccount": self._account,
            "aws:SourceArn": f"arn:aws:sagemaker:{region}:{self._account}:*",
            "sts:RoleSessionName": session_name,
        }
        keys = question_keys(principal, None, context, region=region, account=self._account, now=self._clock())
        try:
            trust = parse_policy(role.trust)
        except MalformedPolicyError:
            return False
        policies = Policies(resource=trust, resource_must_allow=True)
        return evaluate(policies, Question("sts:AssumeRole", role.arn, keys), principal) is None

    async def _role(self, role_arn: str) -> Entity | None:
        role = (await self._directory.account()).roles.get(role_arn.rpartition("/")[2])
        return role if role and role.arn == role_arn else None

    async def assume_role(self, caller: Principal, parameters: Mapping[str, Any]) -> Session:
        """STS AssumeRole for a caller whom the role's trust policy and the caller's own policies allow it.

        Raises AwsError: AccessDenied for the root user, ValidationError for a duration that is too
        long, MalformedPolicyDocument for a session policy that cannot be read.
        """
        role_arn = str(parameters["RoleArn"])
        if self._enforce and caller.kind is PrincipalKind.ROOT:
            raise AwsError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
        role = await self._role(role_arn)
        if self._enforce and role is None:
            denied = f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            raise AwsError("AccessDenied", denied, 403)
        lasts = timedelta(seconds=parameters.get("DurationSeconds", _DEFAULT_SECONDS))
        if role is not None:
            await self._check_duration(caller, role, lasts)
        documents = (parameters["Policy"],) if "Policy" in parameters else ()
        arns = tuple(str(one.get("arn", "")) for one in parameters.get("PolicyArns", ()))
        await self._check_session_policies(documents, arns)
        return self._open(role_arn, role, str(parameters["RoleSessionName"]), lasts, documents, arns)

    async def _check_duration(self, caller: Principal, role: Entity, lasts: timedelta) -> None:
        if caller.kind is PrincipalKind.ROLE_SESSION and lasts > _CHAINED:
            raise AwsError(
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            )
        if lasts.total_seconds() > await self._directory.longest_session(role.name):
            raise AwsError(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )

    async def _check_session_policies(self, documents: tuple[str, ...], arns: tuple[str, ...]) -> None:
        """They are evaluated with every call of the session, so each must be there and readable now."""
        try:
            for document in (*documents, *[await self._directory.managed_document(arn) for arn in arns]):
                check_policy(document, PolicyKind.IDENTITY)
        except MalformedPolicyError as error:
            raise AwsError("MalformedPolicyDocument", str(error)) from error

    def _open(
        self,
        role_arn: str,
        role: Entity | None,
        session_name: str,
        lasts: timedelta,
        documents: tuple[str, ...] = (),
        arns: tuple[str, ...] = (),
    ) -> Session:
        name = role_arn.rpartition("/")[2]
        # Without a role (only where nothing is enforced) the id has the right form and names nothing.
        role_id = role.unique_id if role else "AROA" + secrets.token_hex(9).upper()[:17]
        principal = Principal(
            f"arn:aws:sts::{self._account}:assumed-role/{name}/{session_name}",
            f"{role_id}:{session_name}",
            kind=PrincipalKind.ROLE_SESSION,
            account=self._account,
            name=name,
            entity_arn=role_arn,
            session_name=session_name,
            session_policies=documents,
            session_policy_arns=arns,
        )
        return self._keyring.open_session(principal, now=self._clock(), lasts=lasts)

    def session_of_user(self, caller: Principal, seconds: int | None) -> Session:
        """STS GetSessionToken: the caller itself, for a while. Raises AwsError AccessDenied for a session."""
        if caller.temporary:
            raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
        longest = _DEFAULT_SECONDS if caller.kind is PrincipalKind.ROOT else _DEFAULT_USER_SECONDS
        return self._keyring.open_session(
            caller, now=self._clock(), lasts=timedelta(seconds=seconds if seconds is not None else longest)
        )
