"""What failed jobs leave to be looked at, within a limit: the oldest goes first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.usage import folder_bytes

_LOG = logging.getLogger(__name__)

SWEPT = ".swept"
"""No region's name: beside the folders of the regions, for what is being deleted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A job's host folders, their size on the disk, and when the job last wrote its record (epoch seconds)."""

    directory: JobDirectory
    size: int
    time: float


class KeptFolders:
    """Sweeps the host folders below `jobs` (`<region>/<job>/algo-n`) once they hold more than `limit` bytes.

    A folder is only swept when `is_over` says that its job is; logs and records always stay. The looking and the
    deleting happen in a thread, so that a large tree holds no call up.
    """

    def __init__(self, jobs: Path, limit: int, is_over: Callable[[JobDirectory], bool]) -> None:
        self._jobs = jobs
        self._swept = jobs / SWEPT
        self._limit = limit
        self._is_over = is_over
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep now, and whenever `sweep_soon` was called."""
        self._due.set()
        self._task = asyncio.create_task(self._run(), name="kept-folders")

    async def stop(self) -> None:
        """Cease to."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def sweep_soon(self) -> None:
        """A job has failed."""
        self._due.set()

    async def sweep(self) -> None:
        """Delete the oldest folders until the rest is within the limit."""
        found = await asyncio.to_thread(kept_folders, self._jobs)
        # Asked here and not in the thread, and moved before anything else can happen: a job may be deleted and
        # its name taken by another.
        for each in to_sweep([each for each in found if self._is_over(each.directory)], self._limit):
            _LOG.info("the folders of %s go: failed jobs may keep %d bytes", each.directory.root.name, self._limit)
            for host in each.directory.hosts():
                host.rename(Path(tempfile.mkdtemp(dir=_made(self._swept))) / host.name)
        await asyncio.to_thread(remove_tree, self._swept)  # what a kill has left there, too

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - whatever it is, the next failed job is a new try
                _LOG.exception("the folders of failed jobs could not be swept")


def kept_folders(jobs: Path) -> list[Kept]:
    """The jobs below `jobs` that still have host folders, the oldest first."""
    found = []
    for root in jobs.glob("*/*"):
        if root.parent.name == SWEPT:
            continue
        directory = JobDirectory(root)
        with contextlib.suppress(OSError):  # it goes away under our eyes
            if hosts := directory.hosts():
                written = directory.record if directory.record.exists() else root
                found.append(Kept(directory, sum(map(folder_bytes, hosts)), written.stat().st_mtime))
    return sorted(found, key=lambda each: each.time)


def to_sweep(kept: Sequence[Kept], limit: int) -> list[Kept]:
    """Those of `kept`, the oldest first, without which the rest takes at most `limit` bytes."""
    total, going = sum(each.size for each in kept), []
    for each in kept:
        if total <= limit:
            break
        going.append(each)
        total -= each.size
    return going


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
