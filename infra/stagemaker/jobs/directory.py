"""The files of one job, and whether its runner lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stagemaker.contract.layout import Layout

_SIGNING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """The paths below one job's folder. Names come from validated AWS names, never from user text."""

    root: Path

    @property
    def spec(self) -> Path:
        """What is to be done, written once before the runner starts."""
        return self.root / "spec.json"

    @property
    def credentials(self) -> Path:
        """The execution role's temporary keys (mode 0600)."""
        return self.root / "credentials.json"

    @property
    def record(self) -> Path:
        """What happened, one JSON document a line, only ever appended to."""
        return self.root / "record.jsonl"

    @property
    def stop_request(self) -> Path:
        """Its existence asks the runner to stop the container."""
        return self.root / "stop"

    @property
    def interrupt_request(self) -> Path:
        """Its existence takes a spot job's instances away; the runner removes it."""
        return self.root / "interrupt"

    @property
    def lock(self) -> Path:
        """Locked by the runner for as long as it lives; the kernel lets go when it dies."""
        return self.root / "runner.lock"

    @property
    def runner_log(self) -> Path:
        """What the runner itself printed: empty unless something is wrong with it."""
        return self.root / "runner.log"

    def new_log(self, host: str) -> Path:
        """A log that is not there yet: one event a line, epoch milliseconds, a tab, the message.

        Each start of a host writes a log of its own, as each has a stream of its own. Streams are named by
        the second, so a host that starts again waits for the next one.
        """
        number = 1
        while (file := self.root / (f"{host}.log" if number == 1 else f"{host}.{number}.log")).exists():
            while int(file.stat().st_mtime) >= int(time.time()):
                time.sleep(0.05)
            number += 1
        return file

    def host(self, host: str) -> Path:
        """All that a host keeps but its log; gone when the job is over, unless it failed."""
        return self.root / host

    def hosts(self) -> list[Path]:
        """The folders of the hosts that are still there."""
        return sorted(path for path in self.root.glob("algo-*") if path.is_dir() and not path.is_symlink())

    def clear(self) -> None:
        """Delete everything but the logs, which outlive the job: they are its log streams."""
        if self.root.exists():
            for path in self.root.iterdir():
                if path.is_dir() and not path.is_symlink():
                    remove_tree(path)
                elif not (path.name.startswith("algo-") and path.suffix == ".log"):
                    path.unlink(missing_ok=True)

    def layout(self, host: str) -> Layout:
        """The host's `/opt/ml`."""
        return Layout(self.host(host) / "opt" / "ml")

    def runner_lives(self) -> bool:
        """Whether a runner holds the lock. Unlike a pid, a lock cannot belong to somebody else."""
        try:
            handle = os.open(self.lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def take_lock(self) -> int:
        """Hold the lock for whoever has the descriptor, or a copy of it. Raises BlockingIOError."""
        handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise
        os.ftruncate(handle, 0)
        return handle

    @staticmethod
    def sign_lock(handle: int) -> None:
        """Say in the lock that this process is the runner."""
        os.pwrite(handle, str(os.getpid()).encode(), 0)

    def kill_runner(self) -> bool:
        """End a living runner, and on Linux its container with it; whether there was one that has said who it is."""
        give_up = time.monotonic() + _SIGNING_SECONDS
        while self.runner_lives():
            if pid := self.lock.read_text():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
                return True
            if time.monotonic() > give_up:
                break
            time.sleep(0.002)  # it has the lock, and is about to say who it is
        return False


def remove_tree(folder: Path) -> None:
    """Delete a folder, also one that holds read-only folders. What cannot be deleted stays; links are not followed."""
    if folder.exists():
        shutil.rmtree(folder, onerror=_unlock)


def _unlock(function: Callable[..., object], path: str, _: object) -> None:
    """Try `function(path)` again when the folder and its parent are open to us."""
    with contextlib.suppress(OSError):
        Path(path).parent.chmod(0o700)
        if not Path(path).is_symlink():  # chmod would change what the link leads to
            Path(path).chmod(0o700)
        function(path)
