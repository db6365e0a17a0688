"""The `aws-chunked` content encoding, decoded as it arrives.

`SIZE[;chunk-signature=...]CRLF DATA CRLF`, again and again, a chunk of size 0, then trailing headers.
Chunk signatures are not checked: the whole body's checksum, which clients send as a trailer, is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?")
_LONGEST_LINE = 16 * 1024


class MalformedError(Exception):
    """The body does not keep to the encoding."""


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the headers announce the encoding."""
    return (
        headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        or "aws-chunked" in headers.get("content-encoding", "")
        or "x-amz-decoded-content-length" in headers
    )


class Decoder:
    """Takes the encoded bytes piece by piece and gives the decoded ones."""

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}
        self.done = False
        self._line = b""
        self._left = 0
        self._read = self._size_line

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` decodes to. Raises MalformedError."""
        view = memoryview(data)
        while view:
            if self.done:
                raise MalformedError("bytes after the end")
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                yield bytes(piece)
                if not self._left:
                    self._read = self._end_of_chunk
                continue
            line, view = self._take_line(view)
            if line is not None:
                self._read(line)

    def _take_line(self, view: memoryview) -> tuple[bytes | None, memoryview]:
        """The line that has come to its end, if one has, and what follows it."""
        data = bytes(view[:_LONGEST_LINE])
        line = self._line + data
        end = line.find(b"\r\n", max(len(self._line) - 1, 0))
        if end < 0:
            if len(line) > _LONGEST_LINE:
                raise MalformedError("a line has no end")
            self._line = line
            return None, view[len(data) :]
        rest = view[end + 2 - len(self._line) :]
        self._line = b""
        return line[:end], rest

    def _size_line(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if not match:
            raise MalformedError("a chunk has no size")
        self._left = int(match.group(1), 16)
        if not self._left:
            self._read = self._trailer

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise MalformedError("a chunk is longer than its size")
        self._read = self._size_line

    def _trailer(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not line:
            self.done = True
        elif not colon:
            raise MalformedError("a trailer has no value")
        else:
            self.trailers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
