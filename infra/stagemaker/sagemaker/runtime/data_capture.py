"""Data capture: a sample of requests and answers, as JSON lines in the user's bucket.

An invocation only puts a record into a list. Every few seconds a task makes files of what is there and writes them
with the rights of the model's role. What cannot be written is lost, and the stage's log says so: as on AWS, capture
never fails a request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import random
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from stagemaker.ports import Credentials, Roles
from stagemaker.sagemaker.runtime.route import Capture

FLUSH_SECONDS = 3.0
MOST_BYTES = 64 * 1024 * 1024
"""Bodies that may wait to be written. What comes beyond is not captured."""

_STOP_SECONDS = 10.0
_SESSION_NAME = "SageMaker"
_LOG = logging.getLogger(__name__)


class Writer(Protocol):
    """What capture needs of `ports.Objects`."""

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """Write an object. Raises PortError."""
        ...


@dataclass(frozen=True, slots=True)
class Payload:
    """A body and its content type."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One invocation. `custom_attributes` and `inference_id` are the client's, empty where it sent none."""

    time: datetime
    request: Payload
    response: Payload
    custom_attributes: str = ""
    inference_id: str = ""

    @property
    def size(self) -> int:
        """Bytes of both bodies."""
        return len(self.request.body) + len(self.response.body)


@dataclass(frozen=True, slots=True)
class _File:
    """What belongs into one file: the records of one variant under one configuration."""

    region: str
    endpoint: str
    variant: str
    capture: Capture

    def key(self, time: datetime) -> str:
        """`<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/<MM-SS-mmm>-<uuid>.jsonl`, in UTC."""
        name = f"{time:%M-%S}-{time.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        parts = (self.capture.prefix.strip("/"), self.endpoint, self.variant, f"{time:%Y/%m/%d/%H}", name)
        return "/".join(part for part in parts if part)


class DataCapture:
    """Takes records and writes them. `seed` makes the sampling repeatable."""

    def __init__(self, roles: Roles, objects: Writer, seed: int | None = None) -> None:
        self._roles = roles
        self._objects = objects
        self._random = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._waiting: defaultdict[_File, list[Record]] = defaultdict(list)
        self._bytes = 0
        self._missed = 0
        self._credentials: dict[tuple[str, str], Credentials] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def wants(self, capture: Capture) -> bool:
        """Whether the next invocation is in the sample."""
        return self._random.random() * 100 < capture.percentage

    def take(self, region: str, endpoint: str, variant: str, capture: Capture, record: Record) -> None:
        """Keep `record` until it is written; drop it when too much waits already."""
        if self._bytes + record.size > MOST_BYTES:
            self._missed += 1
            return
        self._bytes += record.size
        self._waiting[_File(region, endpoint, variant, capture)].append(record)

    async def start(self) -> None:
        """Begin to write."""
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._write_until(self._stopping), name="data-capture")

    async def stop(self) -> None:
        """Write the rest, and cease."""
        if self._task is None:
            return
        self._stopping.set()
        try:
            await asyncio.wait_for(self._task, _STOP_SECONDS)
        except TimeoutError:
            _LOG.warning("captured data is lost: S3 did not take it within %s s", _STOP_SECONDS)
        self._task = None

    def forget(self) -> None:
        """Drop what waits, and the roles' keys."""
        self._waiting.clear()
        self._credentials.clear()
        self._bytes = 0

    async def _write_until(self, stopping: asyncio.Event) -> None:
        """Write every few seconds, and once more at the end."""
        last = False
        while not last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), FLUSH_SECONDS)
            last = stopping.is_set()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        if self._missed:
            _LOG.warning("%d invocations were not captured: too much waited to be written", self._missed)
            self._missed = 0
        for file, records in waiting.items():
            try:
                # Encoding megabytes would hold up the requests that come meanwhile.
                body = await asyncio.to_thread(lines, file.capture, records)
                await self._write(file, file.key(records[0].time), body)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other files are still to be written
                self._credentials.pop((file.capture.role_arn, file.region), None)
                _LOG.warning(
                    "data captured at endpoint %s is lost, %d invocations: %s", file.endpoint, len(records), error
                )
            finally:
                self._bytes = max(0, self._bytes - sum(record.size for record in records))

    async def _write(self, file: _File, key: str, body: bytes) -> None:
        role, region = file.capture.role_arn, file.region
        credentials = self._credentials.get((role, region))
        if credentials is None:
            credentials = await self._roles.assume(role, region=region, session_name=_SESSION_NAME)
            self._credentials[role, region] = credentials
        await self._objects.put_object(file.capture.bucket, key, body, region=region, credentials=credentials)


def lines(capture: Capture, records: Sequence[Record]) -> bytes:
    """The records as the file holds them, one JSON document a line."""
    return b"".join(json.dumps(_document(capture, record)).encode() + b"\n" for record in records)


def _document(capture: Capture, record: Record) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if capture.request:
        data["endpointInput"] = _side(capture, record.request, "INPUT")
    if capture.response:
        data["endpointOutput"] = _side(capture, record.response, "OUTPUT")
    metadata: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if record.inference_id:
        metadata["inferenceId"] = record.inference_id
    if record.custom_attributes:
        metadata["customAttributes"] = [record.custom_attributes]
    metadata["inferenceTime"] = f"{record.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _side(capture: Capture, payload: Payload, mode: str) -> dict[str, str]:
    """CSV and JSON as they are, where the configuration says that the type is such; everything else in base 64."""
    kind = payload.content_type.partition(";")[0].strip().lower()
    encoding = "CSV" if kind in capture.csv_types else "JSON" if kind in capture.json_types else "BASE64"
    if encoding != "BASE64":
        try:
            data = payload.body.decode()
        except UnicodeDecodeError:  # what it says of itself is not so
            encoding = "BASE64"
    if encoding == "BASE64":
        data = base64.b64encode(payload.body).decode()
    return {"observedContentType": payload.content_type, "mode": mode, "data": data, "encoding": encoding}
