from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

PUBLIC: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}],
}


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture
def s3(stage: Any) -> Any:
    """S3, with a bucket `data`."""
    client = stage.client("s3")
    client.create_bucket(Bucket="data")
    return client


@pytest.mark.parametrize(
    "key",
    [
        "../up",
        "a/../../b",
        "./a//b/",
        "/lead",
        "trail/",
        "sp ace+%25&=",
        "what?#",
        "日本語/é" * 40,
        "k" * 1024,
        "tab\ty",
    ],
)
@pytest.mark.parametrize("size", [5, 100_000], ids=["row", "file"])
def test_any_key_holds_an_object(s3: Any, key: str, size: int) -> None:
    """Keys are names, not paths: all that S3 takes are kept, listed and deleted as they are."""
    content = (key.encode() * size)[:size]
    s3.put_object(Bucket="data", Key=key, Body=content)
    assert s3.get_object(Bucket="data", Key=key)["Body"].read() == content
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]] == [key]
    s3.delete_object(Bucket="data", Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket="data")


def test_a_longer_key_is_refused(s3: Any) -> None:
    """A key has at most 1,024 bytes."""
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="data", Key="é" * 513, Body=b"")
    assert _code(error) == "KeyTooLongError"


def test_objects_are_encrypted_without_asking(s3: Any) -> None:
    """Since 2023 S3 encrypts each object, and says so on every answer."""
    assert s3.put_object(Bucket="data", Key="k", Body=b"x")["ServerSideEncryption"] == "AES256"
    assert s3.head_object(Bucket="data", Key="k")["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket="data", Key="k")["ServerSideEncryption"] == "AES256"
    assert s3.create_multipart_upload(Bucket="data", Key="m")["ServerSideEncryption"] == "AES256"


def test_kms_names_the_key_that_it_used(s3: Any, stage: Any) -> None:
    """A key given by id or alias is named by its ARN; without one it is the account's key for S3."""
    kms = stage.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=key["KeyId"])
    for given in (key["KeyId"], key["Arn"], "alias/mine"):
        put = s3.put_object(Bucket="data", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=given)
        assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])
    own = s3.put_object(Bucket="data", Key="k", Body=b"x", ServerSideEncryption="aws:kms")["SSEKMSKeyId"]
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"] == own
    assert s3.head_object(Bucket="data", Key="k")["SSEKMSKeyId"] == own


def test_a_bucket_s_default_encryption_counts(s3: Any) -> None:
    """Objects take the bucket's default, with the account's key for S3 where it names none."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="data", ServerSideEncryptionConfiguration={"Rules": [rule]})
    put = s3.put_object(Bucket="data", Key="k", Body=b"x")
    assert put["ServerSideEncryption"] == "aws:kms"
    assert ":key/" in put["SSEKMSKeyId"]


def test_a_key_that_does_not_exist_is_refused(s3: Any) -> None:
    """Encryption with an unknown key fails, and stores nothing."""
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="data", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/none")
    assert _code(error) == "KMS.NotFoundException"
    assert "Contents" not in s3.list_objects_v2(Bucket="data")


def test_new_buckets_block_public_access(s3: Any) -> None:
    """All four settings are on; a public policy is refused until they are lifted."""
    block = s3.get_public_access_block(Bucket="data")["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    with pytest.raises(ClientError) as error:
        s3.put_bucket_policy(Bucket="data", Policy=json.dumps(PUBLIC))
    assert _code(error) == "AccessDenied"
    s3.delete_public_access_block(Bucket="data")
    s3.put_bucket_policy(Bucket="data", Policy=json.dumps(PUBLIC))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("no JSON", "first byte must be"),
        ('{"Statement": []}', "Statement is empty"),
        ('{"Version": "2012"}', "valid version"),
        ('{"Statements": []}', "Unknown field Statements"),
        (json.dumps({"Statement": [{"Effect": "Deny"}]}), "Missing required field Principal"),
        (json.dumps({"Statement": {**PUBLIC["Statement"][0], "Effect": "No"}}), "Invalid effect: No"),
        (json.dumps({"Statement": {**PUBLIC["Statement"][0], "Action": "iam:GetUser"}}), "invalid action"),
        (json.dumps({"Statement": {**PUBLIC["Statement"][0], "Resource": "arn:aws:s3:::other/*"}}), "invalid resource"),
    ],
)
def test_a_policy_that_is_none_is_refused(s3: Any, policy: str, message: str) -> None:
    """A bucket policy that S3 would not take is refused in its words, and changes nothing."""
    with pytest.raises(ClientError, match=message) as error:
        s3.put_bucket_policy(Bucket="data", Policy=policy)
    assert _code(error) == "MalformedPolicy"
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket="data")


@pytest.mark.parametrize("size", [1_000, 200_000], ids=["row", "file"])
def test_versions_are_read_whole_and_in_ranges(s3: Any, size: int) -> None:
    """Each version keeps its bytes; a range of a version is that range, or 416 where there is none."""
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    contents = [bytes([number]) * size for number in range(3)]
    ids = [s3.put_object(Bucket="data", Key="k", Body=content)["VersionId"] for content in contents]
    for version, content in zip(ids, contents, strict=True):
        assert s3.get_object(Bucket="data", Key="k", VersionId=version)["Body"].read() == content
        part = s3.get_object(Bucket="data", Key="k", VersionId=version, Range="bytes=10-19")
        assert part["Body"].read() == content[10:20]
        assert (part["ContentLength"], part["ContentRange"]) == (10, f"bytes 10-19/{size}")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="data", Key="k", VersionId=ids[0], Range=f"bytes={size}-")
    assert _code(error) == "InvalidRange"


def test_deleting_a_version_frees_its_bytes(s3: Any, stage: Any) -> None:
    """A file goes when nothing refers to it any more: not while a copy does, and not the other versions'."""
    files = stage.folder / "objects"
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="data", Key="k", Body=b"1" * 100_000)["VersionId"]
    s3.put_object(Bucket="data", Key="k", Body=b"2" * 100_000)
    copied = s3.copy_object(Bucket="data", Key="copy", CopySource={"Bucket": "data", "Key": "k", "VersionId": first})
    assert len(list(files.iterdir())) == 2
    s3.delete_object(Bucket="data", Key="k", VersionId=first)
    assert len(list(files.iterdir())) == 2
    assert s3.get_object(Bucket="data", Key="copy")["Body"].read() == b"1" * 100_000
    s3.delete_object(Bucket="data", Key="copy", VersionId=copied["VersionId"])
    assert len(list(files.iterdir())) == 1


def test_an_object_does_not_inherit_tags(s3: Any) -> None:
    """A new object under an old key has the tags that its own call names, or none."""
    s3.put_object(Bucket="data", Key="k", Body=b"1", Tagging="a=b")
    s3.put_object(Bucket="data", Key="k", Body=b"2")
    assert s3.get_object_tagging(Bucket="data", Key="k")["TagSet"] == []


def test_too_many_tags(s3: Any) -> None:
    """An object with more than ten tags is refused, and what was there stays."""
    s3.put_object(Bucket="data", Key="k", Body=b"before")
    with pytest.raises(ClientError, match="cannot be greater than 10"):
        s3.put_object(Bucket="data", Key="k", Body=b"x" * 200_000, Tagging="&".join(f"t{n}=v" for n in range(11)))
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"before"


def test_a_refused_upload_leaves_nothing(s3: Any, stage: Any) -> None:
    """The bytes of a PUT that a condition refuses are not kept."""
    s3.put_object(Bucket="data", Key="k", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="data", Key="k", Body=b"y" * 200_000, IfNoneMatch="*")
    assert _code(error) == "PreconditionFailed"
    assert list((stage.folder / "objects").iterdir()) == []
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"x"


def test_virtual_hosts(s3: Any, stage: Any) -> None:
    """A bucket may stand in the host, as AWS's SDKs put it there."""
    s3.put_object(Bucket="data", Key="dir/k", Body=b"there")
    for host in ("data.s3.us-east-1.amazonaws.com", "data.localhost"):
        request = urllib.request.Request(f"{stage.url}/dir/k", headers={"Host": host})
        with urllib.request.urlopen(request, timeout=5) as response:
            assert response.read() == b"there"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses(stage: Any, s3: Any, version: str) -> None:
    """A presigned URL works with keys that ministack does not know; its checks were the gateway's."""
    signer = stage.client("s3", signature_version=version)
    url = signer.generate_presigned_url("put_object", Params={"Bucket": "data", "Key": "k", "Metadata": {"a": "b"}})
    request = urllib.request.Request(url, data=b"signed", method="PUT", headers={"x-amz-meta-a": "b"})
    urllib.request.urlopen(request, timeout=5).close()
    got = s3.get_object(Bucket="data", Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"signed", {"a": "b"})
    override = signer.generate_presigned_url(
        "get_object", Params={"Bucket": "data", "Key": "k", "ResponseContentType": "text/csv"}
    )
    with urllib.request.urlopen(override, timeout=5) as response:
        assert response.headers["content-type"] == "text/csv"


def test_only_a_bucket_s_own_cors_rules_answer(s3: Any, stage: Any) -> None:
    """No answer invites web pages, unless the bucket has rules that do."""
    s3.put_object(Bucket="data", Key="k", Body=b"x")

    def allowed() -> str | None:
        request = urllib.request.Request(f"{stage.url}/data/k", headers={"Origin": "http://localhost:3000"})
        with urllib.request.urlopen(request, timeout=5) as response:
            origin: str | None = response.headers["access-control-allow-origin"]
            return origin

    assert allowed() is None
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["http://localhost:*"]}
    s3.put_bucket_cors(Bucket="data", CORSConfiguration={"CORSRules": [rule]})
    assert allowed() == "http://localhost:3000"
    listed = stage.client("iam").list_users()["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in listed if name.startswith("access-control-")]


def test_a_copy_that_changes_nothing_is_refused(s3: Any) -> None:
    """An object is copied onto itself only to change it, or to bring a version back."""
    same = {"Bucket": "data", "Key": "a b", "CopySource": {"Bucket": "data", "Key": "a b"}}
    with pytest.raises(ClientError) as error:
        s3.copy_object(**same)
    assert _code(error) == "NoSuchKey"
    s3.put_object(Bucket="data", Key="a b", Body=b"x", Metadata={"of": "old"})
    for more in ({}, {"MetadataDirective": "COPY"}, {"TaggingDirective": "REPLACE", "Tagging": "a=b"}):
        with pytest.raises(ClientError, match="trying to copy an object to itself without changing") as error:
            s3.copy_object(**same, **more)
        assert _code(error) == "InvalidRequest"
    assert s3.head_object(Bucket="data", Key="a b")["Metadata"] == {"of": "old"}
    s3.copy_object(**same, StorageClass="STANDARD_IA")
    s3.copy_object(**same, ServerSideEncryption="AES256")
    s3.copy_object(**same, MetadataDirective="REPLACE", Metadata={"of": "new"})
    assert s3.head_object(Bucket="data", Key="a b")["Metadata"] == {"of": "new"}
    s3.copy_object(Bucket="data", Key="other", CopySource={"Bucket": "data", "Key": "a b"})
    s3.create_bucket(Bucket="data-2")
    s3.copy_object(Bucket="data-2", Key="a b", CopySource={"Bucket": "data", "Key": "a b"})
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="data", Key="a b", Body=b"y")["VersionId"]
    s3.copy_object(**{**same, "CopySource": {"Bucket": "data", "Key": "a b", "VersionId": version}})
    with pytest.raises(ClientError, match="to itself"):
        s3.copy_object(**same)


def test_owners_have_an_id_and_no_name(s3: Any) -> None:
    """As S3 answers since November 2025; what an object says is its own."""
    name = b"<?xml version='1.0'?><DisplayName>ministack</DisplayName>"
    s3.put_object(Bucket="data", Key="k", Body=name)
    owners = [
        s3.list_buckets()["Owner"],
        s3.get_bucket_acl(Bucket="data")["Owner"],
        s3.get_object_acl(Bucket="data", Key="k")["Owner"],
        s3.list_objects_v2(Bucket="data", FetchOwner=True)["Contents"][0]["Owner"],
        s3.list_object_versions(Bucket="data")["Versions"][0]["Owner"],
    ]
    assert [sorted(owner) for owner in owners] == [["ID"]] * 5
    assert len({owner["ID"] for owner in owners}) == 1
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == name
