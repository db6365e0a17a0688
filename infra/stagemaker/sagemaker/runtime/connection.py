"""One HTTP/1.1 connection to a container: a request, its answer, the next request.

On httptools (llhttp), as uvicorn is. httpcore, the usual choice, took 0.75 ms of CPU a request where this takes
0.04 ms, which is more than the whole goal for a call (`benchmarks/invocations.py` has today's figures).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import httptools

LARGEST_ANSWER = 6 * 1024 * 1024
"""Bytes of a container's answer, the limit of the API's body."""

_MOST_HEADER_BYTES = 64 * 1024


class ContainerError(Exception):
    """The container gave no answer that can be read."""


class RefusedError(ContainerError):
    """Nobody took the connection: the request has reached no container."""


class TimedOutError(ContainerError):
    """The container did not answer in time."""


class BrokenOffError(ContainerError):
    """The connection ended, or what came over it is not HTTP."""


class TooLargeError(ContainerError):
    """The answer is larger than `LARGEST_ANSWER`."""


@dataclass(frozen=True, slots=True)
class ContainerAnswer:
    """What a container answered. Header names are lower case; of repeated ones the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """2XX."""
        return 200 <= self.status < 300


Header = tuple[str, str]


def request_bytes(host: str, headers: Iterable[Header], body: bytes) -> bytes:
    """`POST /invocations` as it goes over the wire. Header values come out of a parser: they hold no line ends."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"POST /invocations HTTP/1.1\r\nhost: {host}\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode("latin-1", "replace") + body


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time. Make it with `open_connection`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[ContainerAnswer] | None = None
        self._parser: httptools.HttpResponseParser
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body = bytearray()
        self._until_end = False
        self.idle_since = 0.0
        """When it was last of use, in the loop's time."""
        self.reusable = False
        """Whether another request may follow."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.reusable = True

    def ask(self, request: bytes) -> asyncio.Future[ContainerAnswer]:
        """Send `request` (head and body). The answer, or a ContainerError."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._begin_answer()
        self._transport.write(request)
        return self._waiting

    def _begin_answer(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._header_bytes = 0
        self._body = bytearray()
        self._until_end = False

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        if self._waiting is None:  # nobody asked: not a server that can be trusted with another request
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenOffError(f"it does not speak HTTP: {error}"))

    def on_message_begin(self) -> None:
        """Part of httptools' protocol. A second answer to one request: what follows cannot be trusted."""
        if self._waiting is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of httptools' protocol."""
        self._header_bytes += len(name) + len(value) + len(": \r\n")
        if self._header_bytes > _MOST_HEADER_BYTES:
            self._fail(BrokenOffError("its headers do not end"))
            return
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Part of httptools' protocol."""
        self._until_end = "content-length" not in self._headers and "transfer-encoding" not in self._headers

    def on_body(self, data: bytes) -> None:
        """Part of httptools' protocol."""
        self._body += data
        if len(self._body) > LARGEST_ANSWER:
            self._fail(TooLargeError(f"its answer is larger than {LARGEST_ANSWER} bytes"))

    def on_message_complete(self) -> None:
        """Part of httptools' protocol."""
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # interim, such as 100 Continue: the answer follows, in the same parser
            self._headers = {}
            return
        unsent = self._transport.get_write_buffer_size() > 0  # it answered before it had read the whole request
        if unsent or not self._parser.should_keep_alive():
            self.close()
        self._succeed(status)

    def _succeed(self, status: int) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(ContainerAnswer(status, self._headers, bytes(self._body)))
        self._headers = {}  # the answer's now

    def _fail(self, error: ContainerError) -> None:
        waiting, self._waiting = self._waiting, None
        self.reusable = False
        self._transport.abort()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol. An answer without a length ends with its connection."""
        self.reusable = False
        if self._waiting is None:
            return
        if self._until_end and exc is None:
            self._succeed(self._parser.get_status_code())
        else:
            self._fail(BrokenOffError("the connection broke off before its answer was complete"))

    def time_out(self) -> None:
        """Give the request up, and the connection with it."""
        self._fail(TimedOutError("it did not answer in time"))

    def close(self) -> None:
        """Let go of the connection. What waits for an answer that has come gets it."""
        self.reusable = False
        self._transport.close()


async def open_connection(host: str, port: int, seconds: float) -> Connection:
    """A new connection. Raises RefusedError when nobody takes it within `seconds`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(Connection, host, port)
    except (OSError, TimeoutError) as error:
        raise RefusedError(f"nobody takes connections at {host}:{port}: {error}") from error
    return connection
