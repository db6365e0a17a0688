from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import time
from typing import Any

import pytest

from stagemaker.backing.checksums import ALGORITHMS, checksum

SMALL, LARGE = b"hello", bytes(range(256)) * 10_000


@pytest.fixture
def s3(stage: Any) -> Any:
    """S3, with a bucket `data`."""
    client = stage.client("s3")
    client.create_bucket(Bucket="data")
    return client


def _put(stage: Any, body: bytes, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """PUT /data/k, unsigned: status, body and headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=10)
    connection.request("PUT", "/data/k", body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return answer


def _is_clean(s3: Any, stage: Any) -> bool:
    """Whether nothing was stored and no file was left."""
    return "Contents" not in s3.list_objects_v2(Bucket="data") and not list((stage.folder / "objects").iterdir())


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("content_md5", base64.b64encode(b"0" * 16).decode(), "BadDigest"),
        ("content_md5", "short", "InvalidDigest"),
        ("x_amz_content_sha256", "0" * 64, "XAmzContentSHA256Mismatch"),
        ("x_amz_checksum_crc32", "AAAAAA==", "BadDigest"),
        ("x_amz_checksum_crc64nvme", "AAAAAAAAAAA=", "BadDigest"),
        ("x_amz_sdk_checksum_algorithm", "MD6", "InvalidRequest"),
    ],
)
def test_a_body_that_is_not_what_its_headers_say(
    s3: Any, stage: Any, body: bytes, name: str, value: str, code: str
) -> None:
    """The call is refused with S3's code, and nothing of it is kept."""
    status, answer, _ = _put(stage, body, **{name: value})
    assert (status, code.encode() in answer) == (400, True)
    assert _is_clean(s3, stage)


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_are_checked_kept_and_given_back(s3: Any, stage: Any, body: bytes, algorithm: str) -> None:
    """A right checksum comes back from PUT, HEAD and GET, as boto3 compares it."""
    name, value = f"x-amz-checksum-{algorithm.lower()}", checksum(algorithm, [body])
    status, _, headers = _put(
        stage,
        body,
        **{
            name: value,
            "content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        },
    )
    assert (status, headers[name], headers["x-amz-checksum-type"]) == (200, value, "FULL_OBJECT")
    head = s3.head_object(Bucket="data", Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (value, "FULL_OBJECT")
    assert f"Checksum{algorithm}" not in s3.head_object(Bucket="data", Key="k")
    assert s3.get_object(Bucket="data", Key="k", ChecksumMode="ENABLED")["Body"].read() == body


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("given", "status"), [(None, 200), ("AAAAAA==", 400), ("", 400)])
def test_a_checksum_after_the_body(s3: Any, stage: Any, body: bytes, given: str | None, status: int) -> None:
    """Clients on HTTPS send it as a trailer of aws-chunked: it is checked, and must come if announced."""
    value = checksum("CRC32", [body]) if given is None else given
    trailer = f"x-amz-checksum-crc32:{value}\r\n".encode() if value else b""
    encoded = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)
    answer = _put(
        stage,
        encoded,
        content_encoding="aws-chunked",
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_decoded_content_length=str(len(body)),
        x_amz_trailer="x-amz-checksum-crc32",
    )
    assert answer[0] == status
    if status == 200:
        got = s3.get_object(Bucket="data", Key="k")
        assert got["Body"].read() == body
        assert "ContentEncoding" not in got
    else:
        assert _is_clean(s3, stage)


def test_a_length_that_does_not_hold(s3: Any, stage: Any) -> None:
    """Fewer bytes than aws-chunked announces are no object."""
    encoded = b"5\r\nhello\r\n0\r\n\r\n"
    status, answer, _ = _put(stage, encoded, content_encoding="aws-chunked", x_amz_decoded_content_length="6")
    assert (status, b"IncompleteBody" in answer) == (400, True)
    assert _is_clean(s3, stage)


def test_no_length_at_all(stage: Any, s3: Any) -> None:
    """A PUT of unknown length is refused, as S3 refuses it."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=10)
    connection.request("PUT", "/data/k", iter([b"a", b"b"]), encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, b"MissingContentLength" in response.read()) == (411, True)
    connection.close()


def test_a_client_that_hangs_up(stage: Any, s3: Any) -> None:
    """Half an upload is nothing: no object, and its file goes."""

    def wait_until_clean(expected: bool) -> None:
        until = time.monotonic() + 5
        while _is_clean(s3, stage) is not expected and time.monotonic() < until:
            time.sleep(0.02)
        assert _is_clean(s3, stage) is expected

    with socket.create_connection(("127.0.0.1", stage.port), timeout=5) as connection:
        head = b"PUT /data/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head + b"x" * 4_000_000)
        wait_until_clean(expected=False)
    wait_until_clean(expected=True)
