"""An object's bytes as payloads for the model: SplitType and BatchStrategy.

Nothing is looked at line by line where whole lines are sent together: the end of a payload is searched from
behind, so that a row costs next to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from stagemaker.jobs.pipe import RECORD_MAGIC
from stagemaker.jobs.transform.spec import Split, Strategy

_PIECE = 1024 * 1024
_LENGTH_MASK = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MAGIC = struct.pack("<I", RECORD_MAGIC)
_RECORD_HEAD = struct.Struct("<II")
_TF_HEAD = struct.Struct("<QI")
"""Length and its checksum; another checksum of four bytes follows the data."""


class SplitError(Exception):
    """The object cannot be split. The text is for the data log."""


class TooMuchDataError(SplitError):
    """A record, or an object that is not split, is larger than a payload may be."""

    def __init__(self) -> None:
        super().__init__("Too much data for max payload size")


class Readable(Protocol):
    """What is split."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def payloads(source: Readable, split: Split, strategy: Strategy, limit: int) -> Iterator[bytes]:
    """The payloads of an object in their order, of at most `limit` bytes each.

    An object that is not split is one payload, an empty one too; one that is split and empty has none.
    Raises SplitError, TooMuchDataError, and what `source` raises.
    """
    if split is Split.NONE:
        yield _all(source, limit)
    elif split is Split.LINE:
        yield from (_line_groups if strategy is Strategy.MULTI else _lines)(source, limit)
    elif strategy is Strategy.MULTI:
        yield from _packed((framed for framed, _ in _FRAMES[split](_Reader(source, limit))), limit)
    else:
        yield from (bare for _, bare in _FRAMES[split](_Reader(source, limit)))


def _all(source: Readable, limit: int) -> bytes:
    data = bytearray()
    while piece := source.read(_PIECE):
        data += piece
        if len(data) > limit:
            raise TooMuchDataError
    return bytes(data)


def _line_groups(source: Readable, limit: int) -> Iterator[bytes]:
    """As many whole lines as fit."""
    buffer = bytearray()
    while piece := source.read(_PIECE):
        buffer += piece
        while len(buffer) > limit:
            end = buffer.rfind(b"\n", 0, limit) + 1
            if not end:
                raise TooMuchDataError
            yield bytes(buffer[:end])
            del buffer[:end]
    if buffer:
        yield bytes(buffer)


def _lines(source: Readable, limit: int) -> Iterator[bytes]:
    """One line each, with its end."""
    rest = b""
    while piece := source.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if len(line) >= limit:
                raise TooMuchDataError
            yield line + b"\n"
        if len(rest) > limit:
            raise TooMuchDataError
    if rest:
        yield rest


def _packed(records: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """As many records as fit."""
    buffer = bytearray()
    for record in records:
        if buffer and len(buffer) + len(record) > limit:
            yield bytes(buffer)
            buffer.clear()
        buffer += record
    if buffer:
        yield bytes(buffer)


class _Reader:
    """Exact numbers of bytes from a source that gives what it has. Refuses more than `limit` at once."""

    def __init__(self, source: Readable, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._buffer = bytearray()

    def take(self, size: int, what: str) -> bytes:
        """`size` bytes; none at the end of the object. Raises SplitError for an end in their middle."""
        if size > self._limit:
            raise TooMuchDataError
        while len(self._buffer) < size and (piece := self._source.read(_PIECE)):
            self._buffer += piece
        if self._buffer and len(self._buffer) < size:
            raise SplitError(f"The object ends in the middle of a {what}")
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def rest(self, size: int, what: str) -> bytes:
        """`size` bytes that must be there."""
        taken = self.take(size, what)
        if len(taken) < size:
            raise SplitError(f"The object ends in the middle of a {what}")
        return taken

    def check(self, size: int) -> None:
        """Raise TooMuchDataError for a record of so many bytes."""
        if size > self._limit:
            raise TooMuchDataError


def _record_io(reader: _Reader) -> Iterator[tuple[bytes, bytes]]:
    """Each record with its frame, and its data alone.

    Data that holds the magic number at a multiple of four is written in parts, without it.
    """
    what = "RecordIO record"
    framed, bare, expected = b"", b"", {_WHOLE, _FIRST}
    while head := reader.take(_RECORD_HEAD.size, what):
        magic, word = _RECORD_HEAD.unpack(head)
        part, length = word >> 29, word & _LENGTH_MASK
        if magic != RECORD_MAGIC or part not in expected:
            raise SplitError("The object is not in RecordIO format")
        data = reader.rest(length, what)
        framed += head + data + reader.rest(-length % 4, what)
        bare += (_MAGIC if part in {_MIDDLE, _LAST} else b"") + data
        reader.check(len(framed))
        if part in {_WHOLE, _LAST}:
            yield framed, bare
            framed, bare, expected = b"", b"", {_WHOLE, _FIRST}
        else:
            expected = {_MIDDLE, _LAST}
    if framed:
        raise SplitError(f"The object ends in the middle of a {what}")


def _tf_records(reader: _Reader) -> Iterator[tuple[bytes, bytes]]:
    """Each record with its frame, and its data alone. The checksums are passed on and not looked at."""
    what = "TFRecord record"
    while head := reader.take(_TF_HEAD.size, what):
        length, _ = _TF_HEAD.unpack(head)
        data = reader.rest(length, what)
        framed = head + data + reader.rest(4, what)
        reader.check(len(framed))
        yield framed, data


_FRAMES: dict[Split, Callable[[_Reader], Iterator[tuple[bytes, bytes]]]] = {
    Split.RECORD_IO: _record_io,
    Split.TF_RECORD: _tf_records,
}
