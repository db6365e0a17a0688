"""What the rest of the stage needs of the backing: the services that are not the stage's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from stagemaker.wire.message import Reply, Request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ZERO_COPY = "http.response.zerocopysend"
"""ASGI's extension, and its message, with which a server sends a part of an open file."""


class BackingError(Exception):
    """The backing cannot run at all. The message is for the person at the terminal."""


class Backing(Protocol):
    """S3, IAM, STS, SNS, SQS, EventBridge ... behind the gateway, which has authorised every call."""

    async def start(self) -> None:
        """Load the state. Raises BackingError when the backing does not fit this version of the stage."""
        ...

    async def stop(self) -> None:
        """Write what is not written yet and let go of the files."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one client call (ASGI). Bodies stream both ways.

        `scope["extensions"]["stagemaker"]` may hold `service` (the signing name), `region`,
        `secure_transport` (default True: the loopback endpoint counts as TLS) and `anonymous` (default
        False). Without the first two they are read off the call's signature.
        """
        ...

    async def send(self, request: Request, *, region: str, service: str | None = None) -> Reply:
        """Carry out a call of the stage's own as the account's root. Bodies are small, nothing is signed.

        Without `service` it is read off the request: the host's first label, X-Amz-Target, the API
        version of a query call, else S3.
        """
        ...

    async def reset(self) -> None:
        """Empty the account."""
        ...

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """The port `Events`. Raises PortError."""
        ...
