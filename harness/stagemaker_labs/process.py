"""One foreign process: its output kept within a limit, its time limited, nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

KEPT_AT_EACH_END = 256 * 1024
"""Bytes of output that are kept of the beginning and of the end."""

POLL = 0.02
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

LAST_MOMENT = 0.3
"""Seconds that other processes have to end by themselves once the leader has."""

WHERE_WAIT = 0.3
"""Seconds for the process to write down where it is before it is ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. `code` is the exit code, or minus the signal. `left_behind` counts processes it left.

    `left_behind` is None where that cannot be told (no /proc).
    """

    code: int
    seconds: float
    timed_out: bool
    left_behind: int | None
    lines: int


class Output:
    """A file that takes any amount of output and keeps its beginning and its end."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("wb")
        self._room = KEPT_AT_EACH_END
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0
        self._ends_line = True
        self.lines = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.lines += chunk.count(b"\n")
        self._ends_line = chunk.endswith(b"\n")
        head, rest = chunk[: self._room], chunk[self._room :]
        if head:
            self._file.write(head)
            self._file.flush()
            self._room -= len(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            while self._tail_size - len(self._tail[0]) >= KEPT_AT_EACH_END:
                gone = self._tail.popleft()
                self._tail_size -= len(gone)
                self._left_out += len(gone)

    def close(self) -> None:
        """Write the end, after a line that says how much was left out."""
        self.lines += not self._ends_line
        if self._left_out:
            self._file.write(f"\n... {self._left_out:,} bytes left out ...\n".encode())
        for chunk in self._tail:
            self._file.write(chunk)
        self._file.close()


def run(
    command: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    limit: float,
    output: Path,
    marks: Sequence[str],
    tick: Callable[[float], None],
    echo: Callable[[bytes], None] | None = None,
) -> Ended:
    """Run `command` in `folder` with exactly `variables`, in a session of its own, for at most `limit` seconds.

    `marks` names the variables that together occur in no other run on this machine: by them processes are known that
    left the session.
    `tick` is told the seconds passed, several times a second; `echo` gets the output as it comes. Raises OSError
    when the command cannot be started. Whatever happens, the process and all that it started are ended.
    """
    begun = time.monotonic()
    kept = Output(output)
    stop = threading.Event()
    with _interrupt_held() as interrupted:
        try:
            leader = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            kept.close()
            raise
        reader = threading.Thread(target=_read, args=(leader, kept, stop, echo), daemon=True)
        reader.start()
    timed_out, left_behind = False, None
    try:
        if interrupted:
            raise KeyboardInterrupt
        while not _has_ended(leader):
            passed = time.monotonic() - begun
            tick(passed)
            if passed > limit:
                timed_out = True
                _end_late(leader)
                break
            time.sleep(POLL)
        seconds = time.monotonic() - begun
    finally:
        left_behind = _end_the_rest(leader, {f"{name}={variables[name]}" for name in marks})
        leader.wait()
        # A process that escaped even /proc (macOS) may still hold the pipe: what it says no longer counts.
        reader.join(0.5)
        stop.set()
        reader.join()
        kept.close()
    return Ended(leader.returncode, seconds, timed_out, left_behind, kept.lines)


@contextlib.contextmanager
def _interrupt_held() -> Iterator[list[int]]:
    """Keep Ctrl-C for later: it would leave a process that starts without anybody to end it. What came is listed."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def tail(output: Path, lines: int) -> list[str]:
    """The last lines of an output file."""
    with output.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - KEPT_AT_EACH_END))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def _read(
    leader: subprocess.Popen[bytes], kept: Output, stop: threading.Event, echo: Callable[[bytes], None] | None
) -> None:
    assert leader.stdout is not None
    with leader.stdout as pipe:
        while not stop.is_set():
            ready, _, _ = select.select([pipe], [], [], 0.1)
            if not ready:
                continue
            chunk = os.read(pipe.fileno(), 65536)
            if not chunk:
                return
            # A full disk must not stop the reading, which would stop the process in the middle of a print.
            with contextlib.suppress(OSError):
                kept.write(chunk)
            if echo:
                echo(chunk)


def _has_ended(leader: subprocess.Popen[bytes]) -> bool:
    """Whether the leader ended, leaving it unreaped where possible: its id then still names its group safely."""
    if not hasattr(os, "waitid"):
        return leader.poll() is not None
    return os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_late(leader: subprocess.Popen[bytes]) -> None:
    """Ask the leader where it is, then to stop; it has `GRACE` seconds to."""
    for number, patience in ((signal.SIGUSR1, WHERE_WAIT), (signal.SIGTERM, GRACE)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader.pid, number)
        until = time.monotonic() + patience
        while time.monotonic() < until and not _has_ended(leader):
            time.sleep(POLL)


def _end_the_rest(leader: subprocess.Popen[bytes], mark: AbstractSet[str]) -> int | None:
    """End the leader's session and every process whose variables hold all of `mark`; how many others there were.

    Those that are about to end by themselves, as helpers of `multiprocessing` are, get a moment and do not count.
    """
    known = Path("/proc/self/environ").exists()
    others = set(_marked(mark)) - {leader.pid} if known else set()
    until = time.monotonic() + LAST_MOMENT
    while others and time.monotonic() < until:
        time.sleep(POLL)
        others = set(_marked(mark)) - {leader.pid}
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)
    for pid in others:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(others) if known else None


def _marked(mark: AbstractSet[str]) -> Iterator[int]:
    """The live processes that were started with all of `mark` among their variables."""
    wanted = {assignment.encode() for assignment in mark}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # Gone, or another user's: neither is one of ours.
            with contextlib.suppress(OSError):
                if wanted.issubset((folder / "environ").read_bytes().split(b"\0")):
                    yield int(folder.name)
