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

from stagemaker.jobs.local_connection import LocalConnection, listen, local_address
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
def port() -> Iterator[socket.socket]:
    """A stage's port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def folder(tmp_path: Path, port: socket.socket) -> Path:
    """The state folder of the stage that has the port."""
    (tmp_path / "stage.json").write_text(json.dumps({"endpoint": f"http://127.0.0.1:{number(port)}"}))
    return tmp_path


def number(port: socket.socket) -> int:
    """Of a listening socket."""
    return int(port.getsockname()[1])


def listening(port: socket.socket) -> socket.socket:
    """The socket beside the port."""
    local = listen("127.0.0.1", number(port), 5)
    assert local is not None
    return local


def test_socket_is_preferred_and_the_port_stands_in(folder: Path, port: socket.socket) -> None:
    """Requests name the same host either way; of a stage that is gone no socket is left."""
    host = f"127.0.0.1:{number(port)}"
    with serving(port):
        assert asked(folder) == f"port {host}"
        with serving(listening(port)):
            assert asked(folder) == f"socket {host}"
        assert asked(folder) == f"port {host}"


def test_connection_is_used_again_after_pouring(folder: Path, port: socket.socket) -> None:
    """Nothing of an object is left on it, and nothing of the next is missing."""
    Answering.connections = 0
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)  # however many pieces it comes in
    client = ObjectClient(folder / "stage.json", "us-east-1", Credentials("AKIA", "secret"))
    with serving(listening(port)):
        for _ in range(3):
            client.open(S3Uri("b", "k")).pour(write)
            assert os.read(read, 65536) == f"socket 127.0.0.1:{number(port)} ".encode() + PADDING
        assert Answering.connections == 1
        client.close()
    os.close(read)
    os.close(write)


def test_socket_of_another_user_is_not_believed(
    folder: Path, port: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any process may take the name while no stage has it: the runner goes to the port."""
    address, owner = local_address("127.0.0.1", number(port)), os.getuid()
    with serving(port), serving(listening(port)):
        monkeypatch.setattr("stagemaker.jobs.local_connection.local_address", lambda *_: address)
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        with pytest.raises(PermissionError, match="another user's"):
            LocalConnection("127.0.0.1", number(port), timeout=30).connect()
        assert asked(folder).startswith("port ")


def test_name_that_is_taken_is_no_obstacle(port: socket.socket) -> None:
    """The stage then has its port alone."""
    with listening(port):
        assert listen("127.0.0.1", number(port), 5) is None
    with pytest.raises(ConnectionRefusedError):
        LocalConnection("127.0.0.1", number(port), timeout=30).connect()
