"""How the hosts of a job find one another.

On AWS `algo-1` is a name that resolves on the job's network. A local process shares the machine's
resolver, which does not know it; so the addresses are also in a variable, for programs that ask here.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping

HOSTS_VARIABLE = "STAGEMAKER_HOSTS"
"""A JSON object: host name to address."""


def address_of(host: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address of `host`: from the variable, else as the resolver says. Raises OSError."""
    known: dict[str, str] = json.loads(environment.get(HOSTS_VARIABLE) or "{}")
    return known.get(host) or socket.gethostbyname(host)
