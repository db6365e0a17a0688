from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from stagemaker.backing.checksums import checksum
from stagemaker.backing.multipart import MINIMUM_PART

PART = MINIMUM_PART
CONTENT = random.Random(3).randbytes(2 * PART + 1000)
PARTS = [CONTENT[:PART], CONTENT[PART : 2 * PART], CONTENT[2 * PART :]]


@pytest.fixture
def s3(stage: Any) -> Any:
    """S3, with a bucket `data`."""
    client = stage.client("s3")
    client.create_bucket(Bucket="data")
    return client


def _upload(s3: Any, parts: list[bytes], **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """Start an upload and send `parts`: its id, and what completes it."""
    upload = s3.create_multipart_upload(Bucket="data", Key="k", **options)["UploadId"]
    algorithm = {"ChecksumAlgorithm": options["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in options else {}
    sent = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket="data", Key="k", UploadId=upload, PartNumber=number, Body=part, **algorithm)
        sums = {
            name: value for name, value in answer.items() if name in {"ChecksumCRC32", "ChecksumSHA256"} and algorithm
        }
        sent.append({"PartNumber": number, "ETag": answer["ETag"], **sums})
    return upload, sent


def _complete(s3: Any, upload: str, parts: list[dict[str, Any]]) -> Any:
    return s3.complete_multipart_upload(Bucket="data", Key="k", UploadId=upload, MultipartUpload={"Parts": parts})


def test_the_parts_are_the_object(s3: Any, stage: Any) -> None:
    """The object reads as the parts in order, whole and in ranges across them, with S3's ETag; nothing is copied."""
    upload, parts = _upload(s3, PARTS)
    files = {file.name for file in (stage.folder / "objects").iterdir()}
    done = _complete(s3, upload, parts)
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in PARTS)
    assert done["ETag"] == f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-3"'
    assert done["Location"] == f"https://127.0.0.1:{stage.port}/data/k"
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == CONTENT
    crossing = s3.get_object(Bucket="data", Key="k", Range=f"bytes={PART - 5}-{2 * PART + 4}")["Body"].read()
    assert crossing == CONTENT[PART - 5 : 2 * PART + 5]
    second = s3.get_object(Bucket="data", Key="k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (PARTS[1], 3)
    assert {file.name for file in (stage.folder / "objects").iterdir()} == files
    s3.delete_object(Bucket="data", Key="k")
    assert list((stage.folder / "objects").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"ChecksumAlgorithm": "CRC32"}, "COMPOSITE"),
        ({"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}, "FULL_OBJECT"),
        ({"ChecksumAlgorithm": "SHA256"}, "COMPOSITE"),
    ],
)
def test_checksums_of_the_whole(s3: Any, options: dict[str, str], kind: str) -> None:
    """The object has the checksum of its parts' checksums, or of all its bytes where that was asked for."""
    upload, parts = _upload(s3, PARTS, **options)
    name = f"Checksum{options['ChecksumAlgorithm']}"
    done = _complete(s3, upload, parts)
    head = s3.head_object(Bucket="data", Key="k", ChecksumMode="ENABLED")
    assert (done["ChecksumType"], head["ChecksumType"], head[name]) == (kind, kind, done[name])
    if kind == "FULL_OBJECT":
        assert done[name] == checksum("CRC32", [CONTENT])
    else:
        assert done[name].endswith("-3")


def test_tags_named_at_the_start_are_the_object_s(s3: Any) -> None:
    """Tags given when an upload starts are on the object when it is complete; without, it has none."""
    for tagging, expected in (("a=b", [{"Key": "a", "Value": "b"}]), ("", [])):
        upload, parts = _upload(s3, [b"x"], Tagging=tagging)
        _complete(s3, upload, parts)
        assert s3.get_object_tagging(Bucket="data", Key="k")["TagSet"] == expected


def test_small_parts_are_refused(s3: Any) -> None:
    """Only the last part may be below 5 MB; the upload stays, to be mended."""
    upload, parts = _upload(s3, [b"small", b"last"])
    with pytest.raises(ClientError) as error:
        _complete(s3, upload, parts)
    assert error.value.response["Error"]["Code"] == "EntityTooSmall"
    assert len(s3.list_parts(Bucket="data", Key="k", UploadId=upload)["Parts"]) == 2
    _complete(s3, upload, parts[:1])
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"small"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [*parts, {"PartNumber": 9, "ETag": "x"}], "InvalidPart"),
        (lambda parts: [{**parts[0], "ETag": '"0"'}], "InvalidPart"),
        (lambda _: [], "MalformedXML"),
    ],
)
def test_a_list_of_parts_that_is_wrong(s3: Any, change: Callable[[list[Any]], list[Any]], code: str) -> None:
    """Parts must have been sent, be named by their ETags, and stand in order."""
    upload, parts = _upload(s3, [b"a", b"b"])
    with pytest.raises(ClientError) as error:
        _complete(s3, upload, change(parts))
    assert error.value.response["Error"]["Code"] == code


def test_completing_again_gives_the_same_answer(s3: Any) -> None:
    """A client that missed the answer may ask again; no second version is made."""
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    upload, parts = _upload(s3, [b"a"])
    assert _complete(s3, upload, parts)["VersionId"] == _complete(s3, upload, parts)["VersionId"]
    assert len(s3.list_object_versions(Bucket="data")["Versions"]) == 1


def test_abort_frees_the_parts(s3: Any, stage: Any) -> None:
    """An aborted upload is gone, with its files; so is one whose bucket was deleted."""
    upload, _ = _upload(s3, [b"a" * 200_000])
    s3.abort_multipart_upload(Bucket="data", Key="k", UploadId=upload)
    _upload(s3, [b"b" * 200_000])
    s3.delete_bucket(Bucket="data")
    assert list((stage.folder / "objects").iterdir()) == []
    s3.create_bucket(Bucket="data")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="data")


def test_boto3_s_transfers(s3: Any) -> None:
    """Uploads, downloads and copies that boto3 splits by itself give the same bytes."""
    split = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    s3.upload_fileobj(io.BytesIO(CONTENT), "data", "up", Config=split)
    s3.copy({"Bucket": "data", "Key": "up"}, "data", "copy", Config=split)
    down = io.BytesIO()
    s3.download_fileobj("data", "copy", down, Config=split)
    assert down.getvalue() == CONTENT
