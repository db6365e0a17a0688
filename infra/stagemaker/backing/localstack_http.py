"""Calls to LocalStack over HTTP: which headers go there, on whose account, and when the last byte is let go."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore

from stagemaker.backing.intake import body_pieces
from stagemaker.backing.port import Receive
from stagemaker.wire.errors import AwsError

FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
"""What stands for "LocalStack does not answer"."""

IDLE_SECONDS = 15.0
"""A connection that was idle longer is not used again: twisted, which LocalStack runs on, closes them after 60 s."""

_LIMITS = {"connect": 5.0, "read": 300.0, "write": 300.0, "pool": 60.0}
_MOST_CONNECTIONS = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_NOT_SENT = _HOP_BY_HOP | {"authorization", "expect", "host", "origin", "x-amz-security-token"}
_NOT_RETURNED = _HOP_BY_HOP | {"date", "server", "x-localstack"}

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes to LocalStack. `target` is the undecoded path with its query."""

    method: str
    target: bytes
    headers: Headers
    content: bytes | AsyncIterator[bytes] | None = None


class Connections:
    """LocalStack at `url`, by connections that are kept and used again."""

    def __init__(self, url: str) -> None:
        self._url = httpcore.URL(url)
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
        )

    def exchange(self, outgoing: Outgoing) -> AbstractAsyncContextManager[httpcore.Response]:
        """Send a request; inside the block its answer can be read. Raises one of `FAILURES`."""
        url = httpcore.URL(
            scheme=self._url.scheme, host=self._url.host, port=self._url.port, target=outgoing.target or b"/"
        )
        return self._pool.stream(
            outgoing.method, url, headers=outgoing.headers, content=outgoing.content, extensions={"timeout": _LIMITS}
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


def sent_headers(
    headers: Iterable[tuple[bytes, bytes]], *, account: str, region: str, service: str, length: int | None = None
) -> Headers:
    """The headers of a client's call as LocalStack should see them.

    It checks no signature; it reads the service and the region off it, and takes a key of 12 digits for the
    account. `length` replaces the body's length.
    """
    kept = [(name, value) for name, value in headers if _is_sent(name.decode("latin-1").lower())]
    if length is not None:
        kept = [(name, value) for name, value in kept if name.lower() != b"content-length"]
        kept.append((b"content-length", str(length).encode()))
    scope = f"{account}/{datetime.now(UTC):%Y%m%d}/{region}/{service}/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=checked"
    # A name of AWS's, without a bucket: the path names it.
    return [
        (b"host", f"{service}.{region}.amazonaws.com".encode()),
        (b"authorization", authorization.encode()),
        *kept,
    ]


def _is_sent(name: str) -> bool:
    return name not in _NOT_SENT and not name.startswith(("x-forwarded-", "x-localstack-", "x-moto-"))


def describes_body(name: bytes) -> bool:
    """Whether a header tells of the bytes as the client sent them."""
    name = name.lower()
    return name in {
        b"content-encoding",
        b"content-md5",
        b"x-amz-content-sha256",
        b"x-amz-decoded-content-length",
        b"x-amz-sdk-checksum-algorithm",
        b"x-amz-trailer",
    } or name.startswith(b"x-amz-checksum-")


def returned_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of LocalStack's answer for the client. Its CORS answers are for no web page of ours."""
    return [
        (name.lower(), value)
        for name, value in headers
        if name.decode("latin-1").lower() not in _NOT_RETURNED and not name.lower().startswith(b"access-control-")
    ]


async def held_back(receive: Receive, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """A body as it arrives, its last piece only once the whole is what `x-amz-content-sha256` says.

    LocalStack carries out a request when its last byte is there, so one that is refused here was never made.
    Raises AwsError XAmzContentSHA256Mismatch and whatever `receive` raises; ClientGoneError.
    """
    expected = headers.get("x-amz-content-sha256", "")
    digest = hashlib.sha256() if _SHA256.fullmatch(expected) else None
    last = b""
    async for piece in body_pieces(receive):
        if digest is not None:
            digest.update(piece)
        if last:
            yield last
        last = piece
    if digest is not None and digest.hexdigest() != expected:
        raise AwsError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    if last:
        yield last
