"""A backing behind uvicorn: as clients meet it, but without the gateway's checks before it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
import uvicorn
from botocore.config import Config

from stagemaker.backing.embedded import EmbeddedBacking

ACCOUNT = "123456789012"
T = TypeVar("T")


@dataclass
class Served:
    """A running backing, its folder, its port, and the loop that it runs in."""

    backing: EmbeddedBacking
    folder: Path
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the backing's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def client(self, service: str, *, key: str = "test", region: str = "us-east-1", **config: Any) -> Any:
        """A boto3 client with a key that the backing has never heard of."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


@contextmanager
def _serve(folder: Path) -> Iterator[Served]:
    # With the protocol named, asyncio sets TCP_NODELAY on its connections; without, answers take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
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

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    ready.wait(10)
    try:
        yield Served(found["backing"], folder, port, found["loop"])
    finally:
        found["server"].should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


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
