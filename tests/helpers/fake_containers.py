"""Containers of tests: servers that say what they are told to, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from stagemaker.sagemaker.runtime.route import Container

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came. Header names are lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | None
"""Raw HTTP; None: hang up without a word."""

Behaviour = Callable[[Seen], Answer | Awaitable[Answer]]


def http(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A raw answer with a Content-Length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def until(condition: Callable[[], object]) -> None:
    """Wait for what others do. Raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody sets an event when a socket closes or a counter moves
            await asyncio.sleep(0.005)


@dataclass
class FakeContainer:
    """A container at an address, what it has seen, and how many connections it had."""

    container: Container
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@contextlib.asynccontextmanager
async def fake_container(behave: Behaviour, name: str = "primary") -> AsyncIterator[FakeContainer]:
    """A server on a free port. It keeps a connection open unless its answer says `connection: close`."""
    fake: FakeContainer
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        fake.connections += 1
        fake.open += 1
        try:
            while True:
                seen = await _read(reader)
                fake.seen.append(seen)
                answer = behave(seen)
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in answer:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # cancelled only at the end; Python 3.11's streams log a handler that ends so as an error
        finally:
            fake.open -= 1
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, _LOOPBACK, 0)
    fake = FakeContainer(Container(name, _LOOPBACK, server.sockets[0].getsockname()[1]))
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    return Seen(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
