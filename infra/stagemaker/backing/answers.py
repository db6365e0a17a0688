"""Sending answers, and wording the stage's own errors as the called service would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from xml.sax.saxutils import escape

from stagemaker.backing.bodies import StoredBody
from stagemaker.backing.call import Call
from stagemaker.backing.port import Send
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
    code, message = escape(error.code), escape(error.message)
    if call.service == "s3":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            f"<Resource>{escape(call.path)}</Resource><RequestId>{request_id}</RequestId></Error>"
        ).encode()
        return error.status, {"Content-Type": "application/xml"}, b"" if call.method == "HEAD" else body
    asked = call.headers.get("content-type", "application/x-amz-json-1.1")
    if "x-amz-target" in call.headers or asked.startswith("application/x-amz-json"):
        document = json.dumps({"__type": error.code, "message": error.message}).encode()
        return error.status, {"Content-Type": asked, "x-amzn-errortype": error.code}, document
    sender = "Sender" if error.status < 500 else "Receiver"
    body = (
        f"<ErrorResponse><Error><Type>{sender}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
    return error.status, {"Content-Type": "text/xml"}, body


async def send_answer(send: Send, method: str, status: int, headers: Mapping[str, Any], body: Any) -> None:
    """Send an answer of ministack's (ASGI). A stored body is streamed."""
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
