"""What is known of the account: asked once, asked anew after a write, never guessed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from stagemaker.identity.actions import Call
from stagemaker.identity.observation import is_observed
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

Signed = Callable[..., Request]
READ_ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}

CLOSED = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::lake/*"}],
    }
)


def get(signed: Signed, key: Any, path: str = "/lake/a.csv") -> Request:
    """A read."""
    return signed(key, "s3", "GET", path)


def test_policies_are_asked_for_once(room: Any, signed: Signed) -> None:
    """As long as nothing is written, calls are judged without asking the backing."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    room.backing_call(get(signed, ann), "s3")
    asked = list(room.account.calls)
    for _ in range(3):
        room.backing_call(get(signed, ann), "s3")
    assert room.account.calls == asked


@pytest.mark.parametrize(
    ("operation", "asked_anew"),
    [
        ("PutUserPolicy", True),
        ("DeleteUserPolicy", True),
        ("AttachRolePolicy", True),
        ("TagUser", True),
        ("ListUsers", False),
        ("GetUser", False),
        ("SimulatePrincipalPolicy", False),
    ],
)
def test_a_write_to_iam_counts_at_once(operation: str, asked_anew: bool, room: Any, signed: Signed) -> None:
    """A policy that is taken away while the answer is still on its way no longer allows."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    room.backing_call(get(signed, ann), "s3")
    room.account.entities["User"]["ann"].inline.clear()
    room.run(room.identity.observe(Call("iam", operation, ()), Reply(200, {})))
    error = room.refusal(lambda: room.backing_call(get(signed, ann), "s3"))
    assert (error is not None) is asked_anew


def test_a_failed_write_may_have_written(room: Any, signed: Signed) -> None:
    """A 5xx does not say that nothing changed, so the account is asked anew."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    room.backing_call(get(signed, ann), "s3")
    room.account.entities["User"]["ann"].inline.clear()
    room.run(room.identity.observe(Call("iam", "DeleteUserPolicy", ()), Reply(500, {})))
    with pytest.raises(AwsError, match="s3:GetObject"):
        room.backing_call(get(signed, ann), "s3")


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        (Call("s3", "PutBucketPolicy", (), bucket="lake"), True),
        (Call("s3", "DeleteBucketPolicy", (), bucket="lake"), True),
        (Call("s3", "PutPublicAccessBlock", (), bucket="lake"), True),
        (Call("s3", "PutBucketPolicy", (), bucket="other"), False),
        (Call("s3", "PutObject", (), bucket="lake"), False),
        (Call("cloudformation", "DescribeStacks", ()), True),
    ],
    ids=lambda value: f"{value.operation} {value.bucket}" if isinstance(value, Call) else str(value),
)
def test_a_write_to_a_bucket_counts_at_once(call: Call, counts: bool, room: Any, signed: Signed) -> None:
    """The policy of a bucket is asked for anew after a call that may have changed it."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    room.backing_call(get(signed, ann), "s3")
    room.account.buckets["lake"]["policy"] = CLOSED
    room.run(room.identity.observe(call, Reply(200, {})))
    assert (room.refusal(lambda: room.backing_call(get(signed, ann), "s3")) is not None) is counts


def test_long_accounts_come_in_pages(room: Any, signed: Signed) -> None:
    """All pages are read."""
    room.account.page_size = 2
    room.account.buckets["lake"] = {}
    keys = [room.user(f"user-{number}", READ_ALL) for number in range(5)]
    for key in keys:
        room.backing_call(get(signed, key), "s3")


def test_many_calls_ask_once(room: Any, signed: Signed) -> None:
    """Calls that come together share one question."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    request = get(signed, ann)
    room.account.calls.clear()

    async def together() -> None:
        identity = room.identity
        await asyncio.gather(*[identity.authenticate(request, service_guess="s3") for _ in range(10)])

    room.run(together())
    assert room.account.calls == ["GetAccountAuthorizationDetails"]


@pytest.mark.parametrize("what", ["GetAccountAuthorizationDetails", "?policy"])
def test_an_answer_of_before_a_write_is_not_kept(what: str, room: Any, signed: Signed) -> None:
    """What changes while it is being asked for is asked for again: the old answer is kept for nobody."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    request = get(signed, ann)

    async def judge() -> None:
        authenticated = await room.identity.authenticate(request, service_guess="s3")
        await room.identity.authorise_call(authenticated, await room.identity.describe(request, authenticated))

    async def race() -> None:
        room.account.calls.clear()
        first = asyncio.create_task(judge())
        for _ in range(100):
            if what in room.account.calls:
                break
            await asyncio.sleep(0)
        if what == "?policy":
            room.account.buckets["lake"]["policy"] = CLOSED
            await room.identity.observe(Call("s3", "PutBucketPolicy", (), bucket="lake"), Reply(200, {}))
        else:
            room.account.entities["User"]["ann"].inline.clear()
            await room.identity.observe(Call("iam", "DeleteUserPolicy", ()), Reply(200, {}))
        await asyncio.gather(first, return_exceptions=True)
        await judge()

    with pytest.raises(AwsError, match="s3:GetObject"):
        room.run(race())


def test_a_caller_that_goes_away_takes_no_answer_with_it(room: Any, signed: Signed) -> None:
    """When the first caller hangs up, the others still get their answer."""
    ann = room.user("ann", READ_ALL)
    request = get(signed, ann)

    async def leave() -> str:
        identity = room.identity
        first = asyncio.create_task(identity.authenticate(request, service_guess="s3"))
        second = asyncio.create_task(identity.authenticate(request, service_guess="s3"))
        await asyncio.sleep(0)
        first.cancel()
        return str((await second).principal.name)

    assert room.run(leave()) == "ann"


@pytest.mark.parametrize("fails", ["GetAccountAuthorizationDetails", "?policy", "?publicAccessBlock", "GetUser"])
def test_without_an_answer_nothing_is_allowed(fails: str, room: Any, signed: Signed) -> None:
    """When the backing does not tell, the call fails with a 500; afterwards all is as before."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", READ_ALL)
    room.account.fails = fails
    with pytest.raises(AwsError) as failed:
        room.backing_call(get(signed, ann), "s3")
    assert (failed.value.code, failed.value.status) == ("InternalFailure", 500)
    room.account.fails = ""
    room.backing_call(get(signed, ann), "s3")


def test_a_policy_that_nobody_can_read(room: Any, signed: Signed) -> None:
    """A document that got past the check stops its user with a 500 that names it, rather than count for nothing."""
    room.account.buckets["lake"] = {}
    ann = room.user("ann", "{}")
    with pytest.raises(AwsError, match="a policy of arn:aws:iam::123456789012:user/ann: Syntax errors") as failed:
        room.backing_call(get(signed, ann), "s3")
    assert failed.value.status == 500


def test_only_writes_need_to_be_observed() -> None:
    """Reads and objects may stream past; writes to IAM and to what decides about a bucket may not."""
    for call, observed in (
        (Call("iam", "CreateAccessKey", ()), True),
        (Call("iam", "ListUsers", ()), False),
        (Call("s3", "PutBucketPolicy", ()), True),
        (Call("s3", "GetObject", ()), False),
        (Call("sns", "Publish", ()), False),
    ):
        assert is_observed(call) is observed
