"""The HTTP request and reply that the gateway and the services pass to one another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request whose body has been read. Header names are lower case, `path` is undecoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply. A body that is an iterator is sent piece by piece as it comes."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes] = b""


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
