"""Taking in the body of a call: decoded, checked against what its headers say, and kept off the heap.

An object's bytes go to a file once they are more than a row should hold; digests are computed as they
arrive, in a thread, so that a large upload neither fills the memory nor holds up other calls.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import IO

from stagemaker.backing.aws_chunked import Decoder, MalformedError, is_chunked
from stagemaker.backing.bodies import CHUNK, INLINE_LIMIT, Bodies, Piece, StoredBody
from stagemaker.backing.checksums import ALGORITHMS, Digest, encoded, new_digest
from stagemaker.backing.port import Receive
from stagemaker.wire.errors import AwsError

MEMORY_LIMIT = 64 * 1024 * 1024
"""Bytes of a body that is not an object's. AWS's own limits for those are all below (ECR's layers aside)."""

OBJECT_LIMIT = 5 * 1024**3
"""Bytes of one PUT or one part (S3 user guide, "Uploading objects")."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ClientGoneError(Exception):
    """The client hung up before its body was complete."""


async def receive_small(receive: Receive) -> bytes:
    """A body of a call that is not S3's, as it came. Raises AwsError, ClientGoneError."""
    pieces, size = [], 0
    async for piece in body_pieces(receive):
        size += len(piece)
        if size > MEMORY_LIMIT:
            raise AwsError("RequestEntityTooLarge", f"The stage takes bodies up to {MEMORY_LIMIT} bytes.", 413)
        pieces.append(piece)
    return b"".join(pieces)


async def receive_s3(
    receive: Receive, headers: MutableMapping[str, str], bodies: Bodies | None, algorithms: Iterable[str] = ()
) -> bytes:
    """The body of an S3 call: plain bytes, or stored ones where it is an object's (`bodies`) and not small.

    Checks length, Content-MD5, x-amz-content-sha256 and x-amz-checksum-*, sent before or after the body;
    computes `algorithms` (and MD5 for an object) besides. Leaves in `headers` what a handler should still
    see. Raises AwsError with S3's codes, ClientGoneError.
    """
    declared = _length(headers, "content-length")
    decoded = _length(headers, "x-amz-decoded-content-length")
    if bodies is not None and declared is None and decoded is None:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if (decoded if decoded is not None else declared or 0) > (MEMORY_LIMIT if bodies is None else OBJECT_LIMIT):
        raise _too_large()
    expected = _Expected(headers)
    sink = _Sink(bodies, {*expected.algorithms, *algorithms, *({"MD5"} if bodies is not None else ())})
    try:
        await _fill(sink, receive, headers, declared, decoded)
        expected.trailers(headers)
        body = await sink.finish()
        expected.compare(sink.digests)
    except MalformedError as error:
        await sink.abandon()
        raise _incomplete() from error
    except OSError as error:
        await sink.abandon()
        raise AwsError("InternalError", f"The stage could not keep the object: {error.strerror}", 500) from error
    except BaseException:
        await sink.abandon()
        raise
    headers.pop("content-md5", None)  # a handler would compare it with the bytes, which may be elsewhere
    return body


async def _fill(
    sink: _Sink, receive: Receive, headers: MutableMapping[str, str], declared: int | None, decoded: int | None
) -> None:
    """Read the body into `sink`, and its trailers into `headers`."""
    decoder = Decoder() if is_chunked(headers) else None
    received = 0
    async for piece in body_pieces(receive):
        received += len(piece)
        for data in decoder.feed(piece) if decoder else (piece,):
            await sink.take(data)
    if (
        (declared is not None and received != declared)
        or (decoded is not None and sink.size != decoded)
        or (decoder and not decoder.done)
    ):
        raise _incomplete()
    if decoder:
        for name, value in decoder.trailers.items():
            headers.setdefault(name, value)
        encodings = [each.strip() for each in headers.pop("content-encoding", "").split(",")]
        if others := [each for each in encodings if each not in {"", "aws-chunked"}]:
            headers["content-encoding"] = ", ".join(others)
        headers["content-length"] = str(sink.size)


async def body_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body of a request as it comes. Raises ClientGoneError when it breaks off."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


def _length(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    if value is not None and not re.fullmatch(r"[0-9]{1,15}", value):
        raise AwsError("InvalidArgument", f"The header {name} is not a length: {value}")
    return None if value is None else int(value)


def _too_large() -> AwsError:
    return AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")


def _incomplete() -> AwsError:
    return AwsError(
        "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )


class _Expected:
    """What the headers say that the body's digests are."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.algorithms = {name for name in ALGORITHMS if _header(name) in headers}
        announced = {each.strip().lower() for each in headers.get("x-amz-trailer", "").split(",")}
        self._late = {name for name in ALGORITHMS if _header(name) in announced}
        if named := headers.get("x-amz-sdk-checksum-algorithm"):
            self.algorithms |= {_known(named)}
        self._values = {name: headers[_header(name)] for name in ALGORITHMS if _header(name) in headers}
        self.algorithms |= self._late
        self._payload = headers.get("x-amz-content-sha256", "")
        if _SHA256.fullmatch(self._payload):
            self.algorithms |= {"SHA256"}
        self._md5 = headers.get("content-md5")
        if self._md5 is not None:
            self.algorithms |= {"MD5"}
            if not _is_base64(self._md5, 16):
                raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")

    def trailers(self, headers: Mapping[str, str]) -> None:
        """Note the values that came after the body."""
        if any(_header(name) not in headers for name in self._late):
            raise AwsError(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed "
                "or did not conform to our published schema.",
            )
        self._values |= {name: headers[_header(name)] for name in self._late}

    def compare(self, digests: Mapping[str, Digest]) -> None:
        """Raise BadDigest or XAmzContentSHA256Mismatch where the body is not what the headers say."""
        if _SHA256.fullmatch(self._payload) and digests["SHA256"].digest().hex() != self._payload:
            raise AwsError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        if self._md5 is not None and encoded(digests["MD5"]) != self._md5:
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        for name, value in self._values.items():
            if encoded(digests[name]) != value:
                raise AwsError("BadDigest", f"The {name} you specified did not match the calculated checksum.")


class _Sink:
    """Where the bytes go. `digests` are complete after `finish`."""

    def __init__(self, bodies: Bodies | None, algorithms: Iterable[str]) -> None:
        self.digests: dict[str, Digest] = {name: new_digest(name) for name in algorithms}
        self.size = 0
        self._bodies = bodies
        self._batch: list[bytes] = []
        self._batched = 0
        self._file: tuple[str, IO[bytes]] | None = None
        self._at_work: asyncio.Future[None] | None = None

    async def take(self, data: bytes) -> None:
        """Add bytes."""
        self._batch.append(data)
        self._batched += len(data)
        self.size += len(data)
        if self._bodies is None and self.size > MEMORY_LIMIT:
            raise _too_large()
        if self._batched >= CHUNK and self._bodies is not None:
            await self._flush()

    async def finish(self) -> bytes:
        """All bytes have come. Gives the body."""
        if self._file is None and (self._bodies is None or self.size <= INLINE_LIMIT):
            data = b"".join(self._batch)
            if len(data) > CHUNK:
                await asyncio.to_thread(self._digest, data)
            else:
                self._digest(data)
            return data
        await self._flush(last=True)
        await self._settle()
        assert self._bodies is not None
        assert self._file is not None
        md5, sums = self.digests["MD5"], {name: encoded(self.digests[name]) for name in self.digests if name != "MD5"}
        return StoredBody(self._bodies, [Piece(self._file[0], 0, self.size)], md5.digest().hex(), sums)

    async def abandon(self) -> None:
        """Something went wrong: leave no file behind."""
        with suppress(OSError):
            await self._settle()
        if self._file is not None and self._bodies is not None:
            with suppress(OSError):
                self._file[1].close()
            self._bodies.remove([self._file[0]])

    async def _flush(self, *, last: bool = False) -> None:
        """Have a thread write what has come; the next bytes are received meanwhile."""
        await self._settle()
        data = b"".join(self._batch)
        self._batch, self._batched = [], 0
        self._at_work = asyncio.get_running_loop().run_in_executor(None, self._write, data, last)

    async def _settle(self) -> None:
        if self._at_work is not None:
            await self._at_work
            self._at_work = None

    def _write(self, data: bytes, last: bool) -> None:
        assert self._bodies is not None
        if self._file is None:
            body_id, descriptor = self._bodies.new_file()
            self._file = body_id, os.fdopen(descriptor, "wb")
        file = self._file[1]
        file.write(data)
        self._digest(data)
        if last:
            file.flush()
            self._bodies.finish_file(file.fileno())
            file.close()

    def _digest(self, data: bytes) -> None:
        for digest in self.digests.values():
            digest.update(data)


def _header(algorithm: str) -> str:
    return f"x-amz-checksum-{algorithm.lower()}"


def _known(name: str) -> str:
    algorithm = name.upper().replace("_", "")
    if algorithm not in ALGORITHMS:
        raise AwsError(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the "
            f"valid types: [{', '.join(ALGORITHMS)}]",
        )
    return algorithm


def _is_base64(value: str, size: int) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == size
    except binascii.Error:
        return False
