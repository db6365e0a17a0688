"""What an S3 request asks for, and which permissions that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.identity.s3_actions import describe_s3
from stagemaker.identity.s3_routes import read_s3_request, streams
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

NOT_HERE = {"CreateSession", "ListDirectoryBuckets", "WriteGetObjectResponse"}
SAME_ON_THE_WIRE = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}


def request(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
    """A request to a path-style address."""
    path, _, query = target.partition("?")
    return Request(method, path, query, {"host": "localhost:4566", **(headers or {})}, body)


def permissions(asked: Request) -> set[tuple[str, str]]:
    """The permissions that the request needs, without the common ARN prefix."""
    call = describe_s3(asked, presigned=False)
    return {(one.action, one.resource.removeprefix("arn:aws:s3:::")) for one in call.permissions}


@pytest.fixture(scope="module")
def s3() -> Any:
    """A client whose requests are kept instead of sent."""
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://localhost:4566",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="example",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )

    def keep(request: AWSPreparedRequest, **_: object) -> None:
        raise KeptError(request)

    client.meta.events.register("before-send", keep)
    return client


class KeptError(Exception):
    """Carries a request out of botocore."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def test_every_operation_is_recognised(s3: Any) -> None:
    """Whatever botocore sends for an operation of S3 is understood as that operation, on that bucket and key."""
    wrong = {}
    for name in sorted(set(s3.meta.service_model.operation_names) - NOT_HERE):
        shape = s3.meta.service_model.operation_model(name).input_shape
        parameters = {} if shape is None else _smallest(shape, name)
        with pytest.raises(KeptError) as kept:
            s3._make_api_call(name, parameters)
        sent = kept.value.request
        url = urlsplit(sent.url)
        headers = {key.lower(): str(value) for key, value in sent.headers.items()}
        found = read_s3_request(Request(sent.method, url.path, url.query, headers))
        expected = (SAME_ON_THE_WIRE.get(name, name), parameters.get("Bucket", ""), parameters.get("Key", ""))
        if (found.operation, found.bucket, found.key) != expected:
            wrong[name] = found
    assert wrong == {}


def _smallest(shape: Shape, name: str = "") -> Any:
    """A value that botocore takes, with required members only."""
    if isinstance(shape, StructureShape):
        names = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
        return {member: _smallest(shape.members[member], member) for member in names}
    if isinstance(shape, ListShape):
        return [_smallest(shape.member)]
    if isinstance(shape, MapShape):
        return {}
    if name == "CopySource":
        return "lake/raw/a.csv"
    values = {
        "string": "a-bucket-of-a-good-length" if name != "Key" else "raw/a b.csv",
        "integer": 1,
        "long": 1,
        "boolean": True,
    }
    return {**values, "timestamp": 0, "blob": b"", "float": 1.0}[shape.type_name]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("GET", "/"), {("s3:ListAllMyBuckets", "*")}),
        (request("PUT", "/lake"), {("s3:CreateBucket", "lake")}),
        (
            request("PUT", "/lake", {"x-amz-acl": "public-read", "x-amz-bucket-object-lock-enabled": "true"}),
            {
                ("s3:CreateBucket", "lake"),
                ("s3:PutBucketAcl", "lake"),
                ("s3:PutBucketObjectLockConfiguration", "lake"),
                ("s3:PutBucketVersioning", "lake"),
            },
        ),
        (request("HEAD", "/lake"), {("s3:ListBucket", "lake")}),
        (request("GET", "/lake/"), {("s3:ListBucket", "lake")}),
        (request("GET", "/lake?list-type=2&prefix=raw%2F"), {("s3:ListBucket", "lake")}),
        (request("GET", "/lake?versions"), {("s3:ListBucketVersions", "lake")}),
        (request("GET", "/lake?policy"), {("s3:GetBucketPolicy", "lake")}),
        (request("PUT", "/lake?policy"), {("s3:PutBucketPolicy", "lake")}),
        (request("PUT", "/lake?encryption"), {("s3:PutEncryptionConfiguration", "lake")}),
        (request("DELETE", "/lake?lifecycle"), {("s3:PutLifecycleConfiguration", "lake")}),
        (request("GET", "/lake?inventory&id=1"), {("s3:GetInventoryConfiguration", "lake")}),
        (request("GET", "/lake?inventory"), {("s3:GetInventoryConfiguration", "lake")}),
        (request("GET", "/lake?publicAccessBlock"), {("s3:GetBucketPublicAccessBlock", "lake")}),
        (request("GET", "/lake/raw/a%20b.csv"), {("s3:GetObject", "lake/raw/a b.csv")}),
        (request("HEAD", "/lake/a"), {("s3:GetObject", "lake/a")}),
        (request("GET", "/lake/a?versionId=3"), {("s3:GetObjectVersion", "lake/a")}),
        (request("GET", "/lake/a?acl&versionId=3"), {("s3:GetObjectVersionAcl", "lake/a")}),
        (request("GET", "/lake/a?tagging"), {("s3:GetObjectTagging", "lake/a")}),
        (
            request("GET", "/lake/a?attributes&versionId=3"),
            {("s3:GetObjectVersionAttributes", "lake/a"), ("s3:GetObjectVersion", "lake/a")},
        ),
        (request("PUT", "/lake/a"), {("s3:PutObject", "lake/a")}),
        (
            request("PUT", "/lake/a", {"x-amz-tagging": "a=b", "x-amz-acl": "private", "x-amz-object-lock-mode": "G"}),
            {
                ("s3:PutObject", "lake/a"),
                ("s3:PutObjectTagging", "lake/a"),
                ("s3:PutObjectAcl", "lake/a"),
                ("s3:PutObjectRetention", "lake/a"),
            },
        ),
        (
            request("PUT", "/lake/a", {"x-amz-copy-source": "/other/b%20c?versionId=7"}),
            {("s3:PutObject", "lake/a"), ("s3:GetObjectVersion", "other/b c")},
        ),
        (
            request("PUT", "/lake/a?partNumber=1&uploadId=u", {"x-amz-copy-source": "other/b"}),
            {("s3:PutObject", "lake/a"), ("s3:GetObject", "other/b")},
        ),
        (request("POST", "/lake/a?uploads"), {("s3:PutObject", "lake/a")}),
        (request("PUT", "/lake/a?partNumber=1&uploadId=u"), {("s3:PutObject", "lake/a")}),
        (request("POST", "/lake/a?uploadId=u"), {("s3:PutObject", "lake/a")}),
        (request("GET", "/lake/a?uploadId=u"), {("s3:ListMultipartUploadParts", "lake/a")}),
        (request("DELETE", "/lake/a?uploadId=u"), {("s3:AbortMultipartUpload", "lake/a")}),
        (request("DELETE", "/lake/a"), {("s3:DeleteObject", "lake/a")}),
        (
            request("DELETE", "/lake/a?versionId=3", {"x-amz-bypass-governance-retention": "true"}),
            {("s3:DeleteObjectVersion", "lake/a"), ("s3:BypassGovernanceRetention", "lake/a")},
        ),
        (
            request(
                "POST",
                "/lake?delete",
                body=b"<Delete><Object><Key>a</Key></Object>"
                b"<Object><Key>b&amp;c</Key><VersionId>3</VersionId></Object></Delete>",
            ),
            {("s3:DeleteObject", "lake/a"), ("s3:DeleteObjectVersion", "lake/b&c")},
        ),
        (request("POST", "/lake/a?select&select-type=2"), {("s3:GetObject", "lake/a")}),
        (request("POST", "/lake/a?restore"), {("s3:RestoreObject", "lake/a")}),
    ],
    ids=lambda value: f"{value.method} {value.path}?{value.query}" if isinstance(value, Request) else "",
)
def test_permissions(asked: Request, expected: set[tuple[str, str]]) -> None:
    """Each request needs the permissions that S3's user guide lists for it."""
    assert permissions(asked) == expected


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("lake.s3.amazonaws.com", "lake"),
        ("lake.s3.eu-west-1.amazonaws.com", "lake"),
        ("my.lake.s3.dualstack.eu-west-1.amazonaws.com:443", "my.lake"),
        ("lake.s3-us-west-2.amazonaws.com", "lake"),
        ("lake.localhost:4566", "lake"),
        ("lake.s3.localhost", "lake"),
        ("lake.s3.us-east-1.localhost:4566", "lake"),
    ],
)
def test_a_bucket_in_the_host_name(host: str, bucket: str) -> None:
    """A virtual-hosted address names the bucket in the host and the key in the whole path."""
    found = read_s3_request(Request("GET", "/raw/a.csv", "", {"host": host}))
    assert (found.bucket, found.key, found.virtual_host) == (bucket, "raw/a.csv", True)


@pytest.mark.parametrize("host", ["localhost:4566", "127.0.0.1:4566", "s3.amazonaws.com", "s3.localhost", "[::1]:4566"])
def test_a_bucket_in_the_path(host: str) -> None:
    """Other addresses name the bucket in the path."""
    found = read_s3_request(Request("GET", "/lake/raw/a.csv", "", {"host": host}))
    assert (found.bucket, found.key, found.virtual_host) == ("lake", "raw/a.csv", False)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("GET", "/lake?policy&acl"), "InvalidArgument"),
        (request("GET", "/lake/a?tagging&uploadId=u"), "InvalidArgument"),
        (request("PUT", "/lake/a?acl&partNumber=1&uploadId=u"), "InvalidArgument"),
        (request("GET", "/lake/a?versionId=1&versionId=2"), "InvalidArgument"),
        (request("GET", "/lake/%ff"), "InvalidURI"),
        (request("GET", "//lake/a"), "InvalidBucketName"),
        (request("PATCH", "/lake/a"), "MethodNotAllowed"),
        (request("POST", "/lake"), "MethodNotAllowed"),
        (request("PUT", "/lake/a", {"x-amz-copy-source": "other"}), "InvalidArgument"),
        (request("PUT", "/lake/a", {"x-amz-copy-source": "other/\xe9"}), "InvalidArgument"),
        (request("POST", "/lake?delete", body=b"<Delete></Delete>"), "MalformedXML"),
        (
            request("POST", "/lake?delete", body=b"<!DOCTYPE x><Delete><Object><Key>a</Key></Object></Delete>"),
            "MalformedXML",
        ),
        (Request("GET", "/a", "", {"host": "123456789012.s3-control.us-east-1.amazonaws.com"}), "InvalidRequest"),
    ],
    ids=lambda value: f"{value.method} {value.path}?{value.query}" if isinstance(value, Request) else "",
)
def test_what_is_not_clear_is_refused(asked: Request, code: str) -> None:
    """A request that the backing could read in another way than it was authorised never gets that far."""
    with pytest.raises(AwsError) as refused:
        describe_s3(asked, presigned=False)
    assert refused.value.code == code


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_key_comes_back(key: str) -> None:
    """The key in the permission is the key that the client meant, however odd."""
    asked = request("GET", f"/lake/{quote(key, safe='/')}")
    assert read_s3_request(asked).key == key


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("PUT", "/lake/a"), True),
        (request("PUT", "/lake/a?partNumber=1&uploadId=u"), True),
        (request("PUT", "/lake/a?tagging"), False),
        (request("PUT", "/lake?policy"), False),
        (request("PUT", "/lake/a", {"x-amz-copy-source": "b/c"}), False),
        (request("GET", "/lake/a?policy&acl"), False),
    ],
    ids=str,
)
def test_only_objects_stream(asked: Request, expected: bool) -> None:
    """A body that has to be read for the decision is no object's, and is small."""
    assert streams(asked) is expected


def test_the_context_of_a_call() -> None:
    """Headers, query and tags become the condition keys that policies ask for."""
    headers = {"x-amz-server-side-encryption": "aws:kms", "x-amz-tagging": "team=churn&x=y", "user-agent": "boto"}
    context = describe_s3(request("PUT", "/lake/a", headers), presigned=True).context
    assert context["s3:x-amz-server-side-encryption"] == "aws:kms"
    assert context["s3:RequestObjectTag/team"] == "churn"
    assert context["s3:RequestObjectTagKeys"] == ["team", "x"]
    assert context["s3:authType"] == "REST-QUERY-STRING"
    assert context["aws:UserAgent"] == "boto"
    listing = describe_s3(request("GET", "/lake?list-type=2&prefix=raw%2F&delimiter=%2F"), presigned=False).context
    assert (listing["s3:prefix"], listing["s3:delimiter"]) == ("raw/", "/")


def test_tags_in_a_body_count() -> None:
    """PutObjectTagging's tags are in its body, and are judged like a header's."""
    body = b"<Tagging><TagSet><Tag><Key>team</Key><Value>churn</Value></Tag></TagSet></Tagging>"
    context = describe_s3(request("PUT", "/lake/a?tagging", body=body), presigned=False).context
    assert context["s3:RequestObjectTag/team"] == "churn"


def test_a_listing_of_one_prefix(room: Any, signed: Callable[..., Request]) -> None:
    """A policy on `s3:prefix` lets a user list one folder and no other."""
    statement = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::lake",
        "Condition": {"StringLike": {"s3:prefix": "${aws:username}/*"}},
    }
    ann = room.user("ann", {"Version": "2012-10-17", "Statement": statement})

    def listing(query: str) -> AwsError | None:
        error = room.refusal(lambda: room.backing_call(signed(ann, "s3", "GET", f"/lake?{query}"), "s3"))
        assert error is None or isinstance(error, AwsError)
        return error

    assert listing("list-type=2&prefix=ann%2Fraw") is None
    assert listing("list-type=2&prefix=bob%2Fraw") is not None
    assert listing("list-type=2") is not None
