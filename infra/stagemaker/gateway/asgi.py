"""Between ASGI's dicts and the messages of the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol
from urllib.parse import unquote

from stagemaker.backing.port import ZERO_COPY
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a request that is read whole. SageMaker's largest request and IAM's are far below."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


def read_head(scope: Scope) -> Request:
    """The request without its body. A header that is given more than once is joined by commas.

    `x-forwarded-proto` is ours: `http` for a plain call through the proxy, `https` for every other, the
    loopback listener's too. Otherwise a bucket policy that asks for TLS would lock its owner out.
    """
    raw_path = scope.get("raw_path") or scope["path"].encode()
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if not name.startswith("x-forwarded-"):
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    headers["x-forwarded-proto"] = "https" if is_secure(scope) else "http"
    return Request(
        method=scope["method"],
        path=raw_path.decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


def is_secure(scope: Scope) -> bool:
    """Whether a policy should take the call's transport for TLS."""
    proxied = scope.get("extensions", {}).get("stagemaker", {}).get("proxied", False)
    return scope.get("scheme") == "https" or not proxied


class BodyTooLargeError(AwsError):
    """The body is larger than is read."""

    def __init__(self, most: int) -> None:
        super().__init__("RequestEntityTooLargeException", f"The request is larger than {most} bytes.", 413)


async def read_body(receive: Receive, most: int = LARGEST_BODY) -> bytes:
    """The whole body. Raises BodyTooLargeError for more than `most` bytes, ClientGoneError when it never ends."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > most:
            raise BodyTooLargeError(most)
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once more, then what the connection has to say."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again


class BodyReader(Protocol):
    """Something that wants to see a body as it streams past."""

    def feed(self, data: bytes) -> None:
        """A piece. Raises AwsError."""
        ...

    def finish(self) -> None:
        """The end. Raises AwsError when the body was not what it should be."""
        ...


def checked(receive: Receive, reader: BodyReader) -> Receive:
    """A `receive` that shows the body to `reader`, whose AwsError then ends it."""

    async def receive_checked() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            reader.feed(message.get("body", b""))
            if not message.get("more_body"):
                reader.finish()
        return message

    return receive_checked


def scope_of(request: Request, outer: Scope, *, service: str, region: str, anonymous: bool = False) -> Scope:
    """The ASGI scope by which the backing carries out `request`, which came in as `outer`."""
    hints = {"service": service, "region": region, "anonymous": anonymous, "secure_transport": is_secure(outer)}
    return {
        **outer,
        "method": request.method,
        "path": unquote(request.path),
        "raw_path": request.path.encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
        "extensions": {**outer.get("extensions", {}), "stagemaker": hints},
    }


async def answer_of(application: Application, scope: Scope, receive: Receive) -> Reply:
    """The whole answer of `application`."""
    scope = {**scope, "extensions": {k: v for k, v in scope.get("extensions", {}).items() if k != ZERO_COPY}}
    status, headers, body = 500, {}, bytearray()

    async def collect(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            body.extend(message.get("body", b""))

    await application(scope, receive, collect)
    headers.pop("content-length", None)
    return Reply(status, headers, bytes(body))


async def send_reply(reply: Reply, send: Send) -> None:
    """Send `reply`; a generator's pieces as they come."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers.items()
    ]
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    async with contextlib.aclosing(reply.body) as pieces:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
