r"""A stream that is a job's log file, read in place.

Each line is `<epoch ms>\t<message>\n`. A job appends while readers read: a last line without its
newline is not there yet. Positions are byte offsets, so a page costs what it holds and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stagemaker.logs.event import Event, Span, Times, bad_token

BLOCK = 64 * 1024
ALL_TIMES = Times(0, 2**63)


class LogFile:
    """The events of `file`. `fallback` is the timestamp of lines that lack one."""

    def __init__(self, file: Path, fallback: int) -> None:
        self.file = file
        self.fallback = fallback

    def forward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` whose lines start at `position` or later, oldest first."""
        offset = position or 0
        handle = self._open(offset)
        if handle is None:
            return
        with handle:
            handle.seek(offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                if event := self._event(line, offset, times):
                    yield event
                offset += len(line)

    def backward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` whose lines end at `position` or earlier, newest first."""
        handle = self._open(position or 0)
        if handle is None:
            return
        with handle:
            end = _end_of_lines(handle) if position is None else position
            for offset, line in _lines_backward(handle, end):
                if event := self._event(line, offset, times):
                    yield event

    def span(self) -> Span:
        """First and last timestamp, read at the two ends of the file only."""
        first = next(self.forward(None, ALL_TIMES), None)
        last = next(self.backward(None, ALL_TIMES), None)
        return Span(first.timestamp, last.timestamp, last.timestamp) if first and last else Span()

    def size(self) -> int:
        """Bytes; 0 for a file that does not exist yet."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def _open(self, offset: int) -> BinaryIO | None:
        """The file, or None when it does not exist yet. `offset` must be the start of a line."""
        try:
            handle = self.file.open("rb")
        except FileNotFoundError:
            if offset:
                raise bad_token() from None
            return None
        if offset and os.pread(handle.fileno(), 1, offset - 1) != b"\n":
            handle.close()
            raise bad_token()
        return handle

    def _event(self, line: bytes, offset: int, times: Times) -> Event | None:
        """None for a line out of `times`, and for an empty message, which CloudWatch Logs cannot hold."""
        stamp, tab, message = line[:-1].partition(b"\t")
        if tab and stamp.isdigit() and len(stamp) < 19:
            timestamp = int(stamp)
        else:  # not written by a runner of ours: shown rather than lost
            timestamp, message = self.fallback, line[:-1]
        if not message or not times.hold(timestamp):
            return None
        text = message.decode(errors="replace")
        return Event(timestamp, timestamp, text, offset, before=offset, after=offset + len(line))


def _end_of_lines(handle: BinaryIO) -> int:
    """The offset after the last newline."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        newline = os.pread(handle.fileno(), end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _lines_backward(handle: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and text of the lines before `end`, which is the start of a line, last line first."""
    pieces: list[bytes] = []  # of the line whose start is not read yet, in reading order
    while end:
        start = max(0, end - BLOCK)
        block = os.pread(handle.fileno(), end - start, start)
        stop = len(block)
        # A block that ends where a line ends has that line's newline as its last byte: look before it.
        while (newline := block.rfind(b"\n", 0, stop if pieces else stop - 1)) >= 0:
            pieces.append(block[newline + 1 : stop])
            yield start + newline + 1, b"".join(reversed(pieces))
            pieces.clear()
            stop = newline + 1
        pieces.append(block[:stop])
        end = start
    if pieces:
        yield 0, b"".join(reversed(pieces))
