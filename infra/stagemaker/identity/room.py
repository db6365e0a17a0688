"""The identity room as the gateway and `app.py` hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from stagemaker.identity.actions import Call
from stagemaker.identity.authenticator import Authenticated, Authenticator
from stagemaker.identity.authoriser import Authoriser
from stagemaker.identity.backing import Backing, Send
from stagemaker.identity.buckets import Buckets, is_public
from stagemaker.identity.context import parameter_context, passed_roles, request_context
from stagemaker.identity.directory import Directory
from stagemaker.identity.documents import MalformedPolicyError, PolicyKind, check_policy
from stagemaker.identity.forward import forward
from stagemaker.identity.hoisting import lowered
from stagemaker.identity.keyring import Keyring
from stagemaker.identity.keys import Keys
from stagemaker.identity.observation import Observer
from stagemaker.identity.principal import Principal
from stagemaker.identity.refusals import Family, access_denied
from stagemaker.identity.resources import Place
from stagemaker.identity.s3_actions import describe_s3
from stagemaker.identity.seed import RegisterAccessKey, is_seeded, seed
from stagemaker.identity.service_actions import describe_service
from stagemaker.identity.sessions import SAGEMAKER, Sessions
from stagemaker.identity.simulation import iam_api
from stagemaker.identity.sts import sts_api
from stagemaker.store import Store
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

# Services of ours that take roles over, by the word in their IAM actions.
_ROLE_TAKERS = {"sagemaker": SAGEMAKER}

_ON_ACCESS_KEYS = frozenset({"DeleteAccessKey", "UpdateAccessKey"})


def _wall_time() -> datetime:
    return datetime.now(UTC)


class Identity:
    """Authenticates and authorises every call. With `enforce` off any key is root, and nothing is checked.

    `send` reaches the backing as the account's root. `store` keeps secrets and sessions. `clock` gives
    wall time. `register` is told of the first keys, so that IAM can list them.
    """

    def __init__(
        self,
        *,
        account: str,
        region: str,
        keys: Keys,
        store: Store,
        send: Send,
        enforce: bool = True,
        clock: Callable[[], datetime] = _wall_time,
        register: RegisterAccessKey | None = None,
    ) -> None:
        self.account = account
        self.keys = keys
        self._enforce = enforce
        self._register = register
        self._backing = Backing(send)
        self._keyring = Keyring(store)
        self._directory = Directory(self._backing)
        self._buckets = Buckets(self._backing)
        self._observer = Observer(self._keyring, self._directory, self._buckets)
        self._authenticator = Authenticator(
            self._keyring, self._directory, account=account, region=region, clock=clock, enforce=enforce
        )
        self._authoriser = Authoriser(self._directory, self._buckets, account=account, clock=clock, enforce=enforce)
        self.sessions = Sessions(self._keyring, self._directory, account=account, clock=clock, enforce=enforce)
        """The port `Roles`."""
        self.sts: Api = sts_api(self.sessions, account)
        """STS, a service of ours."""
        self.iam: Api = iam_api(self._directory, account, clock)
        """The operations of IAM that are ours: the policy simulator."""

    async def authenticate(self, request: Request, *, service_guess: str, body_is_whole: bool = True) -> Authenticated:
        """Who makes the call; see `Authenticator.authenticate`."""
        return await self._authenticator.authenticate(request, service_guess=service_guess, body_is_whole=body_is_whole)

    async def authorise(
        self,
        principal: Principal,
        action: str,
        resources: Iterable[str],
        *,
        context: Mapping[str, str],
        region: str,
        family: Family = Family.JSON,
    ) -> None:
        """Raise AccessDenied unless the principal may do `action` on all `resources`."""
        await self._authoriser.authorise(principal, action, resources, context=context, region=region, family=family)

    async def authorise_operation(
        self,
        authenticated: Authenticated,
        request: Request,
        action: str,
        resources: Iterable[str],
        parameters: Mapping[str, Any],
    ) -> None:
        """Judge a call to a service of ours, the roles that it passes included."""
        principal, region, family = authenticated.principal, authenticated.region, authenticated.family
        context = {**request_context(request), **parameter_context(action, parameters)}
        await self._authoriser.authorise(principal, action, resources, context=context, region=region, family=family)
        taker = _ROLE_TAKERS.get(action.partition(":")[0])
        if taker:
            for role_arn in dict.fromkeys(passed_roles(parameters)):
                await self.authorise_pass_role(principal, role_arn, service=taker, region=region, family=family)

    async def authorise_pass_role(
        self,
        principal: Principal,
        role_arn: str,
        *,
        service: str = SAGEMAKER,
        region: str,
        family: Family = Family.JSON,
    ) -> None:
        """Raise AccessDenied unless the principal may hand the role to `service`."""
        await self._authoriser.authorise(
            principal,
            "iam:PassRole",
            [role_arn],
            context={"iam:PassedToService": service},
            region=region,
            family=family,
        )

    async def describe(self, request: Request, authenticated: Authenticated) -> Call:
        """What a call to the backing is and needs. Raises AwsError when that is not clear."""
        if not (request.path.isascii() and request.query.isascii()):
            # Read in one encoding here and in another by the backing, they would name two things.
            raise AwsError("InvalidURI", "Couldn't parse the specified URI.")
        if authenticated.presigned:
            request = lowered(request)
        if authenticated.family is Family.S3:
            return describe_s3(request, presigned=authenticated.presigned)
        place = Place(self.account, authenticated.region, authenticated.principal, await self._directory.account())
        return describe_service(request, authenticated.service, place)

    async def authorise_call(self, authenticated: Authenticated, call: Call) -> None:
        """Judge a call to the backing, and the policy that it would store. Raises AwsError."""
        principal, region, family = authenticated.principal, authenticated.region, authenticated.family
        for permission in call.permissions:
            context = call.context
            if permission.passed_to:
                context = {**context, "iam:PassedToService": permission.passed_to}
            await self._authoriser.authorise(
                principal, permission.action, [permission.resource], context=context, region=region, family=family
            )
        if call.policy_document:
            await self._check_policy(principal, call, region)
        if call.service == "iam" and call.operation in _ON_ACCESS_KEYS:
            self._check_owner(principal, call)

    async def _check_policy(self, principal: Principal, call: Call, region: str) -> None:
        """What could not be judged later is not stored, nor what a bucket's public access block forbids."""
        of_bucket = call.policy_kind is PolicyKind.BUCKET
        try:
            statements = check_policy(call.policy_document, call.policy_kind)
        except MalformedPolicyError as error:
            raise AwsError("MalformedPolicy" if of_bucket else "MalformedPolicyDocument", str(error)) from error
        if not of_bucket or not self._enforce:
            return
        bucket = await self._buckets.get(call.bucket, region=region)
        if bucket.block_public_policy and is_public(statements):
            raise access_denied(
                Family.S3,
                f"User: {principal.arn} is not authorized to perform: s3:PutBucketPolicy on resource: "
                f'"arn:aws:s3:::{call.bucket}" because public policies are prevented by the BlockPublicPolicy '
                "setting in S3 Block Public Access.",
            )

    def _check_owner(self, principal: Principal, call: Call) -> None:
        """A key is found under its own user only: the right to change one's own keys must not reach another's."""
        key_id = str(call.parameters.get("AccessKeyId"))
        owner = self._keyring.owner(key_id)
        if owner is not None and owner != (call.parameters.get("UserName") or principal.name) and self._enforce:
            raise AwsError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", 404)

    def forward(self, request: Request, authenticated: Authenticated, call: Call) -> Request:
        """The request as the backing must see it."""
        return forward(request, authenticated, call)

    async def observe(self, call: Call, reply: Reply) -> Reply:
        """Learn from the backing's answer, before the client sees it. Use the reply that is returned."""
        return await self._observer.observe(call, reply)

    async def start(self) -> None:
        """Set the account up unless that was done. Raises Unavailable when the backing refuses."""
        if not await is_seeded(self._backing, self._keyring):
            await self.seed()

    async def seed(self) -> None:
        """Create what is missing of the first users, keys and the execution role."""
        await seed(self._backing, self.account, self.keys, self._keyring, self._register)
        self.invalidate()

    def reset(self) -> None:
        """Forget all secrets and sessions, and what was known of the backing. `seed` must follow."""
        self._keyring.reset()
        self.invalidate()

    def invalidate(self) -> None:
        """Ask the backing anew: it may have changed without a call that passed here."""
        self._directory.invalidate()
        self._buckets.invalidate()
