"""Sending answers, and wording the stage's own errors as the called service would."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, closing
from typing import Any

from stagemaker.backing.bodies import StoredBody
from stagemaker.backing.call import Call
from stagemaker.backing.port import ZERO_COPY, Send
from stagemaker.wire.error_reply import ErrorForm, error_reply
from stagemaker.wire.errors import AwsError

_NO_BODY = {204, 304}


def content_type(call: Call, headers: Mapping[str, Any]) -> str:
    """Of an answer of a query or JSON service: ministack's is not always the protocol's."""
    asked = call.headers.get("content-type", "")
    if asked.startswith("application/x-amz-json"):
        return asked
    given = str(headers.get("Content-Type", "text/xml"))
    return "text/xml" if given.startswith("application/xml") else given


def error_answer(error: AwsError, call: Call, request_id: str) -> tuple[int, dict[str, Any], bytes]:
    """`error` in the protocol that `call` speaks."""
    asked = call.headers.get("content-type", "application/x-amz-json-1.1")
    speaks_json = "x-amz-target" in call.headers or asked.startswith("application/x-amz-json")
    form = ErrorForm.S3 if call.service == "s3" else ErrorForm.JSON if speaks_json else ErrorForm.QUERY
    reply = error_reply(error, form, request_id, method=call.method, path=call.path, content_type=asked)
    assert isinstance(reply.body, bytes)
    return reply.status, dict(reply.headers), reply.body


async def send_answer(
    send: Send, method: str, status: int, headers: Mapping[str, Any], body: Any, *, zero_copy: bool = False
) -> None:
    """Send an answer of ministack's (ASGI). A stored body is streamed, its files by the server if it can."""
    if isinstance(body, str):
        body = body.encode()
    pairs = [
        (name.lower().encode("latin-1"), _encoded(each))
        for name, value in headers.items()
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    if method != "HEAD" and status not in _NO_BODY and b"content-length" not in dict(pairs):
        pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    if not isinstance(body, StoredBody) or method == "HEAD":
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
        return
    if zero_copy:
        with closing(body.sections()) as sections:
            for section in sections:
                if isinstance(section, bytes):
                    await send({"type": "http.response.body", "body": section, "more_body": True})
                else:
                    await send({"type": ZERO_COPY, **section, "more_body": True})
    else:
        async with aclosing(body.stream()) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _encoded(value: Any) -> bytes:
    """A header's value: Latin-1 where it fits, as HTTP says, else UTF-8, as S3 does with metadata."""
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError:
        return str(value).encode()
