"""Tokens: where the next page starts, written so that a client does not take it apart."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from stagemaker.logs.event import bad_token

MOST_UNPACKED = 2**24
"""Bytes of a token's content: half a million streams."""

_POSITION = re.compile(r"([fb])/([0-9]{56})/s")


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A place in one stream and the direction to go on in, for GetLogEvents."""

    forward: bool
    position: int

    def __str__(self) -> str:
        return f"{'f' if self.forward else 'b'}/{self.position:056d}/s"

    @classmethod
    def read(cls, text: str) -> StreamToken:
        """Raises AwsError InvalidParameterException."""
        found = _POSITION.fullmatch(text)
        if found is None:
            raise bad_token()
        return cls(found[1] == "f", int(found[2]))


@dataclass(frozen=True, slots=True)
class GroupToken:
    """Places in the streams of one group, by their ids, for FilterLogEvents.

    A stream without a place has not been begun. Packed: a group may have thousands of streams.
    """

    group: int
    forward: bool
    positions: dict[int, int]

    def __str__(self) -> str:
        document = [self.group, self.forward, list(self.positions.items())]
        packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode())
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def read(cls, text: str, group: int) -> GroupToken:
        """Raises AwsError InvalidParameterException, also for a token of another group."""
        match _unpacked(text):
            case [int(of), bool(forward), list(positions)] if of == group:
                try:
                    return cls(group, forward, {int(stream): max(0, int(position)) for stream, position in positions})
                except (TypeError, ValueError, OverflowError):
                    raise bad_token() from None
        raise bad_token()


def write_name_token(*names: str | int) -> str:
    """A token that stands after the item of these sort keys."""
    return base64.urlsafe_b64encode(json.dumps(names).encode()).decode()


def read_name_token(text: str) -> str:
    """The name in a token of one key."""
    match _decoded(text):
        case [str(name)]:
            return name
    raise bad_token()


def read_time_token(text: str) -> tuple[int, str]:
    """The moment and the name in a token of two keys."""
    match _decoded(text):
        case [int(moment), str(name)]:
            return moment, name
    raise bad_token()


def _decoded(text: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(text))
    except (binascii.Error, ValueError, RecursionError):
        raise bad_token() from None


def _unpacked(text: str) -> Any:
    try:
        unpacker = zlib.decompressobj()
        document = unpacker.decompress(base64.urlsafe_b64decode(text), MOST_UNPACKED)
        return json.loads(document) if unpacker.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        raise bad_token() from None
