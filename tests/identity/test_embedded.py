"""The room over the real embedded backing: IAM and S3 answer as the room expects them to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from stagemaker.backing.embedded import EmbeddedBacking
from stagemaker.identity.keys import AccessKey, KeyFile
from stagemaker.identity.room import Identity
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"
FORM = {"content-type": "application/x-www-form-urlencoded"}
READ = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::lake/*"}


class Stand:
    """A backing, a room over it, and the gateway's part of a call."""

    def __init__(self, folder: Path, store: Store, sign: Signed) -> None:
        self.sign = sign
        self.keys = KeyFile(folder / "keys.json").read_or_create(ACCOUNT)
        self.backing = EmbeddedBacking(folder / "backing", ACCOUNT, "us-east-1", 4566)
        self.identity = Identity(
            account=ACCOUNT,
            region="us-east-1",
            keys=self.keys,
            store=store,
            send=self.backing.send,
            register=self.backing.register_access_key,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stand]:
        """Started, and stopped at the end."""
        await self.backing.start()
        try:
            await self.identity.start()
            yield self
        finally:
            await self.backing.stop()

    async def call(self, request: Request, service: str) -> Reply:
        """What the gateway does with a call to the backing. Raises AwsError when it is refused."""
        authenticated = await self.identity.authenticate(request, service_guess=service)
        call = await self.identity.describe(request, authenticated)
        await self.identity.authorise_call(authenticated, call)
        forwarded = self.identity.forward(request, authenticated, call)
        reply = await self.backing.send(forwarded, service=service, region=authenticated.region)
        return await self.identity.observe(call, reply)

    async def iam(self, key: AccessKey, action: str, **fields: str) -> str:
        """An IAM call, which must succeed."""
        body = urlencode({"Action": action, "Version": "2010-05-08", **fields}).encode()
        reply = await self.call(self.sign(key, "iam", "POST", "/", body, FORM), "iam")
        assert isinstance(reply.body, bytes)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    async def s3(self, key: AccessKey, method: str, path: str, body: bytes = b"", **more: Any) -> int:
        """The status of an S3 call."""
        reply = await self.call(self.sign(key, "s3", method, path, body, **more), "s3")
        return reply.status


@pytest.fixture
def stand(tmp_path: Path, store: Store, signed: Signed) -> Stand:
    """A stand in a folder of its own."""
    return Stand(tmp_path, store, signed)


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_users_keys_policies_and_boundaries(stand: Stand) -> None:
    """A user made over the wire signs calls at once, and its policies, groups and boundary count at once."""

    async def story() -> None:
        async with stand.running():
            admin = stand.keys.admin
            assert await stand.s3(admin, "PUT", "/lake") == 200
            listed = await stand.iam(stand.keys.learner, "ListAccessKeys")
            assert stand.keys.learner.access_key_id in listed
            assert "<UserName>learner</UserName>" in await stand.iam(stand.keys.learner, "GetUser")
            await stand.iam(admin, "CreateUser", UserName="ann", Path="/team/")
            answer = await stand.iam(admin, "CreateAccessKey", UserName="ann")
            ann = AccessKey(_between(answer, "AccessKeyId"), _between(answer, "SecretAccessKey"))
            with pytest.raises(AwsError, match="arn:aws:iam::123456789012:user/team/ann is not authorized"):
                await stand.s3(ann, "PUT", "/lake/a", b"1")
            await stand.iam(admin, "PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=_policy(READ))
            assert await stand.s3(ann, "PUT", "/lake/a%20b/%C3%BC", b"1") == 200
            arn = _between(
                await stand.iam(
                    admin, "CreatePolicy", PolicyName="b", PolicyDocument=_policy(READ | {"Action": "s3:Get*"})
                ),
                "Arn",
            )
            await stand.iam(admin, "PutUserPermissionsBoundary", UserName="ann", PermissionsBoundary=arn)
            with pytest.raises(AwsError, match="no permissions boundary allows the s3:PutObject action"):
                await stand.s3(ann, "PUT", "/lake/a", b"1")
            await stand.iam(admin, "UpdateAccessKey", UserName="ann", AccessKeyId=ann.access_key_id, Status="Inactive")
            with pytest.raises(AwsError, match="InvalidAccessKeyId"):
                await stand.s3(ann, "GET", "/lake/a")

    asyncio.run(story())


def test_buckets_and_strangers(stand: Stand) -> None:
    """A new bucket is private; opened to everyone, it gives objects to a stranger and nothing else."""
    stranger = Request("GET", "/lake/a", "", {"host": "localhost:4566"})
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"}

    async def story() -> None:
        async with stand.running():
            learner = stand.keys.learner
            await stand.s3(learner, "PUT", "/lake")
            await stand.s3(learner, "PUT", "/lake/a", b"1")
            with pytest.raises(AwsError, match="Access Denied"):
                await stand.call(stranger, "s3")
            with pytest.raises(AwsError, match="prevented by the BlockPublicPolicy"):
                await stand.s3(learner, "PUT", "/lake?policy", _policy(statement).encode())
            await stand.s3(learner, "DELETE", "/lake?publicAccessBlock")
            assert await stand.s3(learner, "PUT", "/lake?policy", _policy(statement).encode()) in {200, 204}
            reply = await stand.call(stranger, "s3")
            assert (reply.status, reply.body) == (200, b"1")
            deny = {**statement, "Effect": "Deny", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
            await stand.s3(learner, "PUT", "/lake?policy", _policy(statement, deny).encode())
            with pytest.raises(AwsError, match="explicit deny in a resource-based policy"):
                await stand.s3(learner, "GET", "/lake/a")

    asyncio.run(story())


def test_the_execution_role(stand: Stand) -> None:
    """SageMaker's credentials for the seeded role read and write objects, and no more than that."""

    async def story() -> None:
        async with stand.running():
            await stand.s3(stand.keys.learner, "PUT", "/lake")
            found = await stand.identity.sessions.assume(
                stand.keys.role_arn, region="us-east-1", session_name="SageMaker"
            )
            key = AccessKey(found.access_key_id, found.secret_access_key)
            token = found.session_token
            assert await stand.s3(key, "PUT", "/lake/model.tar.gz", b"1", token=token) == 200
            assert await stand.s3(key, "GET", "/lake?list-type=2", token=token) == 200
            with pytest.raises(AwsError, match="s3:DeleteBucket"):
                await stand.s3(key, "DELETE", "/lake", token=token)

    asyncio.run(story())


def test_a_reset_and_a_restart(stand: Stand, tmp_path: Path, store: Store) -> None:
    """After a reset the first keys work in an empty account; after a restart everything is as it was."""

    async def story() -> None:
        async with stand.running():
            await stand.iam(stand.keys.admin, "CreateUser", UserName="ann")
            await stand.backing.reset()
            stand.identity.reset()
            await stand.identity.seed()
            assert "ann" not in await stand.iam(stand.keys.learner, "ListUsers")
            await stand.iam(stand.keys.admin, "CreateUser", UserName="bob")
        again = Stand(tmp_path, store, stand.sign)
        async with again.running():
            assert "bob" in await again.iam(again.keys.learner, "ListUsers")

    asyncio.run(story())


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
