"""The HTTP side of `serve`: the paths that SageMaker calls, the limit of a body, start and end.

What is behind the paths is a `Service`; it decides itself what runs on the event loop and what on threads.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Protocol

import uvicorn

from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.models import Models

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
HOST_VARIABLE = "STAGEMAKER_BIND_HOST"
"""The address to listen on; the image sets 0.0.0.0, a process on the user's machine stays on loopback."""

LENGTH_VARIABLE = "MAX_CONTENT_LENGTH"

MEGABYTE = 1024 * 1024
_LENGTH = 6 * MEGABYTE
_MOST = 20 * MEGABYTE

_GRACE = 25
"""Seconds that requests have to end after SIGTERM: SageMaker sends SIGKILL after 30."""
_METHODS = {"/ping": "GET", "/execution-parameters": "GET", "/invocations": "POST"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Service(Protocol):
    """What answers. Calls run beside one another; none of them may raise."""

    @property
    def max_length(self) -> int:
        """The largest body in bytes; a larger one is answered with 413."""
        ...

    async def ping(self) -> Answer:
        """200 when requests can be served."""
        ...

    async def invoke(self, call: Call) -> Answer:
        """Answer one request."""
        ...

    async def execution_parameters(self) -> Answer:
        """What a batch transform may send; 404 where the image does not say."""
        ...


class App:
    """The ASGI application."""

    def __init__(self, service: Service, models: Models | None = None) -> None:
        """`models` answers the paths below `/models`, where the image serves several."""
        self._service, self._models = service, models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the server speaks nothing but HTTP."""
        await _send(send, await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path = scope["path"]
        if self._models is not None and (path == "/models" or path.startswith("/models/")):
            call = await self._call(scope, receive)
            query = scope.get("query_string", b"").decode("latin-1")
            return call if isinstance(call, Answer) else await self._models.answer(scope["method"], path, query, call)
        if path not in _METHODS:
            return Answer(HTTPStatus.NOT_FOUND)
        if scope["method"] != _METHODS[path]:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        if path == "/ping":
            return await self._service.ping()
        if path == "/execution-parameters":
            return await self._service.execution_parameters()
        call = await self._call(scope, receive)
        return call if isinstance(call, Answer) else await self._service.invoke(call)

    async def _call(self, scope: Scope, receive: Receive) -> Call | Answer:
        """The request with its whole body, or the answer to one that cannot be had."""
        limit = self._service.max_length
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Answer(HTTPStatus.BAD_REQUEST)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                text = f"The request body is larger than {limit} bytes."
                return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text.encode(), "text/html; charset=utf-8")
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        return Call(bytes(body), headers.get(b"content-type"), headers.get(b"accept"))


def max_length(environment: Mapping[str, str]) -> int:
    """The largest body, in bytes, of the servers that know MAX_CONTENT_LENGTH: 6 MB without it, at most 20 MB."""
    return min(int(environment.get(LENGTH_VARIABLE) or _LENGTH), _MOST)


def run(service: Service, environment: Mapping[str, str], models: Models | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the port and the address that the environment names."""
    config = uvicorn.Config(
        App(service, models),
        host=environment.get(HOST_VARIABLE) or "127.0.0.1",
        port=int(environment.get(PORT_VARIABLE) or 8080),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_GRACE,
    )
    _Server(config).run()


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())] if answer.status != HTTPStatus.NO_CONTENT else []
    named = [("content-type", answer.content_type)] if answer.content_type is not None else []
    headers += [(_header(name).lower(), _header(value)) for name, value in (*named, *answer.headers)]
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _header(text: str) -> bytes:
    """A user's text in a header: what cannot stand there, a line break above all, must not end it."""
    return re.sub(r"[^\t\x20-\x7e\x80-\xff]", "?", text).encode("latin-1")


class _Server(uvicorn.Server):
    """uvicorn, but SIGTERM is an ordinary end: uvicorn would raise the signal again afterwards."""

    @contextmanager
    def capture_signals(self) -> Any:
        """Stop at SIGTERM and SIGINT, and let the program return."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield
