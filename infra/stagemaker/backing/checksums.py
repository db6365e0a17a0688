"""S3's checksums: computed as bytes arrive, and put together for objects that were sent in parts.

MD5, SHA-1, SHA-256 and CRC-32 come from the standard library. CRC-32C and CRC-64/NVME do not, and a
loop over bytes does 10 MB/s, so longer pieces are cut into lanes that numpy advances side by side.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    Registers = np.ndarray[Any, np.dtype[np.uint64]]

POLYNOMIALS = {"CRC32": 0xEDB88320, "CRC32C": 0x82F63B78, "CRC64NVME": 0x9A6C9329AC4BC9B5}
"""Reflected. CRC-64/NVME is AD93D23594C93659 the other way round (NVM Express, CRC-32C is RFC 3720's)."""

WIDTHS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
"""The algorithms of S3, by their names in the API. The header is `x-amz-checksum-` and the lower case."""

_LANE = 256  # bytes of a lane; a power of two
_WORTH_LANES = 64 * _LANE  # below this the loop is quicker than numpy's import and set-up


class Digest(Protocol):
    """Takes bytes piece by piece."""

    def update(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        ...


def new_digest(algorithm: str) -> Digest:
    """A digest for `MD5` or one of `ALGORITHMS`. Raises KeyError for another name."""
    if algorithm == "MD5":
        return hashlib.md5(usedforsecurity=False)
    if algorithm == "SHA1":
        return hashlib.sha1(usedforsecurity=False)
    if algorithm == "SHA256":
        return hashlib.sha256()
    return _Crc(algorithm)


def encoded(digest: Digest) -> str:
    """As S3 writes checksums: base64."""
    return base64.b64encode(digest.digest()).decode()


def checksum(algorithm: str, pieces: Iterable[bytes]) -> str:
    """The checksum of `pieces`, one after the other, in base64."""
    digest = new_digest(algorithm)
    for piece in pieces:
        digest.update(piece)
    return encoded(digest)


def full_object(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The CRC of a whole object from its parts' CRCs (base64) and sizes, without reading them again."""
    whole = 0
    for part, size in parts:
        whole = _shift(algorithm, whole, size) ^ int.from_bytes(base64.b64decode(part), "big")
    return base64.b64encode(whole.to_bytes(WIDTHS[algorithm], "big")).decode()


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """The checksum of the parts' checksums, with their number, as S3 gives for an object sent in parts."""
    return f"{checksum(algorithm, [base64.b64decode(part) for part in parts])}-{len(parts)}"


class _Crc:
    """A reflected CRC with all ones before and after."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._width = WIDTHS[algorithm]
        self._ones = (1 << (8 * self._width)) - 1
        self._register = 0 if algorithm == "CRC32" else self._ones

    def update(self, data: bytes) -> None:
        if self._algorithm == "CRC32":
            self._register = zlib.crc32(data, self._register)
            return
        if len(data) >= _WORTH_LANES:
            even = len(data) - len(data) % _LANE
            self._register = _lanes(self._algorithm, self._register, data[:even])
            data = data[even:]
        register, table = self._register, _table(self._algorithm)
        for byte in data:
            register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
        self._register = register

    def digest(self) -> bytes:
        value = self._register if self._algorithm == "CRC32" else self._register ^ self._ones
        return value.to_bytes(self._width, "big")


@cache
def _table(algorithm: str) -> tuple[int, ...]:
    """What each byte does to an empty register."""
    polynomial, table = POLYNOMIALS[algorithm], []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


@cache
def _zeros(algorithm: str, power: int) -> Registers:
    """What 2**power zero bytes do to a register: for each of its eight bytes, a table of 256.

    The operation is linear, so the tables of twice as many zeros are these applied to themselves.
    """
    import numpy as np  # 0.1 s, and only CRC-32C and CRC-64/NVME need it

    if power == 0:
        table = np.array(_table(algorithm), dtype=np.uint64)
        rows = [table] + [np.arange(256, dtype=np.uint64) << np.uint64(8 * (byte - 1)) for byte in range(1, 8)]
        return np.stack(rows)
    half = _zeros(algorithm, power - 1)
    return _apply(half, half)


def _apply(tables: Registers, registers: Registers) -> Registers:
    """Every register after the zero bytes that `tables` stand for."""
    import numpy as np

    result: Registers = tables[0][registers & np.uint64(0xFF)]
    for byte in range(1, 8):
        result = result ^ tables[byte][(registers >> np.uint64(8 * byte)) & np.uint64(0xFF)]
    return result


def _shift(algorithm: str, register: int, zeros: int) -> int:
    """`register` after `zeros` zero bytes."""
    import numpy as np

    value = np.array([register], dtype=np.uint64)
    for power in range(zeros.bit_length()):
        if zeros >> power & 1:
            value = _apply(_zeros(algorithm, power), value)
    return int(value[0])


def _lanes(algorithm: str, register: int, data: bytes) -> int:
    """`register` after `data`, whose length is a multiple of `_LANE`."""
    import numpy as np

    columns = np.frombuffer(data, dtype=np.uint8).reshape(-1, _LANE).T.astype(np.uint64)
    table = np.array(_table(algorithm), dtype=np.uint64)
    registers = np.zeros(columns.shape[1], dtype=np.uint64)
    registers[0] = register
    low, eight = np.uint64(0xFF), np.uint64(8)
    for column in columns:
        registers = table[(registers ^ column) & low] ^ (registers >> eight)
    power = _LANE.bit_length() - 1
    while len(registers) > 1:
        if len(registers) % 2:  # an empty register in front changes nothing
            registers = np.concatenate((np.zeros(1, dtype=np.uint64), registers))
        registers = _apply(_zeros(algorithm, power), registers[0::2]) ^ registers[1::2]
        power += 1
    return int(registers[0])
