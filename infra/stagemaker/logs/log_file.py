r"""A stream that is a job's log file, read in place.

Each line is `<epoch ms>\t<message>\n`. A job appends while readers read: a last line without its
newline is not there yet. Positions are byte offsets, so a page costs what it holds and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stagemaker.logs.event import Event, Span, Times, bad_token

FIRST_BLOCK = 4 * 1024
LARGEST_BLOCK = 256 * 1024
"""Bytes read at once: little at first, since a search looks at the heads of many files."""

ALL_TIMES = Times(0, 2**63 - 1)


class LogFile:
    """The events of `file`. `fallback` is the timestamp of lines that lack one."""

    def __init__(self, file: Path, fallback: int) -> None:
        self.file = file
        self.fallback = fallback

    def forward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` whose lines start at `position` or later, oldest first."""
        offset = position or 0
        self._check_line_starts_at(offset)
        for line in self._lines(offset):
            if event := self._event(line, offset, times):
                yield event
            offset += len(line) + 1

    def backward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` whose lines end at `position` or earlier, newest first."""
        self._check_line_starts_at(position or 0)
        end = self._end_of_lines() if position is None else position
        for offset, line in self._lines_backward(end):
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

    # The file is opened for each block: a search reads along thousands of files, and a process may
    # not hold so many open.

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self.file.open("rb", buffering=0) as handle:
                return os.pread(handle.fileno(), size, offset)
        except FileNotFoundError:
            return b""

    def _check_line_starts_at(self, offset: int) -> None:
        if offset and (offset >= 2**63 or self._read(offset - 1, 1) != b"\n"):
            raise bad_token()

    def _lines(self, offset: int) -> Iterator[bytes]:
        """The complete lines from `offset` on, without their newlines."""
        begun: list[bytes] = []
        for size in _block_sizes():
            block = self._read(offset, size)
            if not block:
                return
            offset += len(block)
            begun.append(block)
            if b"\n" in block:
                *lines, rest = b"".join(begun).split(b"\n")
                begun = [rest]
                yield from lines

    def _lines_backward(self, end: int) -> Iterator[tuple[int, bytes]]:
        """Offset and text of the complete lines that end at `end` or before it, last line first."""
        if not end:
            return
        unread = end - 1  # everything before this newline, which is not part of its line's text
        begun: list[bytes] = []  # of the line that ends there: its pieces, the last one first
        for size in _block_sizes():
            start = max(0, unread - size)
            block = self._read(start, unread - start)
            stop = len(block)
            while (newline := block.rfind(b"\n", 0, stop)) >= 0:
                begun.append(block[newline + 1 : stop])
                yield start + newline + 1, b"".join(reversed(begun))
                begun.clear()
                stop = newline
            begun.append(block[:stop])
            unread = start
            if not start:
                yield 0, b"".join(reversed(begun))
                return

    def _end_of_lines(self) -> int:
        """The offset after the last newline."""
        end, sizes = self.size(), _block_sizes()
        while end:
            start = max(0, end - next(sizes))
            newline = self._read(start, end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _event(self, line: bytes, offset: int, times: Times) -> Event | None:
        """None for a line out of `times`, and for an empty message, which CloudWatch Logs cannot hold."""
        stamp, tab, message = line.partition(b"\t")
        if tab and stamp.isdigit() and len(stamp) < 19:
            timestamp = int(stamp)
        else:  # not written by a runner of ours: shown rather than lost
            timestamp, message = self.fallback, line
        if not message or not times.hold(timestamp):
            return None
        text = message.decode(errors="replace")
        return Event(timestamp, timestamp, text, offset, before=offset, after=offset + len(line) + 1)


def _block_sizes() -> Iterator[int]:
    size = FIRST_BLOCK
    while True:
        yield size
        size = min(size * 4, LARGEST_BLOCK)
