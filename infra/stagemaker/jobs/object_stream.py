"""An object's bytes as a stream that goes on where a broken transfer stopped."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


PATIENCE_SECONDS = 900.0
"""How long a call waits for a stage that is not there: it may be restarted while a job runs."""

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
            # Only of the same object: another one's end does not fit this one's beginning.
            self._response = self._fetch({"range": f"bytes={self._offset}-", "if-match": self._etag})
        return b""
