"""Ports for containers that must be told theirs, each for one container of this machine at a time."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
_BELOW_OUTGOING = range(20000, 30000)
"""Linux and macOS take the local ports of outgoing connections from above: none of them lands here by chance."""
_MOST_TRIES = 2000


class ReservedPorts:
    """TCP ports in a row on loopback that no other container is given for as long as this object is open.

    A container binds its port itself, some time after it was told, and must not meet another there. What
    holds a port meanwhile is a UDP socket of the same number: it does not stand in the container's way.
    """

    def __init__(self, count: int = 1) -> None:
        """Reserve `count` ports. Raises OSError when there are none left."""
        for _ in range(_MOST_TRIES):
            first = random.choice(_BELOW_OUTGOING)  # noqa: S311 - no secret
            with ExitStack() as held:
                try:
                    for number in range(first, first + count):
                        held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((LOOPBACK, number))
                        _probe(number)
                except OSError:
                    continue
                self.first, self.last = first, first + count - 1
                self._held = held.pop_all()
                return
        raise OSError("no free ports on loopback")

    def close(self) -> None:
        """Let others have the ports."""
        self._held.close()


def _probe(port: int) -> None:
    """Raises OSError when somebody listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what only lingers is no hindrance
        probe.bind((LOOPBACK, port))
