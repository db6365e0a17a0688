from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.backing.aws_chunked import Decoder, MalformedError, is_chunked


def _encode(chunks: list[bytes], trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x;chunk-signature=0a\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return body + b"0\r\n" + trailers + b"\r\n"


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40) | st.just(b"\r\n"), max_size=5),
    cuts=st.lists(st.integers(0, 400), max_size=20),
)
def test_decodes_whatever_the_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    """Chunks come out as they went in, wherever the network cut the encoded bytes."""
    encoded = _encode(chunks, b"x-amz-checksum-crc32: AAAAAA==\r\n")
    edges = [0, *sorted(cut for cut in cuts if cut < len(encoded)), len(encoded)]
    decoder = Decoder()
    decoded = b"".join(data for start, end in pairwise(edges) for data in decoder.feed(encoded[start:end]))
    assert decoded == b"".join(chunks)
    assert decoder.done
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize(
    "encoded",
    [
        b"no size\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"0\r\nnot a trailer\r\n\r\n",
        b"0\r\n\r\nmore",
        b"f" * 20_000,
    ],
)
def test_refuses_what_is_not_the_encoding(encoded: bytes) -> None:
    """Bytes that do not keep to the encoding are an error, never data."""
    with pytest.raises(MalformedError):
        list(Decoder().feed(encoded))


def test_a_body_without_its_end_is_not_done() -> None:
    """A connection that ends early leaves the decoder unfinished."""
    decoder = Decoder()
    assert b"".join(decoder.feed(b"5\r\nhel")) == b"hel"
    assert not decoder.done


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, True),
        ({"content-encoding": "gzip,aws-chunked"}, True),
        ({"content-encoding": "gzip", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, False),
    ],
)
def test_headers_announce_it(headers: dict[str, str], expected: bool) -> None:
    """Either header may announce the encoding."""
    assert is_chunked(headers) is expected
