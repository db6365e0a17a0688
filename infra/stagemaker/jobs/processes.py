"""Which processes run below another, and what they use. Linux only: read from /proc.

Elsewhere there is nothing to read without a library: no process is found and no usage is measured.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Process:
    """One process: CPU seconds of its own and of the children it has waited for, resident bytes."""

    pid: int
    parent: int
    cpu_seconds: float
    resident: int
    is_zombie: bool


def adopt_orphans() -> None:
    """Let processes whose parent ends become children of this one, so that none of a job is ever lost."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tree(root: int) -> list[Process]:
    """The process `root` and all below it."""
    everyone = list(_all_processes())
    found = {root}
    while more := {each.pid for each in everyone if each.parent in found} - found:
        found |= more
    return [each for each in everyone if each.pid in found]


def kill_descendants() -> None:
    """SIGKILL to every process below this one, also to those in a session of their own."""
    if sys.platform != "linux":
        return
    for _ in range(_KILL_ROUNDS):  # a process may fork between the look and the kill
        _reap_orphans()
        below = [each for each in tree(os.getpid()) if each.pid != os.getpid()]
        if not below:
            return
        for each in below:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


def total_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _reap_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _all_processes() -> Iterator[Process]:
    if sys.platform != "linux":
        return
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for entry in os.listdir(_PROC):  # noqa: PTH208 - several times a second
        if entry.isdigit():
            with suppress(OSError):  # it has ended
                # The name may hold spaces and brackets; the fields are those behind the last bracket.
                fields = Path(_PROC, entry, "stat").read_bytes().rpartition(b")")[2].split()
                cpu = sum(map(int, fields[11:15])) / ticks
                yield Process(int(entry), int(fields[1]), cpu, int(fields[21]) * page, fields[0] == b"Z")
