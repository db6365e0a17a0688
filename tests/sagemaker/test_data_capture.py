"""Data capture: which invocations, in which files, in which words."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_containers import until

from stagemaker.ports import Credentials, PortError
from stagemaker.sagemaker.runtime import data_capture
from stagemaker.sagemaker.runtime.data_capture import DataCapture, Payload, Record, lines
from stagemaker.sagemaker.runtime.route import Capture

ROLE = "arn:aws:iam::123456789012:role/model"
CAPTURE = Capture(100, "bucket", "captured/", ROLE, request=True, response=True)
TIME = datetime(2026, 11, 23, 5, 7, 9, 42_000, tzinfo=UTC)
RECORD = Record(TIME, Payload("text/csv", b"132,25,113.2"), Payload("text/csv; charset=utf-8", b"0.0104"))


@dataclass
class Bucket:
    """`ports.Roles` and a writer: objects by bucket and key, and who was assumed."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    refusals: int = 0

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """New keys each time."""
        self.assumed.append(role_arn)
        return Credentials(f"ASIA{len(self.assumed)}", "secret", "token")

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """Refuse as often as it should, then keep."""
        if self.refusals:
            self.refusals -= 1
            raise PortError("AccessDenied", "Access Denied")
        self.objects[bucket, key] = body


def taken(bucket: Bucket, *records: Record, capture: Capture = CAPTURE) -> None:
    """Take records and write them."""

    async def run() -> None:
        data_capture = DataCapture(bucket, bucket)
        for record in records:
            data_capture.take("us-east-1", "churn", "AllTraffic", capture, record)
        await data_capture.flush()

    asyncio.run(run())


def documents(capture: Capture, *records: Record) -> list[dict[str, Any]]:
    """The lines of a file, read."""
    return [json.loads(line) for line in lines(capture, records).splitlines()]


def test_a_line_says_what_went_in_and_what_came_out() -> None:
    """The document of AWS's guide, with the id and the attributes that the client sent."""
    (document,) = documents(CAPTURE, replace(RECORD, custom_attributes="k=v", inference_id="id-1"))
    event_id = document["eventMetadata"].pop("eventId")
    assert re.fullmatch(r"[0-9a-f\-]{36}", event_id)
    assert document == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "132,25,113.2",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8",
                "mode": "OUTPUT",
                "data": "0.0104",
                "encoding": "CSV",
            },
        },
        "eventMetadata": {
            "inferenceId": "id-1",
            "customAttributes": ["k=v"],
            "inferenceTime": "2026-11-23T05:07:09Z",
        },
        "eventVersion": "0",
    }


def test_what_was_not_sent_is_not_there() -> None:
    """No inference id, no attributes, one side only where the configuration says so."""
    (document,) = documents(replace(CAPTURE, response=False), RECORD)
    assert set(document["eventMetadata"]) == {"eventId", "inferenceTime"}
    assert set(document["captureData"]) == {"endpointInput"}


@pytest.mark.parametrize(
    ("content_type", "body", "encoding"),
    [
        ("text/csv", b"1,2", "CSV"),
        ("TEXT/CSV; header=absent", b"1,2", "CSV"),
        ("application/json", b'{"a": "\xc3\xa9"}', "JSON"),
        ("application/jsonlines", b"{}", "BASE64"),
        ("application/x-recordio-protobuf", b"\x00\xff", "BASE64"),
        ("text/csv", b"\xff\xfe", "BASE64"),
        ("", b"1,2", "BASE64"),
    ],
)
def test_text_stays_text_where_its_type_is_listed(content_type: str, body: bytes, encoding: str) -> None:
    """Everything else is base 64, and so is text that is none."""
    (document,) = documents(CAPTURE, replace(RECORD, request=Payload(content_type, body)))
    side = document["captureData"]["endpointInput"]
    assert side["encoding"] == encoding
    data = base64.b64decode(side["data"]) if encoding == "BASE64" else side["data"].encode()
    assert data == body
    assert side["observedContentType"] == content_type


def test_files_lie_by_endpoint_variant_and_hour() -> None:
    """`<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/MM-SS-mmm-<uuid>.jsonl`, one line an invocation."""
    bucket = Bucket()
    taken(bucket, RECORD, RECORD)
    ((name, key), body) = next(iter(bucket.objects.items()))
    assert name == "bucket"
    assert re.fullmatch(r"captured/churn/AllTraffic/2026/11/23/05/07-09-042-[0-9a-f\-]{36}\.jsonl", key)
    assert len(body.splitlines()) == 2
    assert body.endswith(b"\n")
    assert bucket.assumed == [ROLE]


def test_a_bucket_without_a_prefix_is_a_destination_too() -> None:
    """Keys do not begin with a slash."""
    bucket = Bucket()
    taken(bucket, RECORD, capture=replace(CAPTURE, prefix=""))
    assert next(iter(bucket.objects))[1].startswith("churn/AllTraffic/2026/")


@pytest.mark.parametrize(("percentage", "least", "most"), [(0, 0, 0), (100, 2000, 2000), (25, 400, 600)])
def test_a_share_of_the_invocations_is_captured(percentage: int, least: int, most: int) -> None:
    """None, all, or about as many as asked for: 25 % of 2,000 within five standard deviations."""
    sample = DataCapture(Bucket(), Bucket(), seed=11)
    number = sum(sample.wants(replace(CAPTURE, percentage=percentage)) for _ in range(2000))
    assert least <= number <= most


def test_what_cannot_be_written_is_lost_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    """The next file is tried with new keys: the role may have been mended."""
    bucket = Bucket(refusals=1)

    async def run() -> None:
        capture = DataCapture(bucket, bucket)
        for _ in range(2):
            capture.take("us-east-1", "churn", "AllTraffic", CAPTURE, RECORD)
            await capture.flush()

    asyncio.run(run())
    assert "churn is lost, 1 invocations: AccessDenied" in caplog.text
    assert len(bucket.objects) == 1
    assert bucket.assumed == [ROLE, ROLE]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What comes faster than it is written is not captured, and what was written makes room again."""
    monkeypatch.setattr(data_capture, "MOST_BYTES", RECORD.size * 2)
    bucket = Bucket()

    async def run() -> None:
        capture = DataCapture(bucket, bucket)
        for _ in range(2):
            for _ in range(5):
                capture.take("us-east-1", "churn", "AllTraffic", CAPTURE, RECORD)
            await capture.flush()

    asyncio.run(run())
    assert [len(body.splitlines()) for body in bucket.objects.values()] == [2, 2]
    assert "3 invocations were not captured" in caplog.text


def test_the_end_writes_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files come by themselves every few seconds, and at the stop of the stage."""
    bucket = Bucket()

    async def run() -> None:
        capture = DataCapture(bucket, bucket)
        await capture.start()
        capture.take("us-east-1", "churn", "AllTraffic", CAPTURE, RECORD)
        await capture.stop()

    asyncio.run(run())
    assert len(bucket.objects) == 1
    monkeypatch.setattr(data_capture, "FLUSH_SECONDS", 0.01)

    async def by_itself() -> None:
        capture = DataCapture(bucket, bucket)
        await capture.start()
        capture.take("us-east-1", "churn", "AllTraffic", CAPTURE, RECORD)
        await until(lambda: len(bucket.objects) >= 2)
        await capture.stop()

    asyncio.run(by_itself())
