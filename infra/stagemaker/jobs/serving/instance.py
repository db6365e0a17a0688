"""The stage's handle on one instance of an endpoint: its runner, and what that reports."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagemaker.jobs.directory import remove_tree
from stagemaker.jobs.record import UsageEvent
from stagemaker.jobs.serving.model_server import STOP_SECONDS, Address, FaultKind
from stagemaker.jobs.serving.runner import CREDENTIALS, SPEC
from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.ports import Credentials

_LOG = logging.getLogger(__name__)
_SPARE_SECONDS = 10.0
"""For a runner to end after its containers have."""
_LAST_REPORTS_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Before a runner that has ended by itself is started once more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an instance did not come into service: `container` is the `position`th (from 1) of its containers.

    `kind` is None for a fault of the stage's own.
    """

    kind: FaultKind | None
    container: str = ""
    position: int = 0
    detail: str = ""


class InstanceFaultError(Exception):
    """The instance did not come into service."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class ServingInstance:
    """One instance. `changed()` is called whenever it becomes healthy or ceases to be, `used(event)` once a minute.

    Once it has been in service it comes back by itself, for as long as `stop` is not called.
    """

    def __init__(
        self, folder: Path, spec: InstanceSpec, changed: Callable[[], None], used: Callable[[UsageEvent], None]
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.healthy = False
        self.addresses: tuple[Address, ...] = ()
        """Where the containers listen, in their order; none before the first time in service."""
        self._changed = changed
        self._used = used
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._settled: asyncio.Future[None] | None = None

    @property
    def id(self) -> str:
        """Such as `i-0123456789abcdef0`."""
        return self.folder.name

    def write(self, credentials: Credentials) -> None:
        """What the runner reads. Raises OSError; what was written before is then still there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_whole(self.folder / SPEC, self.spec.to_json())
        document = asdict(credentials)
        del document["expiration"]
        _write_whole(self.folder / CREDENTIALS, json.dumps(document))

    def start(self, *, persistent: bool = False) -> None:
        """Begin. `persistent` instances have been in service before, and a fault does not end them."""
        self._settled = asyncio.get_running_loop().create_future()
        self._settled.add_done_callback(lambda future: future.cancelled() or future.exception())  # nobody may ask
        self._task = asyncio.create_task(self._live(persistent), name=f"instance {self.id}")

    async def settle(self, seconds: float) -> None:
        """Wait until it is in service or never will be, but no longer than `seconds`."""
        assert self._settled is not None, "start comes first"
        await asyncio.wait({self._settled}, timeout=seconds)

    async def in_service(self) -> None:
        """Wait until it is healthy for the first time. Raises InstanceFaultError."""
        assert self._settled is not None, "start comes first"
        await asyncio.shield(self._settled)

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """End it in good order; when this returns no process of it is left."""
        self._stopping = True
        self._set_health(healthy=False)
        if self._settled is not None and not self._settled.done():
            self._settled.set_exception(InstanceFaultError(Fault(None, detail="it was stopped")))
        process = self._process
        if process is not None and process.poll() is None:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.write(f"stop {grace}\n".encode())
                process.stdin.flush()
            if not await _ended(process, grace + _SPARE_SECONDS):
                self._close_stdin(process)
                await _ended(process, _SPARE_SECONDS)
            if self._task is not None:  # it may still have to read the last reports
                await asyncio.wait({self._task}, timeout=_LAST_REPORTS_SECONDS)
        self._end_task()
        self.kill()

    def kill(self) -> None:
        """End it at once; when this returns no process of it is left."""
        self._stopping = True
        self._set_health(healthy=False)
        self._end_task()
        self._leave_runner()

    def remove(self) -> None:
        """Delete what it had, all but its logs, which stay readable."""
        remove_all_but_logs(self.folder)

    @staticmethod
    def _close_stdin(process: subprocess.Popen[bytes]) -> None:
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()

    def _end_task(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            self._task = None

    async def _live(self, persistent: bool) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping:
            try:
                fault = await self._run_once()
            except (OSError, ValueError, KeyError, TypeError) as error:  # no process, or reports that are none
                _LOG.exception("the runner of instance %s is not understood", self.id)
                fault = Fault(None, detail=str(error))
                self._leave_runner()
            self._set_health(healthy=False)
            if self._stopping:
                return
            assert self._settled is not None, "start comes first"
            if not (persistent or self._settled.done()):
                self._settled.set_exception(InstanceFaultError(fault))
                return
            _LOG.warning("instance %s has ended and is started again: %s", self.id, fault.detail)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _run_once(self) -> Fault:
        """One life of a runner; why it ended."""
        fault = Fault(None, detail="the runner of the instance has ended")
        process = self._process = _spawn(self.folder)
        assert process.stdout is not None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        try:
            async for line in reader:
                report = json.loads(line)
                if report["event"] == "fault":
                    kind = FaultKind(report["kind"])
                    fault = Fault(kind, report["container"], report["position"], report["detail"])
                else:
                    self._take_in(report)
        finally:
            transport.close()
        if await _ended(process, _SPARE_SECONDS):
            self._close_stdin(process)
        else:
            self._leave_runner()
        return fault

    def _leave_runner(self) -> None:
        """End a runner that does not end by itself, and all below it."""
        if (process := self._process) is None:
            return
        self._close_stdin(process)  # it then ends what is below it
        try:
            process.wait(_SPARE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _take_in(self, report: dict[str, Any]) -> None:
        if report["event"] == "healthy":
            self.addresses = tuple(Address(*entry) for entry in report["addresses"])
            self._set_health(healthy=not self._stopping)
            if self._settled is not None and not self._settled.done():
                self._settled.set_result(None)
        elif report["event"] == "unhealthy":
            self._set_health(healthy=False)
        elif report.pop("event") == UsageEvent.kind:
            self._used(UsageEvent(**report))

    def _set_health(self, *, healthy: bool) -> None:
        if healthy != self.healthy:
            self.healthy = healthy
            self._changed()


def remove_all_but_logs(folder: Path) -> None:
    """Delete what an instance had; its logs stay readable."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            remove_tree(path)
        elif path.suffix != ".log":
            path.unlink(missing_ok=True)


def _write_whole(file: Path, text: str) -> None:
    """Whole or not at all, and for nobody else to read."""
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(file)


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ends within `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    """A runner in a session of its own: a Ctrl-C on the stage's terminal is not meant for it."""
    with (folder / "runner.err").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stagemaker.jobs.serving.runner", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
