"""Bucket policies, public access blocks, callers without a name, and the principals that a policy can name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from stagemaker.identity.principal import root
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
OBJECT = "arn:aws:s3:::lake/a.csv"


def bucket_policy(*statements: dict[str, Any]) -> str:
    """A policy of the bucket `lake`; statements speak of all its objects' reads unless they say otherwise."""
    common = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"}
    filled = [{name: value for name, value in {**common, **one}.items() if value is not None} for one in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": filled})


def allow(principal: Any, **more: Any) -> dict[str, Any]:
    """An allowing statement."""
    return {"Effect": "Allow", "Principal": principal, **more}


def deny(principal: Any, **more: Any) -> dict[str, Any]:
    """A denying one."""
    return {"Effect": "Deny", "Principal": principal, **more}


def identity_policy(effect: str, action: str = "s3:GetObject") -> dict[str, Any]:
    """What Ann has herself."""
    return {"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": action, "Resource": "*"}}


SILENT = "because no identity-based policy allows the s3:GetObject action"
RESOURCE_DENIES = "with an explicit deny in a resource-based policy"
IDENTITY_DENIES = "with an explicit deny in an identity-based policy"
NOT_ANN = {"StringNotEquals": {"aws:username": "ann"}}
PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("own", "statements", "reason"),
    [
        (None, [allow({"AWS": ANN})], ""),
        (None, [allow({"AWS": [ROOT, ANN]})], ""),
        (None, [allow("*")], ""),
        (None, [allow({"AWS": "*"})], ""),
        (None, [allow({"AWS": ROOT})], SILENT),
        (None, [allow({"AWS": ACCOUNT})], SILENT),
        ("Allow", [allow({"AWS": ROOT})], ""),
        (None, [allow({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"})], SILENT),
        (None, [allow({"AWS": "arn:aws:iam::999999999999:root"})], SILENT),
        (None, [allow({"Service": "sagemaker.amazonaws.com"})], SILENT),
        (None, [allow({"AWS": ANN}, Resource="arn:aws:s3:::lake/b.csv")], SILENT),
        (None, [allow({"AWS": ANN}, Action="s3:PutObject")], SILENT),
        ("Deny", [allow({"AWS": ANN})], IDENTITY_DENIES),
        ("Allow", [deny("*")], RESOURCE_DENIES),
        ("Allow", [deny({"AWS": ROOT})], RESOURCE_DENIES),
        ("Allow", [deny({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"})], ""),
        ("Allow", [deny("*", Condition=NOT_ANN)], ""),
        ("Allow", [deny("*", Condition=PLAIN_HTTP)], ""),
        ("Allow", [deny("*", Resource="arn:aws:s3:::lake")], ""),
        ("Allow", [{"Effect": "Deny", "NotPrincipal": {"AWS": ANN}}], ""),
        ("Allow", [{"Effect": "Deny", "NotPrincipal": {"AWS": ROOT}}], RESOURCE_DENIES),
        (None, [{"Effect": "Allow", "NotPrincipal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}}], ""),
        (None, [allow({"AWS": ANN}), deny({"AWS": ANN})], RESOURCE_DENIES),
    ],
)
def test_a_bucket_policy_and_a_user(
    own: str | None, statements: list[dict[str, Any]], reason: str, room: Any, signed: Signed
) -> None:
    """In one account either policy may allow, a policy for the whole account leaves it to IAM, a deny wins."""
    room.account.buckets["lake"] = {"policy": bucket_policy(*statements)}
    ann = room.user("ann", *([identity_policy(own)] if own else []))
    error = room.refusal(lambda: room.backing_call(signed(ann, "s3", "GET", "/lake/a.csv"), "s3"))
    if not reason:
        assert error is None
        return
    assert error is not None
    assert error.message == (f'User: {ANN} is not authorized to perform: s3:GetObject on resource: "{OBJECT}" {reason}')
    assert (error.code, error.status) == ("AccessDenied", 403)


def test_a_policy_that_refuses_plain_http(room: Any, signed: Signed) -> None:
    """The owner is not locked out through the loopback endpoint, and is refused through plain HTTP."""
    statement = deny("*", Action="s3:*", Resource=["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"], Condition=PLAIN_HTTP)
    room.account.buckets["lake"] = {"policy": bucket_policy(statement)}
    learner = room.keys.learner
    room.backing_call(signed(learner, "s3", "GET", "/lake/a.csv"), "s3")
    plain = signed(learner, "s3", "GET", "/lake/a.csv", headers={"x-forwarded-proto": "http"})
    with pytest.raises(AwsError, match="with an explicit deny in a resource-based policy"):
        room.backing_call(plain, "s3")


def anonymous(method: str, path: str, query: str = "") -> Request:
    """A call that nobody signed."""
    return Request(method, path, query, {"host": "localhost:4566"})


PUBLIC = bucket_policy(
    allow("*"), allow("*", Action="s3:ListBucket", Resource="arn:aws:s3:::lake"), allow("*", Action="s3:*")
)


@pytest.mark.parametrize(
    ("policy", "request_", "allowed"),
    [
        ("", anonymous("GET", "/lake/a.csv"), False),
        ("", anonymous("GET", "/"), False),
        ("", anonymous("PUT", "/new-bucket"), False),
        ("", anonymous("GET", "/no-such-bucket/a"), False),
        (PUBLIC, anonymous("GET", "/lake/a.csv"), True),
        (PUBLIC, anonymous("HEAD", "/lake/a.csv"), True),
        (PUBLIC, anonymous("GET", "/lake", "list-type=2"), True),
        (PUBLIC, anonymous("PUT", "/lake/a.csv"), True),
        (PUBLIC, anonymous("PUT", "/lake/a.csv", "acl"), False),
        (PUBLIC, anonymous("PUT", "/lake", "policy"), False),
        (PUBLIC, anonymous("GET", "/lake", "policy"), False),
        (PUBLIC, anonymous("GET", "/other/a.csv"), False),
        (bucket_policy(allow({"AWS": ROOT})), anonymous("GET", "/lake/a.csv"), False),
        (bucket_policy(allow("*", Condition=PLAIN_HTTP)), anonymous("GET", "/lake/a.csv"), False),
        (bucket_policy(allow("*"), deny("*")), anonymous("GET", "/lake/a.csv"), False),
    ],
)
def test_callers_without_a_name(policy: str, request_: Request, allowed: bool, room: Any) -> None:
    """They get what a bucket policy gives to everyone, of objects and lists only, and no explanation."""
    room.account.buckets["lake"] = {"policy": policy} if policy else {}
    error = room.refusal(lambda: room.backing_call(request_, "s3"))
    if allowed:
        assert error is None
    else:
        assert error is not None
        assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Access Denied")


def test_a_form_upload_is_refused_by_name(room: Any) -> None:
    """POST with a policy form, which carries its signature in the body, is not taken for an anonymous call."""
    headers = {"host": "localhost", "content-type": "multipart/form-data; boundary=x"}
    with pytest.raises(AwsError) as refused:
        room.backing_call(Request("POST", "/lake", "", headers, b"--x--"), "s3")
    assert (refused.value.code, refused.value.status) == ("NotImplemented", 501)


class TestPublicAccessBlock:
    """The settings of a bucket that keep it private."""

    def test_restricting_public_buckets(self, room: Any, signed: Signed) -> None:
        """A public policy gives nothing to strangers any more, and still all to the account."""
        room.account.buckets["lake"] = {"policy": PUBLIC}
        room.account.block("lake", RestrictPublicBuckets=True)
        with pytest.raises(AwsError, match="Access Denied"):
            room.backing_call(anonymous("GET", "/lake/a.csv"), "s3")
        ann = room.user("ann")
        room.backing_call(signed(ann, "s3", "GET", "/lake/a.csv"), "s3")

    @pytest.mark.parametrize(
        ("statement", "refused"),
        [
            (allow("*"), True),
            (allow({"AWS": "*"}), True),
            (allow({"AWS": ANN}), False),
            (allow("*", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}), False),
            (allow("*", Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), True),
            (allow("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), False),
            (allow("*", Condition={"StringLike": {"aws:PrincipalOrgID": "o-*"}}), True),
            (allow("*", Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}), True),
            (allow("*", Condition={"Bool": {"aws:SecureTransport": "true"}}), True),
            (deny("*"), False),
        ],
    )
    def test_blocking_public_policies(
        self, statement: dict[str, Any], refused: bool, room: Any, signed: Signed
    ) -> None:
        """A policy for everyone is not taken, not even from an administrator, unless a condition ties it to someone."""
        room.account.buckets["lake"] = {}
        room.account.block("lake", BlockPublicPolicy=True)
        request = signed(room.keys.admin, "s3", "PUT", "/lake?policy", bucket_policy(statement).encode())
        error = room.refusal(lambda: room.backing_call(request, "s3"))
        assert (error is not None) is refused
        if error is not None:
            assert (error.code, error.status) == ("AccessDenied", 403)
            assert error.message.endswith(
                'on resource: "arn:aws:s3:::lake" because public policies are prevented by the BlockPublicPolicy '
                "setting in S3 Block Public Access."
            )

    def test_without_the_block_it_is_taken(self, room: Any, signed: Signed) -> None:
        """A bucket without the setting takes any policy that can be read."""
        room.account.buckets["lake"] = {}
        request = signed(room.keys.admin, "s3", "PUT", "/lake?policy", PUBLIC.encode())
        room.backing_call(request, "s3")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("not json", "Syntax errors in policy."),
        ('{"Statement": []}', "Syntax errors in policy."),
        ('{"Version": "2020-01-01", "Statement": []}', "The policy must contain a valid version string"),
        (bucket_policy(allow("*", Effect="Permit")), "Syntax errors in policy."),
        (bucket_policy(allow("*", Extra=1)), "Syntax errors in policy."),
        (bucket_policy(allow("*", Action=[])), "Syntax errors in policy."),
        (bucket_policy(allow("*", Action=None)), "Policy statement must contain actions."),
        (bucket_policy(allow("*", NotAction="s3:*")), "Syntax errors in policy."),
        (bucket_policy(allow("*", Action="GetObject")), "Actions/Conditions must be prefaced by a vendor"),
        (bucket_policy(allow("*", Resource="lake/*")), 'Resource lake/* must be in ARN format or "*".'),
        (bucket_policy(allow("*", Condition={"StringSame": {"a": "b"}})), "Invalid Condition type : StringSame."),
        (bucket_policy(allow("*", Condition={"Bool": "true"})), "Syntax errors in policy."),
        (bucket_policy(allow({"User": "ann"})), "Invalid principal in policy"),
        (bucket_policy({"Effect": "Allow"}), "Missing required field Principal"),
        (bucket_policy(allow("*", Resource=None)), "Missing required field Resource"),
    ],
)
def test_bucket_policies_that_cannot_be_read(document: str, message: str, room: Any, signed: Signed) -> None:
    """What could not be judged later is refused when it is put."""
    room.account.buckets["lake"] = {}
    with pytest.raises(AwsError) as refused:
        room.backing_call(signed(room.keys.admin, "s3", "PUT", "/lake?policy", document.encode()), "s3")
    assert (refused.value.code, refused.value.status) == ("MalformedPolicy", 400)
    assert message in refused.value.message


ASSUME = {"Effect": "Allow", "Principal": {"AWS": ANN}, "Action": "sts:AssumeRole"}
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@pytest.mark.parametrize(
    ("operation", "field", "statement", "message"),
    [
        ("PutUserPolicy", "PolicyDocument", READ, ""),
        ("CreatePolicyVersion", "PolicyDocument", {**READ, "Principal": "*"}, "should not specify a principal"),
        ("PutRolePolicy", "PolicyDocument", {**READ, "Resource": None}, "must contain resources"),
        ("PutGroupPolicy", "PolicyDocument", {**READ, "Resource": "lake"}, "must be in ARN format"),
        ("CreateRole", "AssumeRolePolicyDocument", ASSUME, ""),
        ("CreateRole", "AssumeRolePolicyDocument", {**ASSUME, "Resource": "*"}, "Has prohibited field Resource"),
        ("CreateRole", "AssumeRolePolicyDocument", {**ASSUME, "Principal": None}, "Missing required field Principal"),
        ("UpdateAssumeRolePolicy", "PolicyDocument", ASSUME, ""),
        ("UpdateAssumeRolePolicy", "PolicyDocument", READ, "Missing required field Principal"),
        ("SimulateCustomPolicy", "PolicyDocument", {"anything": 1}, ""),
    ],
)
def test_policies_in_iam_that_cannot_be_read(
    operation: str, field: str, statement: dict[str, Any], message: str, room: Any, signed: Signed
) -> None:
    """IAM takes what it can judge, and tells identity-based policies from trust policies."""
    kept = {name: value for name, value in statement.items() if value is not None}
    document = json.dumps({"Version": "2012-10-17", "Statement": kept})
    body = urlencode({"Action": operation, field: document, "RoleName": "r", "UserName": "u"}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    error = room.refusal(lambda: room.backing_call(signed(room.keys.admin, "iam", "POST", "/", body, headers), "iam"))
    assert (error is not None) is bool(message)
    if error is not None:
        assert (error.code, error.status) == ("MalformedPolicyDocument", 400)
        assert message in error.message


def test_a_locked_out_root_can_mend_the_policy(room: Any) -> None:
    """A bucket policy that denies everyone denies root too, but not the three calls about the policy itself."""
    statement = deny("*", Action="s3:*", Resource=["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"])
    room.account.buckets["lake"] = {"policy": bucket_policy(statement)}

    def may(action: str, resource: str) -> bool:
        work = room.identity.authorise(root(ACCOUNT), action, [resource], context={}, region="us-east-1")
        return room.refusal(lambda: room.run(work)) is None

    assert not may("s3:GetObject", OBJECT)
    assert not may("s3:PutLifecycleConfiguration", "arn:aws:s3:::lake")
    assert may("s3:DeleteBucketPolicy", "arn:aws:s3:::lake")
    assert may("s3:PutBucketPolicy", "arn:aws:s3:::lake")
    assert may("s3:GetObject", "arn:aws:s3:::other/a.csv")


def test_a_copy_needs_both_ends(room: Any, signed: Signed) -> None:
    """Who may write here and not read there cannot copy from there."""
    room.account.buckets |= {"lake": {}, "other": {}}
    ann = room.user("ann", identity_policy("Allow", "s3:PutObject"))
    copy = signed(ann, "s3", "PUT", "/lake/a", headers={"x-amz-copy-source": "/other/b"})
    with pytest.raises(AwsError, match='s3:GetObject on resource: "arn:aws:s3:::other/b"'):
        room.backing_call(copy, "s3")


def test_a_batch_is_deleted_whole_or_not_at_all(room: Any, signed: Signed) -> None:
    """One object that may not be deleted refuses the call."""
    statement = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::lake/mine/*"}
    ann = room.user("ann", {"Version": "2012-10-17", "Statement": statement})
    room.account.buckets["lake"] = {}

    def delete(*keys: str) -> Request:
        objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        request = signed(ann, "s3", "POST", "/lake?delete", f"<Delete>{objects}</Delete>".encode())
        assert isinstance(request, Request)
        return request

    room.backing_call(delete("mine/a", "mine/b"), "s3")
    with pytest.raises(AwsError, match="lake/yours/b"):
        room.backing_call(delete("mine/a", "yours/b"), "s3")


def test_a_header_in_a_presigned_url_is_judged(room: Any, signed: Signed) -> None:
    """`?x-amz-acl=` in a URL is what the header would be: it needs the same permission, and goes on as a header."""
    ann = room.user("ann", identity_policy("Allow", "s3:PutObject"))
    room.account.buckets["lake"] = {}
    plain = signed(ann, "s3", "PUT", "/lake/a", expires=60)
    authenticated, call = room.backing_call(plain, "s3")
    assert room.identity.forward(plain, authenticated, call).query == ""
    with pytest.raises(AwsError, match="s3:PutObjectAcl"):
        room.backing_call(signed(ann, "s3", "PUT", "/lake/a?x-amz-acl=public-read", expires=60), "s3")
    admins = signed(room.keys.admin, "s3", "PUT", "/lake/a?x-amz-acl=private", expires=60)
    authenticated, call = room.backing_call(admins, "s3")
    forwarded = room.identity.forward(admins, authenticated, call)
    assert (forwarded.query, forwarded.headers["x-amz-acl"]) == ("", "private")
