"""The HTTP request and reply that the gateway and the services pass to one another."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace

from stagemaker.wire.errors import AwsError

MOST_UNPACKED = 16 * 2**20
"""Bytes that a packed body may unpack to: 16 times the 1 MB that PutMetricData may carry."""

_GZIP = zlib.MAX_WBITS | 16


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request whose body has been read. Header names are lower case, `path` is undecoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    def unpacked(self) -> Request:
        """This request with a body that is not compressed; itself when it never was.

        botocore packs PutMetricData bodies of 10,240 bytes and more. The signature covers the packed
        bytes, so unpack after it has been checked. Raises AwsError SerializationException (broken
        packing, or one that is not gzip) and RequestEntityTooLarge (413).
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"", "identity"}:
            return self
        if encoding != "gzip":
            raise AwsError("SerializationException", f"Content-Encoding {encoding} is not supported, use gzip", 415)
        return replace(self, body=_gunzip(self.body), headers={**self.headers, "content-encoding": "identity"})


def _gunzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        body = unpacker.decompress(packed, MOST_UNPACKED)
    except zlib.error as error:
        raise AwsError("SerializationException", f"The request body is not gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise AwsError("RequestEntityTooLarge", f"The request body unpacks to more than {MOST_UNPACKED} bytes", 413)
    if not unpacker.eof:
        raise AwsError("SerializationException", "The request body is not gzip: it ends too early")
    return body


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply. A body that is a generator is sent piece by piece as it comes."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncGenerator[bytes, None] = b""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, as STS GetCallerIdentity would name them."""

    arn: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know of a call beside its parameters."""

    account: str
    region: str
    caller: Caller
    request_id: str
    user_agent: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_waiter(self) -> bool:
        """Whether one of botocore's waiters makes this call.

        botocore lists the features in use in its User-Agent, `m/Z,D,b,B`; `B` is the waiter.
        """
        for part in self.user_agent.split():
            if part.startswith("m/"):
                return "B" in part[2:].split(",")
        return False
