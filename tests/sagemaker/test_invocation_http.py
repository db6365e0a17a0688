"""The client for containers: every way in which a server may answer, and not answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from fake_containers import Answer, FakeContainer, Seen, fake_container, http, until

from stagemaker.sagemaker.runtime import pool as invocation_pool
from stagemaker.sagemaker.runtime.connection import (
    LARGEST_ANSWER,
    BrokenOffError,
    ContainerAnswer,
    RefusedError,
    TimedOutError,
    TooLargeError,
    request_bytes,
)
from stagemaker.sagemaker.runtime.pool import CrowdedError, Pool
from stagemaker.sagemaker.runtime.route import Container

REQUEST = request_bytes("localhost", [("content-type", "text/csv")], b"1,2")
LONG = 60.0
"""Seconds that no test waits for."""


async def ask(pool: Pool, container: Container, seconds: float = LONG) -> ContainerAnswer:
    """One request with a deadline."""
    return await pool.ask(container, REQUEST, asyncio.get_running_loop().time() + seconds)


def one_answer(answer: Answer | Callable[[Seen], Answer | Awaitable[Answer]], seconds: float = LONG) -> ContainerAnswer:
    """What the client makes of a container's raw bytes."""

    async def run() -> ContainerAnswer:
        behave = answer if callable(answer) else lambda _: answer
        async with fake_container(behave) as fake:
            pool = Pool()
            try:
                return await ask(pool, fake.container, seconds)
            finally:
                pool.close()

    return asyncio.run(run())


def test_a_request_is_whole_and_so_is_its_answer() -> None:
    """POST /invocations with length, host and headers; the answer's status, headers and body."""
    requests: list[Seen] = []

    def behave(seen: Seen) -> bytes:
        requests.append(seen)
        return http(200, b"0.5", {"Content-Type": "text/csv"})

    answer = one_answer(behave)
    assert answer.is_success
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"0.5", "text/csv")
    assert requests[0].line == "POST /invocations HTTP/1.1"
    assert requests[0].headers == {"host": "localhost", "content-type": "text/csv", "content-length": "3"}
    assert requests[0].body == b"1,2"


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x"),
        (b"HTTP/1.0 200 OK\r\ncontent-type: text/csv\r\nconnection: close\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 415 Unsupported Media Type\r\ncontent-length: 2\r\n\r\nno", 415, b"no"),
        (b"HTTP/1.1 599 ?\r\ncontent-length: 0\r\n\r\n", 599, b""),
    ],
    ids=["chunked", "100-continue", "http-1.0", "204", "415", "599"],
)
def test_answers_of_every_form_are_read(raw: bytes, status: int, body: bytes) -> None:
    """Chunked, after an interim answer, until the end of the connection, without a body, with any status."""
    answer = one_answer(raw)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nshort",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["no word", "half a body", "not HTTP", "endless headers", "upgrade"],
)
def test_what_is_no_answer_is_an_error(raw: bytes | None) -> None:
    """A connection that ends too early, or that carries something else than HTTP."""
    with pytest.raises(BrokenOffError):
        one_answer(raw)


def test_a_silent_container_times_out() -> None:
    """The deadline ends the request and the connection."""

    async def silence(_: Seen) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimedOutError):
        one_answer(silence, seconds=0.05)


def test_an_answer_that_never_ends_is_cut() -> None:
    """No more of an answer is read than the API may hand on."""
    raw = f"HTTP/1.1 200 OK\r\ncontent-length: {LARGEST_ANSWER + 1}\r\n\r\n".encode() + bytes(LARGEST_ANSWER + 1)
    with pytest.raises(TooLargeError):
        one_answer(raw)


def test_nobody_there_is_told_from_an_answer_that_broke_off() -> None:
    """A refused connection has reached no container, which matters to whoever could ask another one."""

    async def run() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets the port
            await ask(Pool(), Container("primary", "127.0.0.1", taken.getsockname()[1]))

    with pytest.raises(RefusedError):
        asyncio.run(run())


def run_with(behave: Callable[[Seen], Answer | Awaitable[Answer]], use: Callable[..., Awaitable[None]]) -> None:
    """`use(pool, fake)` with a container that behaves so."""

    async def run() -> None:
        async with fake_container(behave) as fake:
            pool = Pool()
            try:
                await use(pool, fake)
            finally:
                pool.close()

    asyncio.run(run())


def test_connections_are_used_again() -> None:
    """Requests one after the other take one connection."""

    async def use(pool: Pool, fake: FakeContainer) -> None:
        for _ in range(5):
            await ask(pool, fake.container)
        assert (len(fake.seen), fake.connections) == (5, 1)

    run_with(lambda _: http(), use)


@pytest.mark.parametrize(
    "raw",
    [http(headers={"connection": "close"}), http() + http(), b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"],
    ids=["closed", "more than one answer", "http-1.0"],
)
def test_connections_that_cannot_be_trusted_are_not_used_again(raw: bytes) -> None:
    """After `Connection: close`, after bytes that nobody asked for."""

    async def use(pool: Pool, fake: FakeContainer) -> None:
        for _ in range(3):
            assert (await ask(pool, fake.container)).status == 200
        assert fake.connections == 3

    run_with(lambda _: raw, use)


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection is let go of before its server does, and the container is forgotten."""
    monkeypatch.setattr(invocation_pool, "IDLE_SECONDS", 0.05)

    async def use(pool: Pool, fake: FakeContainer) -> None:
        await ask(pool, fake.container)
        await until(lambda: not (fake.open or pool._lanes))

    run_with(lambda _: http(), use)


def test_a_container_gets_no_more_at_once_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once, two that wait their turn, and the fifth is refused at once; all four are answered."""
    monkeypatch.setattr(invocation_pool, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(invocation_pool, "MOST_WAITING", 2)
    free = asyncio.Event()

    async def behave(_: Seen) -> bytes:
        await free.wait()
        return http()

    async def use(pool: Pool, fake: FakeContainer) -> None:
        asked = [asyncio.create_task(ask(pool, fake.container)) for _ in range(4)]
        await until(lambda: len(fake.seen) >= 2)
        assert pool.under_way(fake.container) == 4
        with pytest.raises(CrowdedError):
            await ask(pool, fake.container)
        assert len(fake.seen) == 2
        free.set()
        assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 4
        assert pool.under_way(fake.container) == 0
        assert fake.connections == 2

    run_with(behave, use)


def test_waiting_for_a_turn_counts_as_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits too long times out and leaves the queue; nothing of it is left, and the next one is served."""
    monkeypatch.setattr(invocation_pool, "MOST_CONNECTIONS", 1)
    free = asyncio.Event()

    async def behave(_: Seen) -> bytes:
        await free.wait()
        return http()

    async def use(pool: Pool, fake: FakeContainer) -> None:
        first = asyncio.create_task(ask(pool, fake.container))
        await until(lambda: fake.seen)
        with pytest.raises(TimedOutError):
            await ask(pool, fake.container, seconds=0.01)
        gone = asyncio.create_task(ask(pool, fake.container))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        free.set()
        await first
        assert (await ask(pool, fake.container)).status == 200
        assert pool.under_way(fake.container) == 0
        assert len(fake.seen) == 2

    run_with(behave, use)


def test_a_container_may_answer_before_it_has_read_everything() -> None:
    """A server that refuses a large request half-read is heard."""

    async def run() -> ContainerAnswer:
        done = asyncio.Event()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(413, b"too large", {"connection": "close"}))
            await writer.drain()
            while await reader.read(65536):  # it reads on, as servers do that mean to be heard
                pass
            writer.close()
            done.set()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server:
            container = Container("primary", "127.0.0.1", server.sockets[0].getsockname()[1])
            request = request_bytes("localhost", [], bytes(5_000_000))
            answer = await Pool().ask(container, request, asyncio.get_running_loop().time() + LONG)
            await done.wait()
            return answer

    answer = asyncio.run(run())
    assert (answer.status, answer.body) == (413, b"too large")
