"""Training on several hosts with the library's own collective, as AWS's container does.

The first host that has data runs the tracker, writes the model and prints the rounds. A host whose
shard is empty says so and leaves: the others train without it.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from xgboost import collective
from xgboost.tracker import RabitTracker

LOG = logging.getLogger(__name__)

TRACKER_PORT = 9099
"""Where AWS's container listens on the first host; the second meeting is one port further."""
DOORS = 100
"""Ports further than a tracker: where its host says that the tracker listens."""
_RETRIES = 12
"""Tries to reach the tracker; the library waits longer before each, about a minute and a half in all."""
_TIMEOUT_SECONDS = 300
_PAUSE = 0.02

AddressOf = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The hosts of a job, sorted, and which one this is."""

    current: str
    hosts: tuple[str, ...]

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return len(self.hosts) == 1


def hosts_with_data(cluster: Cluster, has_data: bool, address_of: AddressOf) -> Cluster:
    """The same cluster without the hosts that have no data; every host hears the same."""
    if cluster.is_alone:
        return cluster
    marks = np.zeros(len(cluster.hosts), dtype=np.float64)
    marks[cluster.hosts.index(cluster.current)] = has_data
    with meeting(cluster, TRACKER_PORT, address_of):
        marks = collective.allreduce(marks, collective.Op.SUM)
    present = tuple(host for host, mark in zip(cluster.hosts, marks, strict=True) if mark)
    return Cluster(cluster.current, present)


@contextmanager
def together(cluster: Cluster, address_of: AddressOf) -> Iterator[None]:
    """Within the block the library trains one model with all hosts of `cluster`."""
    if cluster.is_alone:
        LOG.info("Single node training.")
        yield
        return
    LOG.info("Distributed node training with %d hosts: %s", len(cluster.hosts), list(cluster.hosts))
    with meeting(cluster, TRACKER_PORT + 1, address_of):
        yield


@contextmanager
def meeting(cluster: Cluster, port: int, address_of: AddressOf) -> Iterator[None]:
    """All hosts, joined by a tracker on the first one."""
    tracker = None
    address = address_of(cluster.hosts[0])
    with ExitStack() as closing:
        if cluster.current == cluster.hosts[0]:
            tracker = RabitTracker(
                len(cluster.hosts), host_ip=address, port=port, sortby="task", timeout=_TIMEOUT_SECONDS
            )
            tracker.start()
            with suppress(OSError):  # the others then find the tracker by the library's own tries
                closing.enter_context(socket.create_server((address, port + DOORS), backlog=len(cluster.hosts)))
        else:
            await_door(address, port + DOORS)
        with collective.CommunicatorContext(
            dmlc_communicator="rabit",
            dmlc_tracker_uri=address,
            dmlc_tracker_port=port,
            # Ranks go by task: the first host is rank 0, which writes the model.
            dmlc_task_id=f"{cluster.hosts.index(cluster.current):04}",
            dmlc_retry=_RETRIES,
            dmlc_timeout=_TIMEOUT_SECONDS,
        ):
            yield
        if tracker is not None:
            tracker.wait_for()


def await_door(address: str, port: int, patience: float = 60.0) -> None:
    """Wait until somebody listens, for at most `patience` seconds.

    Of a tracker that does not listen yet the library asks again after 2 s, then 4 s, and so on: two hosts that
    begin at the same moment would spend most of a short training so. The tracker itself cannot be asked: whoever
    connects to it counts as a host.
    """
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        try:
            socket.create_connection((address, port), timeout=patience).close()
        except OSError:
            time.sleep(_PAUSE)
        else:
            return


def is_master(cluster: Cluster) -> bool:
    """Whether this host writes the model and prints the rounds."""
    return cluster.current == cluster.hosts[0]


def leave(hosts: Sequence[str]) -> None:
    """Say that this host has nothing to do."""
    LOG.warning("Host without data in its train channel: it does not take part. Hosts with data: %s", list(hosts))
