"""The permissions that an S3 call needs.

After "Actions, resources, and condition keys for Amazon S3" of the Service Authorization Reference and
"Required permissions for Amazon S3 API operations" of S3's user guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, unquote

from stagemaker.identity.actions import Call, Permission
from stagemaker.identity.backing import parse_xml, text_of
from stagemaker.identity.context import request_context
from stagemaker.identity.documents import PolicyKind
from stagemaker.identity.s3_routes import S3Request, read_s3_request
from stagemaker.wire.errors import AwsError, UnsupportedError
from stagemaker.wire.message import Request

_MOST_DELETED = 1000

# Operations whose action is not `s3:` and their own name.
_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    **{
        f"{verb}Bucket{kind}Configuration{plural}": f"{access}{kind}Configuration"
        for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")
        for verb, plural, access in (
            ("Get", "", "Get"),
            ("List", "s", "Get"),
            ("Put", "", "Put"),
            ("Delete", "", "Put"),
        )
    },
}

# Actions that a version id turns into ones of their own.
_OF_VERSIONS = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "PutObjectAcl": "PutObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObjectTorrent": "GetObjectVersionTorrent",
}
_WRITES = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload"})
_HEADER_KEYS = (
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-object-ownership",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "if-match",
    "if-none-match",
)
_QUERY_KEYS = {
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
    "versionId": "s3:VersionId",
}


def describe_s3(request: Request, *, presigned: bool) -> Call:
    """The S3 call that `request` makes. Raises AwsError when it is not clear what it touches."""
    s3 = read_s3_request(request)
    permissions = tuple(_permissions(s3, request))
    policy = request.body.decode("utf-8", "replace") if s3.operation == "PutBucketPolicy" else ""
    context = _context(s3, request, presigned=presigned)
    where = (s3.bucket, s3.key, s3.virtual_host)
    return Call("s3", s3.operation, permissions, context, s3.query, *where, policy, PolicyKind.BUCKET)


def _permissions(s3: S3Request, request: Request) -> Iterator[Permission]:
    operation, headers = s3.operation, request.headers
    where = _arn(s3.bucket, s3.key)
    if operation == "DeleteObjects":
        yield from _batch(s3.bucket, request.body)
    else:
        yield Permission(_action(operation, versioned="versionId" in s3.query), where)
    if operation == "GetObjectAttributes":
        yield Permission(_action("GetObject", versioned="versionId" in s3.query), where)
    if operation in {"CopyObject", "UploadPartCopy"}:
        yield _source(headers["x-amz-copy-source"])
    if operation in _WRITES:
        yield from (Permission(action, where) for action in _riders(headers))
    if operation == "CreateBucket":
        yield from (Permission(action, where) for action in _bucket_riders(headers))
    if operation.startswith(("DeleteObject", "PutObjectRetention")) and _is_true(
        headers, "x-amz-bypass-governance-retention"
    ):
        yield Permission("s3:BypassGovernanceRetention", where if s3.key else _arn(s3.bucket, "*"))


def _action(operation: str, *, versioned: bool) -> str:
    action = _ACTIONS.get(operation, operation)
    return f"s3:{_OF_VERSIONS.get(action, action) if versioned else action}"


def _arn(bucket: str, key: str) -> str:
    if not bucket:
        return "*"
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def _riders(headers: Mapping[str, str]) -> Iterator[str]:
    """What a write does beside storing bytes."""
    if "x-amz-acl" in headers or any(name.startswith("x-amz-grant-") for name in headers):
        yield "s3:PutObjectAcl"
    if "x-amz-tagging" in headers:
        yield "s3:PutObjectTagging"
    if "x-amz-object-lock-mode" in headers or "x-amz-object-lock-retain-until-date" in headers:
        yield "s3:PutObjectRetention"
    if "x-amz-object-lock-legal-hold" in headers:
        yield "s3:PutObjectLegalHold"


def _bucket_riders(headers: Mapping[str, str]) -> Iterator[str]:
    if "x-amz-acl" in headers or any(name.startswith("x-amz-grant-") for name in headers):
        yield "s3:PutBucketAcl"
    if "x-amz-object-ownership" in headers:
        yield "s3:PutBucketOwnershipControls"
    if _is_true(headers, "x-amz-bucket-object-lock-enabled"):
        yield "s3:PutBucketObjectLockConfiguration"
        yield "s3:PutBucketVersioning"


def _is_true(headers: Mapping[str, str], name: str) -> bool:
    return headers.get(name, "").lower() == "true"


def _source(header: str) -> Permission:
    """Reading the source of a copy: `/bucket/key`, percent-encoded, perhaps with `?versionId=`."""
    path, question, version = header.partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if bucket.startswith("arn:"):
        raise UnsupportedError("Stagemaker copies from buckets, not from access points.")
    if not bucket or not key or (question and not version) or not header.isascii():
        raise AwsError("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return Permission(_action("GetObject", versioned=bool(question)), _arn(bucket, key))


def _batch(bucket: str, body: bytes) -> Iterator[Permission]:
    """One permission per object of a DeleteObjects call. All must be held, or nothing is deleted."""
    try:
        document = parse_xml(body)
    except ValueError:
        document = None
    objects = [] if document is None else document.findall("Object")
    if not 0 < len(objects) <= _MOST_DELETED or not all(text_of(one, "Key") for one in objects):
        raise AwsError(
            "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
        )
    for one in objects:
        versioned = one.find("VersionId") is not None
        yield Permission(_action("DeleteObject", versioned=versioned), _arn(bucket, text_of(one, "Key")))


def _context(s3: S3Request, request: Request, *, presigned: bool) -> dict[str, str | Sequence[str]]:
    context: dict[str, str | Sequence[str]] = {
        **request_context(request),
        "s3:authType": "REST-QUERY-STRING" if presigned else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    for name, key in _QUERY_KEYS.items():
        if name in s3.query:
            context[key] = s3.query[name]
    for header in _HEADER_KEYS:
        if header in request.headers:
            context[f"s3:{header}"] = request.headers[header]
    tags = dict(_tags(s3, request))
    for name, value in tags.items():
        context[f"s3:RequestObjectTag/{name}"] = value
    if tags:
        context["s3:RequestObjectTagKeys"] = list(tags)
    return context


def _tags(s3: S3Request, request: Request) -> Iterator[tuple[str, str]]:
    """The tags that the call would put on an object: in a header, or in PutObjectTagging's body."""
    yield from parse_qsl(request.headers.get("x-amz-tagging", ""), keep_blank_values=True)
    if s3.operation == "PutObjectTagging":
        try:
            document = parse_xml(request.body)
        except ValueError:
            return  # S3 itself refuses it as MalformedXML
        for tag in document.iterfind(".//Tag"):
            yield text_of(tag, "Key"), text_of(tag, "Value")
