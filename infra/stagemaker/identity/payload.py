"""That a body is the one that was signed: by its hash, or chunk by chunk as it streams.

After "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks"
and "... Including trailing headers" of S3's API reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from stagemaker.identity.refusals import Family, Refusal, refuse
from stagemaker.identity.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, sign
from stagemaker.wire.errors import AwsError

SIGNED_CHUNKS = frozenset({"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"})
UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_MOST_CHUNK_HEADER = 4096
"""Bytes of a chunk's header line or of the trailer. AWS's are below 300; more is not a chunk's header."""


class PayloadReader(Protocol):
    """Sees a body as it passes."""

    def feed(self, data: bytes) -> None:
        """The next bytes, in the form that they were sent. Raises AwsError as soon as they are wrong."""
        ...

    def finish(self) -> None:
        """The body has ended. Raises AwsError when it is not the signed one."""
        ...


@dataclass(frozen=True, slots=True)
class Payload:
    """What the body must prove. `declared` is the hash or the mode that the signature covers.

    `key`, `timestamp`, `scope` and `signature` seed the chain of chunk signatures.
    """

    declared: str
    family: Family
    key: bytes = field(default=b"", repr=False)
    timestamp: str = ""
    scope: str = ""
    signature: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether the signature covers the body, so that it must be read to be trusted."""
        return self.declared not in {UNSIGNED_PAYLOAD, UNSIGNED_CHUNKS}

    def reader(self) -> PayloadReader | None:
        """Something to show the body to; None when the signature does not cover it."""
        if self.declared in SIGNED_CHUNKS:
            return _ChunkReader(self)
        return _HashReader(self) if self.is_bound else None

    def check(self, body: bytes) -> None:
        """Check a whole body. Raises AwsError."""
        if reader := self.reader():
            reader.feed(body)
            reader.finish()

    async def guard(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same body, which ends in an AwsError instead of its end when it is not the signed one.

        Whoever stores it must not keep what came before the error.
        """
        reader = self.reader()
        async for data in body:
            if reader:
                reader.feed(data)
            yield data
        if reader:
            reader.finish()


class _HashReader:
    """A body whose SHA-256 was signed."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        self._hash.update(data)

    def finish(self) -> None:
        if not hmac.compare_digest(self._hash.hexdigest(), self._payload.declared.lower()):
            if self._payload.family is Family.S3:
                raise AwsError(
                    "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                )
            raise refuse(Refusal.BAD_SIGNATURE, self._payload.family)


class _ChunkReader:
    r"""A body in aws-chunked framing whose chunks are signed, each with the signature before it.

    Each chunk is `<size in hex>;chunk-signature=<signature>\r\n<data>\r\n`; the last is empty, and
    trailing headers with a signature of their own may follow it.
    """

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._previous = payload.signature
        self._buffer = bytearray()
        self._left = 0
        self._in_data = False
        self._in_trailer = False
        self._claimed = ""
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._in_trailer:
                self._buffer += view
                self._limit()
                return
            view = self._feed_data(view) if self._in_data else self._feed_header(view)

    def _feed_data(self, view: memoryview) -> memoryview:
        """Data of the chunk, then the CRLF that closes it."""
        if self._left:
            taken = view[: self._left]
            self._hash.update(taken)
            self._left -= len(taken)
            return view[len(taken) :]
        missing = 2 - len(self._buffer)
        self._buffer += view[:missing]
        if len(self._buffer) == 2:
            if self._buffer != b"\r\n":
                raise _broken("a chunk is longer than its header says")
            self._buffer.clear()
            self._in_data = False
            self._check_chunk()
        return view[missing:]

    def _feed_header(self, view: memoryview) -> memoryview:
        """A line up to its CRLF. Only as much is copied as a header may be long."""
        before = len(self._buffer)
        self._buffer += view[:_MOST_CHUNK_HEADER]
        end = self._buffer.find(b"\r\n")
        if end < 0:
            self._limit()
            return view[_MOST_CHUNK_HEADER:]
        line, rest = bytes(self._buffer[:end]), view[end + 2 - before :]
        self._buffer.clear()
        size, _, extension = line.decode("latin-1").partition(";")
        name, _, self._claimed = extension.strip().partition("=")
        if name != "chunk-signature" or not size.isalnum():
            raise _broken("a chunk's header does not read <size>;chunk-signature=<signature>")
        try:
            self._left = int(size, 16)
        except ValueError:
            raise _broken("a chunk's size is not a hexadecimal number") from None
        self._hash = hashlib.sha256()
        if self._left == 0:
            self._check_chunk()
            self._in_trailer = True
        else:
            self._in_data = True
        return rest

    def _check_chunk(self) -> None:
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_SHA256}\n{self._hash.hexdigest()}", self._claimed)

    def _check(self, algorithm: str, digests: str, claimed: str) -> None:
        payload = self._payload
        text = f"{algorithm}\n{payload.timestamp}\n{payload.scope}\n{self._previous}\n{digests}"
        expected = sign(payload.key, text)
        if not hmac.compare_digest(expected.encode(), claimed.encode()):
            raise refuse(Refusal.BAD_SIGNATURE, payload.family)
        self._previous = expected

    def finish(self) -> None:
        if not self._in_trailer:
            raise _broken("the last, empty chunk is missing")
        if not self._payload.declared.endswith("-TRAILER"):
            if self._buffer.strip():
                raise _broken("something follows the last chunk")
            return
        lines = [line.strip() for line in bytes(self._buffer).decode("latin-1").split("\n") if line.strip()]
        claimed = [line.partition(":")[2].strip() for line in lines if line.startswith("x-amz-trailer-signature:")]
        signed = "".join(f"{line}\n" for line in lines if not line.startswith("x-amz-trailer-signature:"))
        if len(claimed) != 1:
            raise _broken("the trailer has no x-amz-trailer-signature")
        self._check("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(signed.encode("latin-1")).hexdigest(), claimed[0])

    def _limit(self) -> None:
        if len(self._buffer) > _MOST_CHUNK_HEADER:
            raise _broken("a chunk's header does not end")


def _broken(why: str) -> AwsError:
    return AwsError("IncompleteBody", f"The request body is not in aws-chunked encoding: {why}.")
