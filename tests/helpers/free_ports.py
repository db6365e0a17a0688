"""Free ports for programs that must be told theirs."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

_BELOW_OUTGOING = range(15000, 30000)
"""Linux and macOS take the local ports of outgoing connections from above: nothing lands here by chance."""


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens on."""
    while True:
        first = random.choice(_BELOW_OUTGOING)
        ports = list(range(first, first + count))
        with ExitStack() as probes:
            try:
                for port in ports:
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return ports
