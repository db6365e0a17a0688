"""The second listener: an HTTP proxy that ends TLS for AWS's hosts and refuses all others.

Clients with hard-wired hosts (the SageMaker SDK's STS call, its telemetry) thus stay on this machine.
A tunnel's inside is served by uvicorn's own protocol, in this process, without another hop.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from stagemaker.gateway.asgi import Application, Receive, Scope, Send
from stagemaker.gateway.authority import Authority
from stagemaker.gateway.guard import is_aws_host

_LOG = logging.getLogger(__name__)
_LONGEST_HEAD = 16 * 1024
_HEAD_SECONDS = 30.0
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ProxiedApplication:
    """The stage's application, told that its calls come through the proxy."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, marked."""
        extensions = {**scope.get("extensions", {}), "stagemaker": {"proxied": True}}
        await self._application({**scope, "extensions": extensions}, receive, send)


class Proxy:
    """Makes a `ProxyConnection` for each client that connects."""

    def __init__(self, application: Application, authority: Authority, server_state: ServerState) -> None:
        self.authority = authority
        self._server_state = server_state
        self._config = Config(
            ProxiedApplication(application),
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        self._config.load()

    def connection(self) -> ProxyConnection:
        """For `loop.create_server`."""
        return ProxyConnection(self)

    def protocol(self) -> _Inside:
        """What serves the HTTP inside a tunnel, or a plain request."""
        return _Inside(self._config, self._server_state, {})


class ProxyConnection(asyncio.Protocol):
    """One client, until its first line says what it wants."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._transport: asyncio.Transport
        self._limit: asyncio.TimerHandle
        self._tunnel: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client that never says what it wants is not waited for."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._limit = asyncio.get_running_loop().call_later(_HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone before it asked for anything."""
        self._limit.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect the head, then tunnel, serve or refuse."""
        if self._tunnel is not None:  # a client that does not wait for the answer to its CONNECT
            self._transport.abort()
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > _LONGEST_HEAD:
                self._refuse(431, "the request's head is too long")
            return
        self._limit.cancel()
        method, _, target = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target = target.rpartition(" ")[0]
        if method == "CONNECT":
            self._connect(target, rest)
        else:
            self._serve_plain(target)

    def _connect(self, target: str, rest: bytes) -> None:
        host = target.rpartition(":")[0].lower()
        if not is_aws_host(host):
            self._refuse_host(host or target)
        elif rest:
            self._refuse(400, "nothing may follow CONNECT before its answer")
        else:
            self._tunnel = asyncio.get_running_loop().create_task(self._open_tunnel(host))

    async def _open_tunnel(self, host: str) -> None:
        """End TLS here, as `host`."""
        try:
            _LOG.info("the proxy leads a connection to %s to the stage", host)
            context = await asyncio.to_thread(self._proxy.authority.context, host)
            inside = self._proxy.protocol()
            loop = asyncio.get_running_loop()
            # Nothing is awaited between these two, so no byte of TLS can reach this protocol.
            self._transport.write(_ESTABLISHED)
            tls = await loop.start_tls(self._transport, inside, context, server_side=True)
        except (OSError, ValueError) as error:  # a client that does not trust the authority hangs up
            _LOG.warning("the proxy's TLS with a client of %s failed: %s", host, error)
            self._transport.abort()
            return
        if tls is not None:
            inside.connection_made(tls)

    def _serve_plain(self, target: str) -> None:
        """`GET http://host/path`: plain HTTP, which is what a policy that wants TLS must see."""
        host = (urlsplit(target).hostname or "").lower()
        if not target.startswith("http://"):
            self._refuse(400, "this is the stage's proxy; its API listens on the port below")
        elif not is_aws_host(host):
            self._refuse_host(host)
        else:
            _LOG.info("the proxy leads a plain request to %s to the stage", host)
            inside = self._proxy.protocol()
            self._transport.set_protocol(inside)
            inside.connection_made(self._transport)
            inside.data_received(self._head)

    def _refuse_host(self, host: str) -> None:
        _LOG.warning("the proxy refused a connection to %s", host)
        self._refuse(
            403,
            f"Stagemaker's proxy leads to AWS's hosts on this machine only, and {host} is none of them. "
            "Run programs that need the network without it: outside of `stagemaker run` and `stagemaker shell`.",
        )

    def _refuse(self, status: int, why: str) -> None:
        body = f"{why}\n".encode()
        self._transport.write(
            f"HTTP/1.1 {status} Refused by Stagemaker\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self._transport.close()


class _Inside(HttpToolsProtocol):
    """uvicorn's protocol. `start_tls` may hand it data before it is told of its transport."""

    _early = b""

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            self._early += data
        else:
            super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn narrows it to Transport
        if self._early:
            early, self._early = self._early, b""
            super().data_received(early)
