"""A backing behind uvicorn: as clients meet it, but without the gateway's checks before it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
import uvicorn
from botocore.config import Config

from stagemaker.backing.embedded import EmbeddedBacking

ACCOUNT = "123456789012"
T = TypeVar("T")

_SERVER = """
import asyncio, socket, sys, uvicorn
from pathlib import Path
from stagemaker.backing.embedded import EmbeddedBacking

async def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2])))
    listener.listen(64)
    backing = EmbeddedBacking(Path(sys.argv[1]), "123456789012", "us-east-1", listener.getsockname()[1])
    await backing.start()
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(uvicorn.Config(backing, lifespan="off", log_level="critical")).serve(sockets=[listener])
    await backing.stop()

asyncio.run(main())
"""


@dataclass
class Served:
    """A running backing, its folder, its port, and the loop that it runs in."""

    backing: EmbeddedBacking
    folder: Path
    port: int
    loop: asyncio.AbstractEventLoop
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the backing's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def client(self, service: str, *, key: str = "test", region: str = "us-east-1", **config: Any) -> Any:
        """A boto3 client with a key that the backing has never heard of."""
        wanted = repr((service, key, region, config))
        if wanted not in self.clients:
            make: Any = boto3.client  # its stubs want each service's name spelt out
            self.clients[wanted] = make(
                service,
                endpoint_url=self.url,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key="any",
                config=Config(retries={"total_max_attempts": 1}, **config),
            )
        return self.clients[wanted]


@contextmanager
def _serve(folder: Path) -> Iterator[Served]:
    # With the protocol named, asyncio sets TCP_NODELAY on its connections; without, answers take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    port = listener.getsockname()[1]
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def run() -> None:
        backing = EmbeddedBacking(folder, ACCOUNT, "us-east-1", port)
        try:
            await backing.start()
            server = uvicorn.Server(uvicorn.Config(backing, lifespan="off", log_level="critical", http="httptools"))
            found.update(backing=backing, server=server, loop=asyncio.get_running_loop())
        finally:
            ready.set()
        await server.serve(sockets=[listener])
        await backing.stop()

    def run_loop() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - for whoever asked
            found["error"] = error

    thread = threading.Thread(target=run_loop)
    thread.start()
    ready.wait(10)
    try:
        if "server" not in found:
            thread.join(10)
            raise found["error"]
        yield Served(found["backing"], folder, port, found["loop"])
    finally:
        if "server" in found:
            found["server"].should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()
    if "error" in found:
        raise found["error"]


@contextmanager
def _spawn(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", _SERVER, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def spawn() -> Callable[[Path, int], AbstractContextManager[tuple[subprocess.Popen[str], int]]]:
    """Serve a folder on a port (0: any) in a process of its own; gives the process and the port."""
    return _spawn


@pytest.fixture
def serve() -> Callable[[Path], AbstractContextManager[Served]]:
    """Serve a folder for the length of a block."""
    return _serve


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One backing for the tests of a module."""
    with _serve(tmp_path_factory.mktemp("state") / "backing") as served:
        yield served


@pytest.fixture
def stage(shared: Served) -> Served:
    """The module's backing, with an empty account."""
    shared.do(shared.backing.reset())
    return shared
