"""An object's bytes as a stream that goes on where a broken transfer stopped."""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


PATIENCE_SECONDS = 900.0
"""How long a call waits for a stage that is not there: it may be restarted while a job runs."""

_SPLICED = 1024 * 1024
"""Bytes that the kernel is asked to move at a time: what a widened pipe holds."""
_SPLICES = hasattr(os, "splice")
_SILENCE_SECONDS = 300.0
"""How long a transfer may stand still before it counts as broken."""

Fetch = Callable[[Mapping[str, str]], http.client.HTTPResponse]


class BrokenOffError(OSError):
    """A transfer ended before its end, for good."""


class ObjectStream(io.RawIOBase):
    """Read once, from the beginning to the end. `fetch(headers)` asks for the object, on a new connection if need be.

    A server that is killed in the middle of a body looks to a client like the end of it, so what has come
    is counted against what was promised.
    """

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self._fetch = fetch
        self._response = fetch({})
        self._etag = self._response.headers.get("etag", "")
        self._left = int(self._response.headers.get("content-length") or 0)
        self._offset = 0
        self._is_buffered = True
        """Whether bytes of the body came with the head, and lie in this process."""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Some of what is left; 0 at the end. Raises BrokenOffError, ObjectsError."""
        view = memoryview(buffer).cast("B")
        piece = self._piece(min(len(view), self._left))
        view[: len(piece)] = piece
        return len(piece)

    def _piece(self, size: int) -> bytes:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while size:
            try:
                piece = self._response.read(size)
            except (OSError, http.client.HTTPException):
                piece = b""
            if piece:
                self._offset += len(piece)
                self._left -= len(piece)
                return piece
            if time.monotonic() > give_up:
                raise BrokenOffError(f"the transfer broke off at byte {self._offset}")
            self._ask_again()
        return b""

    def pour(self, pipe: int) -> None:
        """Write all that is left into a pipe, which blocks while it is full.

        On Linux the kernel hands the bytes from the connection to the pipe: copied through this process
        they take twice as long. Raises BrokenPipeError when nobody reads any more, BrokenOffError, ObjectsError.
        """
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._left:
            try:
                moved = self._move(pipe)
            except BrokenPipeError:
                raise
            except (OSError, http.client.HTTPException):
                moved = 0
            if moved:
                self._offset += moved
                self._left -= moved
                give_up = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > give_up:
                raise BrokenOffError(f"the transfer broke off at byte {self._offset}")
            else:
                self._ask_again()
        self._response.close()  # nothing of it is left on the connection, so that it can be used again

    def _move(self, pipe: int) -> int:
        """Some bytes from the connection to the pipe: how many; 0 at the transfer's end."""
        if self._is_buffered or not _SPLICES:
            piece = self._response.read1(min(self._left, _SPLICED))
            self._is_buffered = False
            write_whole(pipe, piece)
            return len(piece)
        connection = self._response.fileno()
        while True:
            try:
                return os.splice(connection, pipe, min(self._left, _SPLICED))
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(connection, select.POLLIN)
                if not waiting.poll(_SILENCE_SECONDS * 1000):
                    return 0
            except OSError as error:
                if error.errno != errno.EINVAL:  # a connection that cannot be spliced
                    raise
                self._is_buffered = True
                return self._move(pipe)

    def _ask_again(self) -> None:
        # Only of the same object: another one's end does not fit this one's beginning.
        self._response = self._fetch({"range": f"bytes={self._offset}-", "if-match": self._etag})
        self._is_buffered = True


def write_whole(pipe: int, data: bytes) -> None:
    """Write all of `data`, however little the pipe takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]
