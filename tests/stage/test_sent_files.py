"""Objects that the kernel sends by itself arrive whole, by the port and by the stage's own socket."""

from __future__ import annotations

import io
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from stagemaker.jobs.local_connection import LocalConnection
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.spec import S3Uri
from stagemaker.ports import Credentials

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

PART = 5 * 2**20
BODY = os.urandom(PART) + os.urandom(PART // 3)


@pytest.fixture
def runners(account: Account) -> ObjectClient:
    """A client as a job's runner has it."""
    variables = account.stage.environment()
    keys = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], "")
    return ObjectClient(account.stage.folder.stage_file, "us-east-1", keys)


def test_object_of_two_parts_and_its_ranges(account: Account, runners: ObjectClient) -> None:
    """Whole, in ranges within a part and over both, and on a connection that is used again."""
    s3 = account.client("s3")
    upload = s3.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(BODY), PART), start=1):
        sent = s3.upload_part(
            Bucket="data", Key="k", UploadId=upload, PartNumber=number, Body=BODY[start : start + PART]
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(Bucket="data", Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == BODY
    for first, last in ((0, 0), (PART - 10, PART + 10), (len(BODY) - 5, len(BODY) - 1)):
        body = s3.get_object(Bucket="data", Key="k", Range=f"bytes={first}-{last}")["Body"].read()
        assert body == BODY[first : last + 1]
    if sys.platform == "linux":
        address = urlsplit(account.stage.endpoint)
        with closing(LocalConnection(address.hostname or "", address.port, timeout=30)) as connection:
            connection.connect()
    for _ in range(2):
        assert runners.open(S3Uri("data", "k")).read() == BODY
    runners.close()


def test_client_that_hangs_up_is_no_trouble(account: Account, runners: ObjectClient) -> None:
    """In the middle of an object, by either way: the stage serves on and its log says nothing."""
    s3 = account.client("s3")
    s3.upload_fileobj(io.BytesIO(BODY * 4), "data", "k")
    log = account.stage.folder.stage_log
    before = log.read_text()
    for _ in range(3):
        assert len(runners.open(S3Uri("data", "k")).read(10)) == 10
        runners.close()
        body = s3.get_object(Bucket="data", Key="k")["Body"]
        body.read(10)
        body.close()
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == BODY * 4
    assert log.read_text() == before
