"""Runners reach the stage by its Unix socket where there is one, and by its port otherwise."""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from stagemaker.jobs.local_connection import SOCKET_NAME, LocalConnection, listen, socket_of
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.spec import S3Uri
from stagemaker.ports import Credentials

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the socket is there on Linux only")


PADDING = b"." * 50_000
"""More than comes with an answer's head, less than a pipe holds."""


class Answering(http.server.BaseHTTPRequestHandler):
    """Says by which way it was asked, and for whom, and then a lot of nothing."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[int] = 0

    def setup(self) -> None:
        """One more connection."""
        super().setup()
        Answering.connections += 1

    def do_GET(self) -> None:
        """One answer."""
        way = "socket" if self.connection.family == socket.AF_UNIX else "port"
        body = f"{way} {self.headers['host']} ".encode() + PADDING
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(listener: socket.socket) -> Iterator[None]:
    """Answer on a socket that listens already."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(folder: Path) -> str:
    """The answer to a runner's client."""
    client = ObjectClient(folder / "stage.json", "us-east-1", Credentials("AKIA", "secret"))
    try:
        return client.open(S3Uri("b", "k")).read().split(b" .")[0].decode()
    finally:
        client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder whose path is longer than a socket's address may be."""
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    return folder


def test_socket_is_preferred_and_the_port_stands_in(folder: Path) -> None:
    """Requests name the same host either way; a socket that a killed stage has left is no obstacle."""
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    (folder / "stage.json").write_text(json.dumps({"endpoint": f"http://127.0.0.1:{number}"}))
    with serving(port):
        assert asked(folder) == f"port 127.0.0.1:{number}"
        local = listen(folder, 5)
        assert local is not None
        with serving(local):
            assert asked(folder) == f"socket 127.0.0.1:{number}"
        assert (folder / SOCKET_NAME).exists()
        assert asked(folder) == f"port 127.0.0.1:{number}"


def test_connection_is_used_again_after_pouring(folder: Path) -> None:
    """Nothing of an object is left on it, and nothing of the next is missing."""
    (folder / "stage.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:1"}))
    local = listen(folder, 5)
    assert local is not None
    Answering.connections = 0
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)  # however many pieces it comes in
    client = ObjectClient(folder / "stage.json", "us-east-1", Credentials("AKIA", "secret"))
    with serving(local):
        for _ in range(3):
            client.open(S3Uri("b", "k")).pour(write)
            assert os.read(read, 65536) == b"socket 127.0.0.1:1 " + PADDING
        assert Answering.connections == 1
        client.close()
    os.close(read)
    os.close(write)


def test_socket_is_the_owners_alone(folder: Path) -> None:
    """As the folder is; and a new stage takes the place of an old one."""
    for _ in range(2):
        listener = listen(folder, 5)
        assert listener is not None
        assert (folder / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
        listener.close()


def test_folder_that_takes_no_socket_has_none(tmp_path: Path) -> None:
    """The stage then has its port alone."""
    assert listen(tmp_path / "none", 5) is None
    assert socket_of(tmp_path / "stage.json") is None
    with pytest.raises(OSError, match="No such file"):
        LocalConnection(tmp_path / "none" / SOCKET_NAME, "127.0.0.1", 1, 1.0).connect()
