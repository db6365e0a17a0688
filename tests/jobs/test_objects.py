"""The runner's S3 client against a server that misbehaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.spec import S3Uri
from stagemaker.ports import Credentials

BODY = bytes(range(256)) * 4000


class Fickle(BaseHTTPRequestHandler):
    """Serves BODY, but drops each connection after a third of it, and only knows one version of it."""

    protocol_version = "HTTP/1.1"
    etag = '"one"'

    def do_GET(self) -> None:
        """The bytes from the Range on, cut short."""
        wanted = self.headers.get("If-Match")
        if wanted and wanted != self.etag:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.send_header("ETag", self.etag)
        self.end_headers()
        self.wfile.write(BODY[start : start + len(BODY) // 3])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ObjectClient]:
    """A client of the fickle server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fickle)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "stage.json").write_text(json.dumps({"endpoint": f"http://127.0.0.1:{server.server_port}"}))
    objects = ObjectClient(tmp_path / "stage.json", "us-east-1", Credentials("a", "b"))
    yield objects
    objects.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_body_that_breaks_off_is_continued(client: ObjectClient, tmp_path: Path) -> None:
    """A download is whole although every connection broke in the middle of it."""
    client.download(S3Uri("b", "k"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert client.open(S3Uri("b", "k")).read() == BODY


def test_object_that_changed_meanwhile_is_not_mixed(client: ObjectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of another version is no rest of this one: that is an error."""
    stream = client.open(S3Uri("b", "k"))
    stream.read(10)
    monkeypatch.setattr(Fickle, "etag", '"two"')
    with pytest.raises(ObjectsError):
        stream.read()
