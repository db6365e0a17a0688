"""SplitType and BatchStrategy: an object's bytes as payloads."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.jobs.pipe import RECORD_MAGIC, framed_header, padding
from stagemaker.jobs.transform.spec import Split, Strategy
from stagemaker.jobs.transform.splitting import SplitError, TooMuchDataError, payloads

LARGE = 1 << 20


class Dribble(io.BytesIO):
    """A source that gives a few bytes at a time, as a network does."""

    def read(self, _size: int | None = -1, /) -> bytes:
        """Seven bytes at most."""
        return super().read(7)


def split(data: bytes, kind: Split, strategy: Strategy, limit: int = LARGE) -> list[bytes]:
    """All payloads."""
    return list(payloads(Dribble(data), kind, strategy, limit))


def recordio(*records: bytes) -> bytes:
    """The records, framed."""
    return b"".join(framed_header(len(each)) + each + padding(len(each)) for each in records)


def tf_record(*records: bytes) -> bytes:
    """The records, framed; the checksums are not looked at."""
    return b"".join(struct.pack("<QI", len(each), 1) + each + struct.pack("<I", 2) for each in records)


def test_object_that_is_not_split_is_one_payload() -> None:
    """Whatever it holds, nothing included; and it must fit."""
    assert split(b"a\nb\n", Split.NONE, Strategy.MULTI) == [b"a\nb\n"]
    assert split(b"", Split.NONE, Strategy.MULTI) == [b""]
    with pytest.raises(TooMuchDataError, match="Too much data for max payload size"):
        split(b"12345", Split.NONE, Strategy.MULTI, 4)


def test_many_lines_a_payload() -> None:
    """As many whole lines as fit; a header and empty lines are lines; the last one may lack its end."""
    data = b"head,er\n1,2\n\n3,4\n5,6"
    assert split(data, Split.LINE, Strategy.MULTI) == [data]
    assert split(data, Split.LINE, Strategy.MULTI, 12) == [b"head,er\n1,2\n", b"\n3,4\n5,6"]
    assert split(b"", Split.LINE, Strategy.MULTI) == []


def test_one_line_a_payload() -> None:
    """Each with its end."""
    assert split(b"1,2\n\n3,4", Split.LINE, Strategy.SINGLE) == [b"1,2\n", b"\n", b"3,4"]


@pytest.mark.parametrize("strategy", Strategy)
def test_line_that_is_too_long(strategy: Strategy) -> None:
    """One that just fits passes, with its end or without; one byte more is too much, and what came before is sent."""
    assert split(b"1\n234\n567\n", Split.LINE, strategy, 4)[-2:] == [b"234\n", b"567\n"]
    assert split(b"1\n2345", Split.LINE, strategy, 4)[-1] == b"2345"
    found = payloads(io.BytesIO(b"1\n2\n3456789\n"), Split.LINE, strategy, 4)
    assert next(found).startswith(b"1\n")
    with pytest.raises(TooMuchDataError):
        list(found)


@given(st.binary(max_size=200), st.integers(1, 60), st.sampled_from(Strategy))
def test_lines_are_never_broken_nor_lost(data: bytes, limit: int, strategy: Strategy) -> None:
    """Payloads joined are the object; each ends a line but for the last; each fits; none could take the next line."""
    lines = io.BytesIO(data).readlines()
    if max(map(len, lines), default=0) > limit:
        with pytest.raises(TooMuchDataError):
            split(data, Split.LINE, strategy, limit)
        return
    found = split(data, Split.LINE, strategy, limit)
    assert b"".join(found) == data
    assert all(len(each) <= limit and each.endswith(b"\n") for each in found[:-1])
    if strategy is Strategy.SINGLE:
        assert found == lines


@pytest.mark.parametrize(("kind", "frame"), [(Split.RECORD_IO, recordio), (Split.TF_RECORD, tf_record)])
def test_records_keep_their_frame_or_lose_it(kind: Split, frame: Callable[[bytes], bytes]) -> None:
    """MultiRecord sends whole records as they are, as many as fit; SingleRecord the data alone."""
    records = [b"one", b"", b"three"]
    framed = [frame(each) for each in records]
    assert split(b"".join(framed), kind, Strategy.MULTI) == [b"".join(framed)]
    assert split(b"".join(framed), kind, Strategy.MULTI, len(framed[0] + framed[1])) == [
        framed[0] + framed[1],
        framed[2],
    ]
    assert split(b"".join(framed), kind, Strategy.SINGLE) == records
    assert split(b"", kind, Strategy.MULTI) == []


def test_record_in_parts_is_one_record() -> None:
    """RecordIO writes data that holds its own magic number in parts; their data is joined by that number."""
    magic = struct.pack("<I", RECORD_MAGIC)
    parts = [(1, b"abcd"), (2, b"efgh"), (3, b"ij")]
    data = b"".join(struct.pack("<II", RECORD_MAGIC, part << 29 | len(x)) + x + padding(len(x)) for part, x in parts)
    data += recordio(b"next")
    assert split(data, Split.RECORD_IO, Strategy.SINGLE) == [magic.join(x for _, x in parts), b"next"]
    assert split(data, Split.RECORD_IO, Strategy.MULTI) == [data]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Split.RECORD_IO, b"not recordio"),
        (Split.RECORD_IO, recordio(b"0123456789")[:-3]),
        (Split.RECORD_IO, recordio(b"0123456789")[:5]),
        (Split.RECORD_IO, struct.pack("<II", RECORD_MAGIC, 1 << 29 | 4) + b"abcd"),
        (Split.RECORD_IO, struct.pack("<II", RECORD_MAGIC, 3 << 29 | 4) + b"abcd"),
        (Split.TF_RECORD, tf_record(b"0123456789")[:-3]),
        (Split.TF_RECORD, tf_record(b"0123456789")[:5]),
    ],
)
@pytest.mark.parametrize("strategy", Strategy)
def test_what_is_no_record_is_refused(kind: Split, data: bytes, strategy: Strategy) -> None:
    """Another format, or an end in the middle."""
    with pytest.raises(SplitError):
        split(data, kind, strategy)


@pytest.mark.parametrize("strategy", Strategy)
def test_record_that_is_too_large(strategy: Strategy) -> None:
    """Found by its length, before its data is read."""
    for kind, data in ((Split.RECORD_IO, recordio(b"x" * 100)), (Split.TF_RECORD, tf_record(b"x" * 100)[:12])):
        with pytest.raises(TooMuchDataError):
            split(data, kind, strategy, 50)
