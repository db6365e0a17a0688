"""Bodies whose chunks are signed one by one, as SDKs send them over plain HTTP."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.identity.payload import Payload
from stagemaker.identity.refusals import Family
from stagemaker.identity.sigv4 import EMPTY_SHA256, signing_key
from stagemaker.wire.errors import AwsError

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = signing_key(SECRET, "20130524", "us-east-1", "s3")
STAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def payload(seed: str, mode: str = CHUNKS) -> Payload:
    """What a body must prove after a request with signature `seed`."""
    return Payload(mode, Family.S3, KEY, STAMP, SCOPE, seed)


def framed(*chunks: tuple[bytes, str], trailer: bytes = b"") -> bytes:
    """A body in aws-chunked encoding."""
    parts = [b"%x;chunk-signature=%s\r\n" % (len(data), name.encode()) + data for data, name in chunks]
    return b"\r\n".join(parts) + trailer + b"\r\n"


DOCUMENTED = framed(
    (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"


def test_the_vector_of_s3s_documentation() -> None:
    """The chunked upload in S3's API reference is accepted as it stands."""
    assert len(DOCUMENTED) == 66824
    payload(SEED).check(DOCUMENTED)


@given(cuts=st.lists(st.integers(0, len(DOCUMENTED)), max_size=20))
def test_pieces_may_be_cut_anywhere(cuts: list[int]) -> None:
    """The network's pieces have nothing to do with the chunks."""
    reader = payload(SEED).reader()
    assert reader is not None
    edges = sorted({0, *cuts, len(DOCUMENTED)})
    for start, end in pairwise(edges):
        reader.feed(DOCUMENTED[start:end])
    reader.finish()


def test_every_byte_alone() -> None:
    """Even one byte at a time."""
    reader = payload(SEED).reader()
    assert reader is not None
    for byte in DOCUMENTED:
        reader.feed(bytes([byte]))
    reader.finish()


def chain(seed: str, *chunks: bytes, trailer: bytes = b"") -> bytes:
    """A signed body, computed anew after the documentation."""
    previous, signed = seed, []
    for data in (*chunks, b""):
        digest = hashlib.sha256(data).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{STAMP}\n{SCOPE}\n{previous}\n{EMPTY_SHA256}\n{digest}"
        previous = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
        signed.append((data, previous))
    if not trailer:
        return framed(*signed)
    digest = hashlib.sha256(trailer + b"\n").hexdigest()
    text = f"AWS4-HMAC-SHA256-TRAILER\n{STAMP}\n{SCOPE}\n{previous}\n{digest}"
    signature = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    return framed(*signed, trailer=trailer + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n")


TRAILED = chain("0" * 64, b"one", b"two" * 1000, trailer=b"x-amz-checksum-crc32c:sOO8/Q==")


def test_a_signed_trailer() -> None:
    """A checksum that follows the body has a signature of its own."""
    payload("0" * 64, f"{CHUNKS}-TRAILER").check(TRAILED)


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (DOCUMENTED.replace(b"aaaa", b"aaab", 1), CHUNKS),
        (chain("1" * 64, b"one"), CHUNKS),
        (TRAILED.replace(b"sOO8", b"xOO8"), f"{CHUNKS}-TRAILER"),
    ],
    ids=["a changed byte", "another request's chunks", "a changed checksum"],
)
def test_what_was_not_signed(body: bytes, mode: str) -> None:
    """A chunk or trailer that was changed does not fit its signature."""
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        payload(SEED if mode == CHUNKS else "0" * 64, mode).check(body)


@pytest.mark.parametrize(
    "body",
    [
        DOCUMENTED[:-90],
        b"",
        b"one",
        b"3\r\none\r\n",
        b"zz;chunk-signature=0\r\n",
        b"-3;chunk-signature=0\r\n",
        b"3;chunk-signature=0\r\nonetwo",
        b"f" * 5000,
        DOCUMENTED + b"more",
    ],
    ids=["cut off", "empty", "not framed", "unsigned", "no size", "negative", "too long", "no end", "more after it"],
)
def test_what_is_not_framed(body: bytes) -> None:
    """A body that breaks the framing is refused, and never taken for a shorter one."""
    with pytest.raises(AwsError) as refused:
        payload(SEED).check(body)
    assert refused.value.code in {"IncompleteBody", "SignatureDoesNotMatch"}


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=8), at=st.integers(min_value=0))
def test_no_changed_byte_goes_unnoticed(chunks: list[bytes], at: int) -> None:
    """Any one bit of the data that is flipped is found."""
    body = bytearray(chain("2" * 64, *chunks))
    payload("2" * 64).check(bytes(body))
    if chunks:
        place = at % len(chunks)
        offset = body.find(chunks[place] + b"\r\n")
        body[offset] ^= 1
        with pytest.raises(AwsError):
            payload("2" * 64).check(bytes(body))


def test_what_the_signature_leaves_open() -> None:
    """Two modes do not cover the body: there is nothing to read for them."""
    for mode in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        open_payload = payload(SEED, mode)
        assert not open_payload.is_bound
        assert open_payload.reader() is None
        open_payload.check(b"anything")
