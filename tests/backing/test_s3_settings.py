from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.backing.access_block import complete_access_block
from stagemaker.backing.s3_tags import check_bucket_tags
from stagemaker.wire.errors import AwsError

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@pytest.fixture(scope="module")
def s3(shared: Any) -> Any:
    """S3, with a bucket `data` that holds an object `k`."""
    client = shared.client("s3")
    client.create_bucket(Bucket="data")
    client.put_object(Bucket="data", Key="k", Body=b"x")
    return client


def _tags(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}


def _error(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a", "1"), ("a", "2")], "Cannot provide multiple Tags with the same key"),
        ([("k" * 129, "1")], "The TagKey you have provided is invalid"),
        ([("a&b", "1")], "The TagKey you have provided is invalid"),
        ([("a", "v" * 257)], "The TagValue you have provided is invalid"),
        ([("a", "tab\there")], "The TagValue you have provided is invalid"),
    ],
)
def test_tags_that_s3_would_not_take_are_refused(s3: Any, pairs: list[tuple[str, str]], message: str) -> None:
    """Of a bucket as of an object; the tags that were there stay."""
    s3.put_bucket_tagging(Bucket="data", Tagging=_tags([("team", "lake")]))
    s3.put_object_tagging(Bucket="data", Key="k", Tagging=_tags([("team", "lake")]))
    with pytest.raises(ClientError) as of_bucket:
        s3.put_bucket_tagging(Bucket="data", Tagging=_tags(pairs))
    with pytest.raises(ClientError) as of_object:
        s3.put_object_tagging(Bucket="data", Key="k", Tagging=_tags(pairs))
    assert _error(of_bucket) == _error(of_object) == ("InvalidTag", message)
    assert s3.get_bucket_tagging(Bucket="data")["TagSet"] == _tags([("team", "lake")])["TagSet"]
    assert s3.get_object_tagging(Bucket="data", Key="k")["TagSet"] == _tags([("team", "lake")])["TagSet"]


def test_names_that_begin_with_aws_are_reserved(s3: Any) -> None:
    """They are for AWS's own tags; a key may hold `aws:` further on."""
    reserved = _tags([("aws:team", "lake")])
    with pytest.raises(ClientError) as error:
        s3.put_bucket_tagging(Bucket="data", Tagging=reserved)
    assert _error(error) == ("InvalidTag", "System tags cannot be added/updated by requester")
    with pytest.raises(ClientError) as error:
        s3.put_object_tagging(Bucket="data", Key="k", Tagging=reserved)
    assert _error(error) == ("InvalidTag", "Your TagKey cannot be prefixed with aws:")
    s3.put_bucket_tagging(Bucket="data", Tagging=_tags([("my:aws:team", "lake")]))


def test_tags_are_counted(s3: Any) -> None:
    """A bucket has at most 50 tags, an object at most 10."""
    pairs = [(f"Schlüssel {number}", "a+b-c=d._:/@ é日") for number in range(51)]
    s3.put_bucket_tagging(Bucket="data", Tagging=_tags(pairs[:50]))
    s3.put_object_tagging(Bucket="data", Key="k", Tagging=_tags(pairs[:10]))
    with pytest.raises(ClientError) as error:
        s3.put_bucket_tagging(Bucket="data", Tagging=_tags(pairs))
    assert _error(error) == ("BadRequest", "Bucket tag count cannot be greater than 50")
    with pytest.raises(ClientError) as error:
        s3.put_object_tagging(Bucket="data", Key="k", Tagging=_tags(pairs[:11]))
    assert _error(error) == ("BadRequest", "Object tags cannot be greater than 10")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("=1", "InvalidArgument"),
        ("aws:a=1", "InvalidTag"),
        ("a=b%26c", "InvalidTag"),
        ("&".join(f"k{number}=v" for number in range(11)), "BadRequest"),
    ],
)
def test_tags_that_come_with_an_object_are_checked(s3: Any, header: str, code: str) -> None:
    """The same holds for PutObject and for an upload in parts, and nothing is stored."""
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="data", Key="tagged", Body=b"x", Tagging=header)
    assert _error(error)[0] == code
    with pytest.raises(ClientError) as error:
        s3.create_multipart_upload(Bucket="data", Key="tagged", Tagging=header)
    assert _error(error)[0] == code
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="data")["Contents"]] == ["k"]


def test_a_tag_in_the_header_may_lack_a_value(s3: Any) -> None:
    """S3 takes a name alone, and empty pairs."""
    s3.put_object(Bucket="data", Key="k", Body=b"x", Tagging="&a&b=2&")
    found = s3.get_object_tagging(Bucket="data", Key="k")["TagSet"]
    assert {each["Key"]: each["Value"] for each in found} == {"a": "", "b": "2"}


@pytest.mark.parametrize(
    "body",
    [
        "<Tagging>",
        "<Tagging/>",
        "<TagSet/>",
        "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        "<Tagging><TagSet><Tag><Key>a</Key><Key>b</Key><Value>c</Value></Tag></TagSet></Tagging>",
    ],
)
def test_tags_that_are_not_in_the_schema_are_refused(body: str) -> None:
    """A document that no client library would send is malformed."""
    with pytest.raises(AwsError) as error:
        check_bucket_tags(body.encode())
    assert error.value.code == "MalformedXML"


def test_blocks_that_are_not_named_are_off(s3: Any) -> None:
    """PutPublicAccessBlock sets all four: GetPublicAccessBlock says false of what it left out."""
    s3.put_public_access_block(Bucket="data", PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    found = s3.get_public_access_block(Bucket="data")["PublicAccessBlockConfiguration"]
    assert found == {**dict.fromkeys(BLOCKS, False), "BlockPublicPolicy": True}
    with pytest.raises(ClientError) as error:
        s3.put_public_access_block(Bucket="data", PublicAccessBlockConfiguration={})
    assert _error(error)[0] == "MalformedXML"


@pytest.mark.parametrize("members", ["<BlockAll>true</BlockAll>", "<BlockPublicAcls>yes</BlockPublicAcls>"])
def test_blocks_that_are_not_in_the_schema_are_refused(members: str) -> None:
    """So is a block that there is not, or a value that is neither true nor false."""
    with pytest.raises(AwsError) as error:
        complete_access_block(f"<PublicAccessBlockConfiguration>{members}</PublicAccessBlockConfiguration>".encode())
    assert error.value.code == "MalformedXML"


def test_the_null_version_is_named_to_readers(s3: Any) -> None:
    """Objects from before versioning, and from while it is suspended, are read as version `null`.

    As on AWS, PutObject names a version only while versioning is enabled.
    """
    s3.create_bucket(Bucket="versions")

    def put() -> str | None:
        answer: str | None = s3.put_object(Bucket="versions", Key="k", Body=b"xy").get("VersionId")
        return answer

    def read() -> set[str | None]:
        ways: tuple[dict[str, str], ...] = ({}, {"Range": "bytes=0-0"}, {"VersionId": "null"})
        got = {s3.get_object(Bucket="versions", Key="k", **way).get("VersionId") for way in ways}
        return got | {s3.head_object(Bucket="versions", Key="k").get("VersionId")}

    def set_versioning(status: str) -> None:
        s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": status})

    assert (put(), read()) == (None, {None})
    set_versioning("Enabled")
    assert read() == {"null"}
    version = put()
    assert version not in {None, "null"}
    assert read() == {version, "null"}
    set_versioning("Suspended")
    assert (put(), read()) == (None, {"null"})
    assert {each["VersionId"] for each in s3.list_object_versions(Bucket="versions")["Versions"]} == {version, "null"}
