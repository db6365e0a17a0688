"""S3 over plain HTTP for the runner: list, get, put, with the role's keys.

The stage may be restarted while a job runs. A call that finds nobody at the address reads the
address again and waits, up to `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import http.client
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from stagemaker.jobs.local_connection import LocalConnection
from stagemaker.jobs.object_stream import PATIENCE_SECONDS, ObjectStream
from stagemaker.jobs.signing import sign_s3
from stagemaker.jobs.spec import S3Uri
from stagemaker.ports import Credentials

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PIECE = 1024 * 1024
_SILENCE_SECONDS = 300.0
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


class ObjectsError(Exception):
    """S3 refused: `code` and `message` are its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A key and its size in bytes."""

    key: str
    size: int


class ObjectClient:
    """The calls that a job makes. Used by one thread; keeps one connection."""

    def __init__(self, stage_file: Path, region: str, credentials: Credentials) -> None:
        self.stage_file = stage_file
        self.region = region
        self.credentials = credentials
        self._connection: http.client.HTTPConnection | None = None

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in the order of their keys."""
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = ET.fromstring(self._page(bucket, query))  # noqa: S314 - the stage's own answer
            for entry in page.iter(_tag(page, "Contents")):
                yield ObjectInfo(_text(entry, "Key"), int(_text(entry, "Size")))
            if _text(page, "IsTruncated") != "true":
                return
            query["continuation-token"] = _text(page, "NextContinuationToken")

    def _page(self, bucket: str, query: Mapping[str, str]) -> bytes:
        """One page of a list, whole: a body that breaks off is asked for again."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            response = self._call("GET", f"/{bucket}", query)
            try:
                page = response.read()
            except (OSError, http.client.HTTPException):
                if time.monotonic() > give_up:
                    raise
                self.close()
            else:
                return page

    def download(self, uri: S3Uri, file: Path) -> None:
        """Write the object to `file`, piece by piece and whole. Raises ObjectsError, BrokenOffError, OSError."""
        stream = self.open(uri)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as target:
            while piece := stream.read(_PIECE):
                target.write(piece)

    def open(self, uri: S3Uri) -> ObjectStream:
        """The object as a stream; read it to its end, or `close`, before the next call."""
        path, begun = f"/{uri.bucket}/{uri.key}", False

        def fetch(headers: Mapping[str, str]) -> http.client.HTTPResponse:
            nonlocal begun
            if begun:
                self.close()
            begun = True
            return self._call("GET", path, {}, headers=headers)

        return ObjectStream(fetch)

    def upload(self, file: Path, uri: S3Uri, *, kms_key: str | None = None) -> None:
        """Put `file` as one object (S3 takes up to 5 GB so), encrypted with `kms_key` if one is given."""
        headers = {"x-amz-server-side-encryption": "aws:kms", _KMS_KEY: kms_key} if kms_key else {}
        path = f"/{uri.bucket}/{uri.key}"
        with file.open("rb") as source:
            self._call("PUT", path, {}, body=source, size=file.stat().st_size, headers=headers).read()

    def close(self) -> None:
        """Let go of the connection, also in the middle of an object."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: IO[bytes] | None = None,
        size: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        give_up, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
        while True:
            try:
                response = self._try(method, path, query, body, size, headers or {})
            except (OSError, http.client.HTTPException):
                self._connection = None
                if time.monotonic() > give_up:
                    raise
            else:
                if response.status < 400:
                    return response
                text = response.read()
                if response.status < 500 or time.monotonic() > give_up:
                    raise _error(response.status, text)
            if body is not None:
                body.seek(0)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _try(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: IO[bytes] | None,
        size: int,
        extra: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            address = urlsplit(json.loads(self.stage_file.read_text())["endpoint"])
            self._connection = _connection(address.hostname or "", address.port)
        connection = self._connection
        amz = {name: value for name, value in extra.items() if name.startswith("x-amz-")}
        target, headers = sign_s3(
            method, f"{connection.host}:{connection.port}", path, query, self.credentials, self.region, extra=amz
        )
        headers |= extra
        if body is not None:
            headers["content-length"] = str(size)
        connection.request(method, target, body=body, headers=headers)
        return connection.getresponse()


def _connection(host: str, port: int | None) -> http.client.HTTPConnection:
    """To the stage's own socket where there is one, else to its port."""
    local = LocalConnection(host, port, timeout=_SILENCE_SECONDS)
    try:
        local.connect()
    except OSError:
        local.close()
        return http.client.HTTPConnection(host, port, timeout=_SILENCE_SECONDS)
    return local


def stage_endpoint(stage_file: Path) -> str:
    """The address of the running stage; waits for one that is being restarted. Raises OSError after all patience."""
    give_up, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
    while True:
        try:
            return str(json.loads(stage_file.read_text())["endpoint"])
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


def _tag(root: ET.Element, name: str) -> str:
    namespace, brace, _ = root.tag.partition("}")
    return f"{namespace}}}{name}" if brace else name


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(_tag(element, name)) or ""


def _error(status: int, body: bytes) -> ObjectsError:
    try:
        document = ET.fromstring(body)  # noqa: S314 - the stage's own answer
    except ET.ParseError:
        return ObjectsError(str(status), http.client.responses.get(status, "error"))
    return ObjectsError(_text(document, "Code") or str(status), _text(document, "Message"))
