"""Bucket policies and public access blocks as S3 tells them, kept until a write passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stagemaker.identity.backing import Backing, BackingError, Unavailable, parse_xml, text_of
from stagemaker.identity.documents import Effect, MalformedPolicyError, Statement, parse_policy

_MOST_KEPT = 4096
_ABSENT = {
    "NoSuchBucketPolicy",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchBucket",
    "InvalidBucketName",
}

# Keys that tie a statement for everyone to someone, after "The meaning of public" of S3's user guide.
_LIMITING_KEYS = frozenset(
    {
        "aws:sourceip",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:userid",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalarn",
        "aws:principalaccount",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    }
)
_LIMITING_OPERATORS = ("string", "arn", "ipaddress")


@dataclass(frozen=True, slots=True)
class Bucket:
    """What decides about calls on one bucket beside identity-based policies."""

    policy: tuple[Statement, ...] = ()
    block_public_policy: bool = False
    restrict_public_buckets: bool = False

    @property
    def is_public(self) -> bool:
        """Whether the policy gives anything to everyone."""
        return is_public(self.policy)


class Buckets:
    """The buckets that were asked for since they last changed."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._known: dict[str, Bucket] = {}
        self._changes = 0

    def invalidate(self, bucket: str | None = None) -> None:
        """`bucket` has changed, or any may have. What is being asked meanwhile is not kept."""
        self._changes += 1
        if bucket is None:
            self._known.clear()
        else:
            self._known.pop(bucket, None)

    async def get(self, name: str, *, region: str) -> Bucket:
        """The bucket of that name; one without policy and blocks if it does not exist. Raises Unavailable."""
        known = self._known.get(name)
        if known is not None:
            return known
        before = self._changes
        policy = await self._document(name, "policy", region)
        block = await self._document(name, "publicAccessBlock", region)
        bucket = _bucket(name, policy, block)
        if before == self._changes:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[name] = bucket
        return bucket

    async def _document(self, bucket: str, subresource: str, region: str) -> bytes | None:
        try:
            return await self._backing.bucket(bucket, subresource, region=region)
        except BackingError as error:
            if error.code in _ABSENT:
                return None
            raise Unavailable(f"s3 ?{subresource} of {bucket}", str(error)) from error


def _bucket(name: str, policy: bytes | None, block: bytes | None) -> Bucket:
    settings: dict[str, Any] = {}
    try:
        if block is not None:
            document = parse_xml(block)
            settings["block_public_policy"] = text_of(document, ".//BlockPublicPolicy") == "true"
            settings["restrict_public_buckets"] = text_of(document, ".//RestrictPublicBuckets") == "true"
        return Bucket(parse_policy(policy.decode()) if policy else (), **settings)
    except (MalformedPolicyError, ValueError) as error:
        raise Unavailable(f"with settings of bucket {name} that can be read", str(error)) from error


def is_public(statements: tuple[Statement, ...]) -> bool:
    """Whether some statement allows something to everyone, with no condition that ties it to someone."""
    return any(
        statement.effect is Effect.ALLOW and _names_everyone(statement) and not _is_tied(statement)
        for statement in statements
    )


def _names_everyone(statement: Statement) -> bool:
    return statement.principals is not None and (statement.principals.everyone or statement.not_principals)


def _is_tied(statement: Statement) -> bool:
    return any(
        condition.key in _LIMITING_KEYS
        and not condition.negated
        and not condition.if_exists
        and condition.operator.lower().startswith(_LIMITING_OPERATORS)
        and not any("*" in value.source or "?" in value.source or "/0" in value.source for value in condition.values)
        for condition in statement.conditions
    )
