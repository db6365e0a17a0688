"""One process, one loopback listener: the stage on uvicorn, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

import uvicorn

from stagemaker.app import Stage
from stagemaker.gateway.authority import Authority
from stagemaker.gateway.proxy import Proxy
from stagemaker.gateway.zero_copy import ZeroCopyProtocol
from stagemaker.jobs.local_connection import listen
from stagemaker.settings import LOOPBACK, Settings
from stagemaker.state import StateError, StateFolder

EXIT_FAILED = 1
_BACKLOG = 512


def serve(settings: Settings) -> int:
    """Run a stage until SIGINT or SIGTERM. Raises StateError for a folder or a port that is taken."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("stagemaker.gateway.proxy").setLevel(logging.INFO)  # where hard-wired calls went
    folder = StateFolder(settings.state)
    folder.prepare()
    folder.take()
    folder.bind(settings.backing.value)
    api, proxy = _listen_twice(settings.listen, settings.port)
    endpoint = _address(api)
    local = listen(LOOPBACK, api.getsockname()[1], _BACKLOG)
    try:
        stage = Stage(settings, folder, endpoint)
    except ValueError as error:  # keys of another account, or no keys at all
        raise StateError(str(error)) from error
    config = uvicorn.Config(
        stage,
        http=ZeroCopyProtocol,
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        # Waiters hold their connections for as long as a job runs; a stop does not wait for them.
        timeout_graceful_shutdown=2,
    )
    server = _Server(config, folder, stage, api, proxy, settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends the server at these and raises them again, which would end this process before it has tidied up.
        signal.signal(number, lambda _number, _frame: None)
    asyncio.run(server.serve(sockets=[api, *([local] if local else [])]))
    folder.stage_file.unlink(missing_ok=True)
    return 0 if server.started else EXIT_FAILED


class _Server(uvicorn.Server):
    """Serves the API and the proxy, and says where as soon as it accepts calls."""

    def __init__(
        self,
        config: uvicorn.Config,
        folder: StateFolder,
        stage: Stage,
        api: socket.socket,
        proxy: socket.socket,
        settings: Settings,
    ) -> None:
        super().__init__(config)
        self._folder = folder
        self._stage = stage
        self._api = api
        self._proxy = proxy
        self._settings = settings
        self._authority = Authority(folder.client)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        proxy = Proxy(self._stage, self._authority, self.server_state)
        # Among uvicorn's own servers, so that it is closed with them.
        self.servers.append(await asyncio.get_running_loop().create_server(proxy.connection, sock=self._proxy))
        endpoint = _address(self._api)
        self._folder.announce(
            endpoint,
            proxy=_address(self._proxy),
            backing_url=self._settings.backing_url,
            options=self._settings.options(),
        )
        print(f"Stage ready at {endpoint}, state in {self._folder.root}", flush=True)  # noqa: T201


def _address(listener: socket.socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def _listen_twice(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """The API's listener and the proxy's on the port above it; with port 0 both are free ones."""
    return _listen(address, port), _listen(address, port + 1 if port else 0)


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket. Raises StateError that names whoever has the port."""
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each GET of an object takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StateError(
            f"cannot listen on {address}:{port}: {error.strerror}{_owner(port)}.\n"
            f"End that program, or choose another port, for the API and one above it for the proxy: --port {port + 10}"
        ) from error
    return listener


def _owner(port: int) -> str:
    """Who listens on `port`, as far as the system tells this user."""
    import psutil  # 10 ms, for a message that is rarely needed

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return ""
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if not connection.pid:
                return ", by a process of another user"
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:120]
            except psutil.Error:
                command = "?"
            return f", by process {connection.pid} ({command})"
    return ""


if sys.platform == "win32":
    raise SystemExit("The stage runs on Linux and macOS; on Windows, inside WSL2.")
