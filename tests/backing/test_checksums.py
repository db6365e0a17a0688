from __future__ import annotations

import base64
import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagemaker.backing.checksums import ALGORITHMS, POLYNOMIALS, checksum, composite, full_object, new_digest


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_published_check_values(algorithm: str, expected: str) -> None:
    """Each CRC of the nine digits is the check value that its definition publishes."""
    assert base64.b64decode(checksum(algorithm, [b"123456789"])).hex() == expected


@settings(max_examples=30, deadline=None)
@given(
    algorithm=st.sampled_from(ALGORITHMS), seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 70_000), max_size=5)
)
def test_pieces_do_not_matter(algorithm: str, seed: int, cuts: list[int]) -> None:
    """A digest is the same in whatever pieces the bytes come, long ones (by lanes) and short ones."""
    data = random.Random(seed).randbytes(70_000)
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    one_by_one = new_digest(algorithm)
    for start in range(0, len(data), 1000):
        one_by_one.update(data[start : start + 1000])
    assert checksum(algorithm, pieces) == base64.b64encode(one_by_one.digest()).decode()


@pytest.mark.parametrize("algorithm", sorted(POLYNOMIALS))
def test_crc_of_the_whole_from_its_parts(algorithm: str) -> None:
    """The CRC of an object follows from its parts' CRCs and sizes."""
    data = random.Random(7).randbytes(300_001)
    parts = [data[:100_000], data[100_000:100_001], data[100_001:]]
    whole = full_object(algorithm, [(checksum(algorithm, [part]), len(part)) for part in parts])
    assert whole == checksum(algorithm, [data])


def test_composite_is_the_digest_of_digests_and_their_number() -> None:
    """An object sent in parts has the checksum of its parts' checksums, as S3's user guide defines it."""
    parts = [b"one", b"two"]
    expected = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    sums = [checksum("SHA256", [part]) for part in parts]
    assert composite("SHA256", sums) == base64.b64encode(expected).decode() + "-2"
