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

from stagemaker.jobs.signing import sign_s3
from stagemaker.jobs.spec import S3Uri
from stagemaker.ports import Credentials

PATIENCE_SECONDS = 900.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PIECE = 1024 * 1024


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
            response = self._call("GET", f"/{bucket}", query)
            page = ET.fromstring(response.read())  # noqa: S314 - the stage's own answer
            for entry in page.iter(_tag(page, "Contents")):
                yield ObjectInfo(_text(entry, "Key"), int(_text(entry, "Size")))
            if _text(page, "IsTruncated") != "true":
                return
            query["continuation-token"] = _text(page, "NextContinuationToken")

    def download(self, uri: S3Uri, file: Path) -> None:
        """Write the object to `file`, piece by piece."""
        stream = self.open(uri)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as target:
            while piece := stream.read(_PIECE):
                target.write(piece)

    def open(self, uri: S3Uri) -> ObjectStream:
        """The object as a stream; read it to its end before the next call."""
        return ObjectStream(self, uri)

    def get(self, uri: S3Uri, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """GetObject with more headers; a stream of one connection, which may break off."""
        return self._call("GET", f"/{uri.bucket}/{uri.key}", {}, headers=headers)

    def upload(self, file: Path, uri: S3Uri) -> None:
        """Put `file` as one object (S3 takes up to 5 GB so)."""
        with file.open("rb") as source:
            self._call("PUT", f"/{uri.bucket}/{uri.key}", {}, body=source, size=file.stat().st_size).read()

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
        more: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            address = urlsplit(json.loads(self.stage_file.read_text())["endpoint"])
            self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
        connection = self._connection
        target, headers = sign_s3(
            method, f"{connection.host}:{connection.port}", path, query, self.credentials, self.region
        )
        headers.update(more)
        if body is not None:
            headers["content-length"] = str(size)
        connection.request(method, target, body=body, headers=headers)
        return connection.getresponse()


class ObjectStream:
    """An object from its beginning to its end, whole even when the stage is killed in the middle of it.

    http.client ends a body that breaks off as if it were complete. So the bytes are counted, and the rest
    is asked for again, of the same version of the object. `read` raises ObjectsError, OSError.
    """

    def __init__(self, client: ObjectClient, uri: S3Uri) -> None:
        self._client = client
        self._uri = uri
        self._at = 0
        self._response = client.get(uri, {})
        self._size = int(self._response.headers["Content-Length"])
        self._version = self._response.headers["ETag"]

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none at the end; all that is left without a size."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._at < self._size and size:
            try:
                piece = self._response.read(min(size, self._size - self._at))
            except (OSError, http.client.HTTPException):
                piece = b""
            if piece:
                self._at += len(piece)
                if self._at == self._size:
                    self._response.read()  # so that the connection can be used again
                return piece
            if time.monotonic() > give_up:
                raise ObjectsError("IncompleteBody", "The object broke off and could not be continued")
            self._client.close()
            time.sleep(_FIRST_PAUSE)
            headers = {"range": f"bytes={self._at}-", "if-match": self._version}
            self._response = self._client.get(self._uri, headers)
        return b""


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
