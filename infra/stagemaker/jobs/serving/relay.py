"""A way in to a container without network: `python -m stagemaker.jobs.serving.relay PID PORT LISTEN`.

A container that is cut off listens on a loopback interface of its own, which nobody else sees. The relay
listens on the machine's loopback, then moves into the network of process PID: what it accepts comes from
outside, what it connects to is inside. Nothing can be sent out this way, since nobody outside listens to
the container. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys

from stagemaker.jobs.serving.ports import LOOPBACK

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_PIECE = 64 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter_network(pid: int) -> None:
    """Move this process, which has one thread, into the network of `pid`. Raises OSError."""
    if os.getuid():  # the network belongs to a user namespace, which must be entered first
        _enter(f"/proc/{pid}/ns/user", _CLONE_NEWUSER)
    _enter(f"/proc/{pid}/ns/net", _CLONE_NEWNET)


def _enter(file: str, kind: int) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        if _LIBC.setns(descriptor, kind) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), file)
    finally:
        os.close(descriptor)


async def _relay(listener: socket.socket, port: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inside_reader, inside_writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            writer.transport.abort()  # as a port that nobody listens on
            return
        await asyncio.gather(_copy(reader, inside_writer), _copy(inside_reader, writer))

    server = await asyncio.start_server(accept, sock=listener)
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction to its end; a break on one side becomes the end of the other."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


def main(arguments: list[str]) -> int:
    """Relay until killed."""
    pid, port, listen = map(int, arguments)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, listen))
        listener.listen(128)
        enter_network(pid)
        asyncio.run(_relay(listener, port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
