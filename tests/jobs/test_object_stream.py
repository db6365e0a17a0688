"""A transfer that breaks off goes on where it stopped, and never passes for a whole one."""

from __future__ import annotations

import errno
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs import object_stream
from stagemaker.jobs.channel import download_errors
from stagemaker.jobs.object_stream import ObjectStream
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.selection import DownloadError
from stagemaker.jobs.spec import ChannelSource, S3Uri
from stagemaker.ports import Credentials

BODY = bytes(range(256)) * 4000


class Breaking(http.server.BaseHTTPRequestHandler):
    """Promises all that is left of the object, sends a third of it and hangs up, until it has sent the end."""

    etag: ClassVar[str] = '"one"'
    changes: ClassVar[bool] = False
    vanishes: ClassVar[bool] = False
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """One broken answer."""
        asked = self.headers.get("range")
        Breaking.asked.append(asked)
        if asked and self.changes:
            self.send_response(412)
            self.end_headers()
            self.wfile.write(b"<Error><Code>PreconditionFailed</Code><Message>changed</Message></Error>")
            return
        if asked and self.vanishes:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(
                b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
            )
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        assert not asked or self.headers["if-match"] == self.etag
        rest = BODY[start:]
        self.send_response(206 if asked else 200)
        self.send_header("etag", self.etag)
        self.send_header("content-length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: max(1, len(rest) // 3)] if len(rest) > 10 else rest)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ObjectClient]:
    """A runner's client of the breaking server."""
    Breaking.asked = []
    Breaking.changes = Breaking.vanishes = False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "stage.json").write_text(json.dumps({"endpoint": f"http://127.0.0.1:{server.server_port}"}))
    made = ObjectClient(tmp_path / "stage.json", "us-east-1", Credentials("AKIA", "secret"))
    yield made
    made.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_is_whole(client: ObjectClient, tmp_path: Path) -> None:
    """However often the server hangs up, every byte arrives, once."""
    client.download(S3Uri("b", "k"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(Breaking.asked) > 5
    assert Breaking.asked[0] is None


def test_object_that_changes_meanwhile_is_no_mixture(client: ObjectClient, tmp_path: Path) -> None:
    """The end of another object does not fit: the job hears of it."""
    Breaking.changes = True
    with pytest.raises(ObjectsError, match="PreconditionFailed"):
        client.download(S3Uri("b", "k"), tmp_path / "file")


def test_object_that_vanishes_in_mid_download(client: ObjectClient, tmp_path: Path) -> None:
    """What has come of it does not pass for the object: the channel's download fails, by S3's own words."""
    Breaking.vanishes = True
    channel = ChannelSource(ChannelConfig("train", None), S3Uri("b", "k"))
    with pytest.raises(DownloadError, match=r"does not exist\. for s3://b/k"), download_errors(channel):
        client.download(channel.source, tmp_path / "file")


def poured(stream: ObjectStream) -> bytes:
    """What comes out of a pipe that the stream is poured into."""
    read, write = os.pipe()
    found: list[bytes] = []

    def drain() -> None:
        with os.fdopen(read, "rb") as end:
            found.append(end.read())

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        stream.pour(write)
    finally:
        os.close(write)
        reader.join()
    return found[0]


def test_poured_stream_is_whole(client: ObjectClient) -> None:
    """The same when the bytes go straight from the connection into a pipe; some have been read before."""
    assert poured(client.open(S3Uri("b", "k"))) == BODY
    assert len(Breaking.asked) > 5
    stream = client.open(S3Uri("b", "k"))
    first = stream.read(100_000)
    assert first + poured(stream) == BODY


def test_pipe_without_a_reader_ends_the_pouring(client: ObjectClient) -> None:
    """BrokenPipeError, which is how a program says that it has had enough."""
    read, write = os.pipe()
    os.close(read)
    try:
        with pytest.raises(BrokenPipeError):
            client.open(S3Uri("b", "k")).pour(write)
    finally:
        os.close(write)


def test_object_that_changes_while_it_is_poured(client: ObjectClient) -> None:
    """The job hears of it."""
    Breaking.changes = True
    with pytest.raises(ObjectsError, match="PreconditionFailed"):
        poured(client.open(S3Uri("b", "k")))


def test_connection_that_cannot_be_spliced_is_copied(client: ObjectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """By way of this process, as where the system has no splice at all."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "splice", refuse, raising=False)
    assert poured(client.open(S3Uri("b", "k"))) == BODY
    monkeypatch.setattr(object_stream, "_SPLICES", False)
    assert poured(client.open(S3Uri("b", "k"))) == BODY


def test_stream_can_be_read_in_small_pieces(client: ObjectClient) -> None:
    """As a pipe does."""
    stream = client.open(S3Uri("b", "k"))
    assert b"".join(iter(lambda: stream.read(1000), b"")) == BODY
