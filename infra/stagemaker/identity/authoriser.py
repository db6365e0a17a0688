"""May this principal do this action on this resource? One answer for every service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from stagemaker.identity.buckets import Buckets
from stagemaker.identity.context import Context, question_keys
from stagemaker.identity.directory import Account, Directory
from stagemaker.identity.documents import MalformedPolicyError, Statement, parse_policy
from stagemaker.identity.evaluation import Question, Reason, evaluate
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.identity.refusals import Family, access_denied

# IAM user guide, "Determining whether a request is allowed": no policy is needed for these.
_ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity", "sts:GetSessionToken"})

# A root user that a bucket policy locks out can still mend that policy (S3 user guide, bucket policies).
_ROOT_RESCUES = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})

# What a bucket policy can give to everyone. Account-wide calls such as ListBuckets need a signature.
ANONYMOUS_ACTIONS = frozenset(
    {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:GetObjectAcl",
        "s3:GetObjectAttributes",
        "s3:GetObjectTagging",
        "s3:GetObjectVersionTagging",
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:ListBucketMultipartUploads",
        "s3:GetBucketLocation",
    }
)


class Authoriser:
    """Judges calls by the account's policies. With `enforce` off everything is allowed."""

    def __init__(
        self,
        directory: Directory,
        buckets: Buckets,
        *,
        account: str,
        clock: Callable[[], datetime],
        enforce: bool = True,
    ) -> None:
        self._directory = directory
        self._buckets = buckets
        self._account = account
        self._clock = clock
        self._enforce = enforce

    async def authorise(
        self,
        principal: Principal,
        action: str,
        resources: Iterable[str],
        *,
        context: Context,
        region: str,
        family: Family = Family.JSON,
    ) -> None:
        """Raise AWS's AccessDenied for the first of `resources` (ARNs or `*`) that `principal` may not touch.

        `action` is spelt as in policies (`s3:PutObject`). Raises Unavailable (500) when the backing
        does not tell a policy that the answer depends on.
        """
        for resource in resources:
            reason = await self.refusal(principal, action, resource, context=context, region=region)
            if reason is not None:
                raise access_denied(family, _worded(principal, action, resource, reason, family), action)

    async def refusal(
        self, principal: Principal, action: str, resource: str, *, context: Context, region: str
    ) -> Reason | None:
        """Why `principal` may not do this; None: it may."""
        if not self._enforce or action in _ALWAYS_ALLOWED:
            return None
        if principal.kind is PrincipalKind.ANONYMOUS and action not in ANONYMOUS_ACTIONS:
            return Reason.RESOURCE_SILENT
        if principal.kind is PrincipalKind.ROOT and action in _ROOT_RESCUES:
            return None
        account = await self._directory.account()
        policies = await self._directory.policies(principal)
        resource_policy, must_allow = await self._resource_policy(account, principal, action, resource, region)
        policies = replace(policies, resource=resource_policy, resource_must_allow=must_allow)
        keys = question_keys(
            principal,
            account.entity(principal),
            context,
            region=region,
            account=self._account,
            now=self._clock(),
        )
        return evaluate(policies, Question(action, resource, keys), principal)

    async def _resource_policy(
        self, account: Account, principal: Principal, action: str, resource: str, region: str
    ) -> tuple[tuple[Statement, ...], bool]:
        """The policy that the resource itself has, and whether it must allow the call."""
        if resource.startswith("arn:aws:s3:::") and action != "s3:CreateBucket":
            bucket = await self._buckets.get(resource[13:].partition("/")[0], region=region)
            if bucket.restrict_public_buckets and principal.kind is PrincipalKind.ANONYMOUS and bucket.is_public:
                return (), False
            return bucket.policy, False
        if action == "sts:AssumeRole":
            role = account.roles.get(resource.rpartition("/")[2])
            trust = role.trust if role and role.arn == resource else ""
            return _readable(trust), True
        return (), False


def _readable(trust: str) -> tuple[Statement, ...]:
    """A trust policy's statements. One that cannot be read trusts nobody."""
    try:
        return parse_policy(trust) if trust else ()
    except MalformedPolicyError:
        return ()


def _worded(principal: Principal, action: str, resource: str, reason: Reason, family: Family) -> str:
    """The refusal in AWS's words. S3 puts the resource in quotes; to anonymous callers it gives no reason."""
    if principal.kind is PrincipalKind.ANONYMOUS and family is Family.S3:
        return "Access Denied"
    quoted = f'"{resource}"' if family is Family.S3 else resource
    text = f"User: {principal.arn} is not authorized to perform: {action} on resource: {quoted}"
    return f"{text} {reason.value.format(action=action)}".rstrip()
