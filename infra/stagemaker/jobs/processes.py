"""Which processes run below another, and what they use. Linux only: read from /proc.

Elsewhere there is nothing to read without a library: no process is found and no usage is measured.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_SECONDS = 30.0
_OWN_THREADS = Path("/proc/self/task")


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


def be_watched(lock: int) -> None:
    """Go on in a child process. This one stays behind, to end what the child may leave when it is killed.

    It keeps the `lock` until nothing is left, and then without the child's name in it: a pid may become somebody
    else's. Call it before there is a thread. On Linux only: elsewhere no process can be found.
    """
    if sys.platform != "linux":
        return
    adopt_orphans()
    watcher, child = os.getpid(), os.fork()
    if child == 0:
        adopt_orphans()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != watcher:
            os._exit(1)
        return
    code = 1
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it is waited for, the pid is its own
        os.ftruncate(lock, 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        kill_descendants()
    finally:
        os._exit(128 - code if code < 0 else code)


def tree(root: int) -> list[Process]:
    """The process `root` and all below it."""
    everyone = list(_all_processes())
    found = {root}
    while more := {each.pid for each in everyone if each.parent in found} - found:
        found |= more
    return [each for each in everyone if each.pid in found]


def kill_descendants() -> None:
    """SIGKILL to every process below this one, also to those in a session of their own.

    For a process that has called `adopt_orphans`. Only its own children are looked at, which takes microseconds:
    theirs become its own as they end, and one that forks and leaves again and again is hit between two forks,
    where a look at all processes would always come too late. Gives up after `_KILL_SECONDS`.
    """
    if sys.platform != "linux":
        return
    give_up = time.monotonic() + _KILL_SECONDS
    while (below := _children()) and time.monotonic() < give_up:
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap_orphans()


def total_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _children() -> list[int]:
    """This process's children, those that nobody has waited for too."""
    found: list[int] = []
    try:
        for thread in os.listdir(_OWN_THREADS):  # noqa: PTH208 - see _all_processes
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                found += map(int, Path(_OWN_THREADS, thread, "children").read_bytes().split())
    except OSError:
        found = []
    # A kernel without CONFIG_PROC_CHILDREN has no such files.
    own = os.getpid()
    return found or [each.pid for each in _all_processes() if each.parent == own]


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
