"""The server's side of jobs: start runners, read their records, notice the ones that died."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.endings import INTERNAL_ERROR
from stagemaker.jobs.record import EndEvent, Entry, RecordError, RecordWriter, StatusEvent, read_record
from stagemaker.jobs.spec import SpecError, TrainingSpec
from stagemaker.jobs.warm.instance import WarmInstance

_LOG = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Before a record that could not be taken in is tried again."""

TICK_SECONDS = 0.03
"""Between two looks at the records of the running jobs; a look at one that has not grown is one stat."""
RESTARTING = "Restarting"

Fold = Callable[[JobDirectory, Sequence[Entry]], None]


@dataclass(frozen=True, slots=True)
class Runner:
    """What carries out the jobs of a kind."""

    module: str
    """Run as `python -m MODULE DIRECTORY`."""
    failed: str
    """The message of a job whose runner has died."""
    retries: Callable[[JobDirectory], int] = lambda _: 0
    """How often such a job begins again."""


TRAINING = Runner(
    "stagemaker.jobs.runner", "Training job failed", lambda directory: TrainingSpec.load(directory.spec).retries
)


class Supervisor:
    """Runs jobs, at most `slots` at once; the rest wait in the order they came.

    `fold(directory, entries)` is called from the event loop with what is new in a record, in order and
    each entry once. It keeps the last offset with what it changes, and gives it to `resume` after a restart.
    """

    def __init__(self, fold: Fold, *, slots: int, runner: Runner = TRAINING) -> None:
        self._fold = fold
        self._runner = runner
        self._slots = slots
        self._waiting: dict[Path, JobDirectory] = {}
        self._running: dict[Path, _Running] = {}
        self._kept: dict[Path, WarmInstance] = {}
        self._task: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        """Set as soon as there is a job to look after: without one, nothing is looked at."""

    async def start(self) -> None:
        """Begin to look after jobs."""
        self._task = asyncio.create_task(self._watch(), name="jobs")

    async def stop(self) -> None:
        """Cease to. Runners go on by themselves, and are found again by `resume`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for pool in list(self._kept):
            self.release(pool)

    def keep(self, pool: Path, modules: tuple[str, ...], threads: int) -> None:
        """Have an instance ready for the jobs whose `warm_pool` is `pool`, with `modules` imported.

        At most as many as there are slots; the oldest goes first. A pool without one starts its jobs cold.
        """
        present = self._kept.get(pool)
        if present is not None and present.modules == modules:
            return
        self.release(pool)
        while len(self._kept) >= self._slots:
            self.release(next(iter(self._kept)))
        try:
            self._kept[pool] = WarmInstance(modules, threads, pool / "instance.log")
        except OSError:
            _LOG.exception("no process for the warm pool %s could be started; its jobs start cold", pool.name)

    def release(self, pool: Path) -> None:
        """End the pool's instance, if there is one."""
        if instance := self._kept.pop(pool, None):
            instance.close()

    def submit(self, directory: JobDirectory) -> None:
        """Start the job now or when a slot is free."""
        self._waiting[directory.root] = directory
        self._work.set()
        self._fill_slots()

    def resume(self, directory: JobDirectory, offset: int) -> None:
        """Take up a job that was not over when the server last stopped."""
        if directory.record.exists() or directory.runner_lives():
            self._running[directory.root] = _Running(self._runner, directory, offset)
            self._work.set()
        else:
            self.submit(directory)

    def request_stop(self, directory: JobDirectory) -> None:
        """Ask the runner to stop its container. A job that waits for a slot begins, to end at once."""
        directory.stop_request.touch()
        if directory.root in self._waiting and self._start(directory):
            del self._waiting[directory.root]

    def forget_all(self) -> None:
        """End every runner and drop every job: for a reset of the account."""
        for pool in list(self._kept):
            self.release(pool)
        for running in self._running.values():
            running.kill()
        self._waiting.clear()
        self._running.clear()

    def _fill_slots(self) -> None:
        for root, directory in list(self._waiting.items()):
            if len(self._running) >= self._slots:
                return
            if not self._start(directory):
                return  # no process can be had now: they keep their places
            del self._waiting[root]

    def _start(self, directory: JobDirectory) -> bool:
        if self._start_warm(directory):
            self._running[directory.root] = _Running(self._runner, directory, 0, is_warm=True)
            return True
        try:
            process = _spawn(self._runner, directory)
        except OSError:
            _LOG.exception("no runner for %s could be started; it is tried again", directory.root.name)
            return False
        self._running[directory.root] = _Running(self._runner, directory, 0, process)
        return True

    def _start_warm(self, directory: JobDirectory) -> bool:
        """Leave the job to its warm pool's instance, if it has a pool; the pool has one from now on."""
        try:
            spec = TrainingSpec.load(directory.spec)
        except SpecError:  # its runner will fail, and the job with it
            return False
        if (pool := spec.warm_pool) is None:
            return False
        present = self._kept.get(pool)
        # Those of the job before where it needs none: the next job may be like that one again.
        self.keep(pool, spec.preload or (present.modules if present else ()), spec.threads)
        if (instance := self._kept.get(pool)) is None:
            return False
        try:
            instance.run(directory)
        except OSError:
            _LOG.warning("the instance of the warm pool %s is gone; the job starts cold", pool.name)
            self.release(pool)
            return False
        return True

    async def _watch(self) -> None:
        while True:
            for root, running in list(self._running.items()):
                if self._advance(running):
                    self._running.pop(root, None)
            self._fill_slots()
            if self._running or self._waiting:
                await asyncio.sleep(TICK_SECONDS)
            else:
                self._work.clear()
                await self._work.wait()

    def _advance(self, running: _Running) -> bool:
        """Whether the job is over. What goes wrong with one job, such as a full disk, never stops the others."""
        if time.monotonic() < running.not_before:
            return False
        try:
            return running.advance(self._fold)
        except Exception:  # noqa: BLE001 - whatever it is, the other jobs go on
            _LOG.exception("the record of %s could not be taken in; it is tried again", running.directory.root.name)
            running.not_before = time.monotonic() + RETRY_SECONDS
            return False


class _Running:
    """A job that has been started, and how far its record has been read."""

    def __init__(
        self,
        runner: Runner,
        directory: JobDirectory,
        offset: int,
        process: subprocess.Popen[bytes] | None = None,
        *,
        is_warm: bool = False,
    ) -> None:
        self._runner = runner
        self.directory = directory
        self.offset = offset
        self.process = process
        self.is_warm = is_warm
        """Whether a kept instance has been asked to run it."""
        self.not_before = 0.0

    def advance(self, fold: Fold) -> bool:
        """Fold what is new; True when the job is over."""
        # Asked before the reading: what a runner wrote before it died is then read all the same.
        alive = self._alive()
        try:
            grown = self.directory.record.stat().st_size > self.offset
        except FileNotFoundError:
            grown = False
        if grown:
            try:
                entries = list(read_record(self.directory.record, self.offset))
            except RecordError:
                _LOG.exception("the record of %s is damaged", self.directory.root.name)
                self.kill()
                return self._fail(fold)
            if entries:
                fold(self.directory, entries)
                self.offset = entries[-1].offset
                if any(isinstance(entry.event, EndEvent) for entry in entries):
                    self._reap()
                    return True
        if not alive:
            self._reap()
            if self._begin_cold() or self._begin_again():
                return False
            return self._fail(fold)
        return False

    def _fail(self, fold: Fold) -> bool:
        end = EndEvent(time.time(), "Failed", "Failed", self._runner.failed, INTERNAL_ERROR)
        fold(self.directory, [Entry(end, self.offset)])
        return True

    def _begin_cold(self) -> bool:
        """Start a runner for a job whose instance went before there was one."""
        if not self.is_warm or self.directory.record.exists():
            return False
        self.process = _spawn(self._runner, self.directory)
        self.is_warm = False
        return True

    def _begin_again(self) -> bool:
        """Start another runner, as long as the job's RetryStrategy allows. The record counts the attempts."""
        events = [entry.event for entry in read_record(self.directory.record)]
        restarts = sum(isinstance(event, StatusEvent) and event.status == RESTARTING for event in events)
        try:
            allowed = self._runner.retries(self.directory)
        except SpecError:
            _LOG.exception("%s cannot begin again", self.directory.root.name)
            return False
        if restarts >= allowed or self.directory.stop_request.exists():
            return False
        message = "Restarting the training job after an internal error"
        record = RecordWriter(self.directory.record)
        record.write(StatusEvent(time.time(), RESTARTING, message))
        record.close()
        self.process = _spawn(self._runner, self.directory)
        return True

    def kill(self) -> None:
        """End the runner and, on Linux, its container with it."""
        self.directory.kill_runner()
        if self.process is not None:
            self.process.kill()
            self._reap()

    def _alive(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self.directory.runner_lives()

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait()


def _spawn(runner: Runner, directory: JobDirectory) -> subprocess.Popen[bytes]:
    """A runner in a session of its own: a Ctrl-C on the server's terminal is not meant for it."""
    with directory.runner_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", runner.module, str(directory.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory.root,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
