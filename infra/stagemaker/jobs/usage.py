"""CPU, memory and disk of a host, measured on its real processes and its real folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from stagemaker.jobs.processes import total_memory, tree
from stagemaker.jobs.record import UsageEvent

PERIOD_SECONDS = 60.0
"""AWS writes these metrics once a minute; the last one comes with the container's end."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class UsageMeter:
    """Looks at the processes below `pids`: often at first, so that a short job is seen, then each `longest_pause` (s).

    `pids` is one process, or says at each look which they are. Memory is told in percent of `memory_bytes`, or of
    this machine's where the instance type is not known.
    """

    def __init__(
        self,
        host: str,
        pids: int | Callable[[], Iterable[int]],
        folder: Path,
        volume_bytes: int,
        memory_bytes: int | None = None,
        longest_pause: float = _LONGEST_PAUSE,
    ) -> None:
        self.disk_bytes = folder_bytes(folder)
        """What the host's folder held when last looked at."""
        self._host = host
        self._pids = pids
        self._folder = folder
        self._volume_bytes = volume_bytes
        self._memory_bytes = memory_bytes or total_memory()
        self._pause, self._longest_pause = _FIRST_PAUSE, longest_pause
        self._next = time.monotonic()
        self._since = time.monotonic()
        self._cpu_before = self._cpu = 0.0
        self._peak_memory = 0

    def look(self) -> UsageEvent | None:
        """Take a sample when one is due; the event of a period that is full."""
        now = time.monotonic()
        if now < self._next:
            return None
        self.disk_bytes = folder_bytes(self._folder)
        self._pause = min(self._longest_pause, self._pause * 2)
        self._next = now + self._pause
        pids = [self._pids] if isinstance(self._pids, int) else self._pids()
        processes = [each for pid in pids for each in tree(pid)]
        # A child that nobody waited for takes its seconds along; the sum never goes back.
        self._cpu = max(self._cpu, sum(each.cpu_seconds for each in processes))
        self._peak_memory = max(self._peak_memory, sum(each.resident for each in processes))
        return self.close() if now - self._since >= PERIOD_SECONDS else None

    def close(self) -> UsageEvent | None:
        """The event of the period so far; None when no process could be seen."""
        now = time.monotonic()
        self.disk_bytes = folder_bytes(self._folder)
        if not self._peak_memory:
            return None
        event = UsageEvent(
            time.time(),
            self._host,
            cpu=100 * (self._cpu - self._cpu_before) / max(now - self._since, 1e-3),
            memory=100 * self._peak_memory / self._memory_bytes,
            disk=100 * self.disk_bytes / self._volume_bytes,
        )
        self._since, self._cpu_before, self._peak_memory = now, self._cpu, 0
        return event


def folder_bytes(folder: Path) -> int:
    """What the files below `folder` take on the disk; links are not followed."""
    total, folders = 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:  # removed meanwhile, or closed to us: what cannot be seen is not counted
            continue
    return total
