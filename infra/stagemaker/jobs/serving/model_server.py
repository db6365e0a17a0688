"""One instance of a model: its containers, started, found healthy, restarted, stopped.

Used by the runner of an endpoint's instance and by that of a transform job, from one thread each. That
thread must live as long as the containers: the kernel ends a container when the thread that started it ends.
"""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from stagemaker.jobs.directory import remove_tree
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.serving.container import BIND_TO_PORT, ServingContainer
from stagemaker.jobs.serving.data import ArchiveError, Budget, ModelDataError, fetch_model_data
from stagemaker.jobs.serving.ports import LOOPBACK
from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec
from stagemaker.ports import Credentials

PING_SECONDS = 2.0
"""For one answer to `GET /ping`."""
STOP_SECONDS = 30.0
"""Between SIGTERM and SIGKILL."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.1
_TICK = 0.02


class FaultKind(StrEnum):
    """Why an instance cannot come into service."""

    IMAGE = "image"
    """There is no program for the image, or it cannot be started."""
    DATA = "data"
    """The model data cannot be downloaded."""
    ARCHIVE = "archive"
    """The model data is no tar.gz that can be unpacked."""
    PING = "ping"
    """The container did not answer 200 to `/ping` in time, or ended before it did."""


class ServerFault(Exception):  # noqa: N818 - a state of the instance, with a reason for its owner
    """The instance cannot come into service because of `container`, the `position`th (from 1) of its containers."""

    def __init__(self, kind: FaultKind, container: ContainerSpec, position: int, detail: str) -> None:
        super().__init__(f"{container.name}: {detail}")
        self.kind = kind
        self.container = container
        self.position = position
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Address:
    """Where a container listens, by its name."""

    container: str
    host: str
    port: int


def _go_on() -> None:
    """Nothing to stop for."""


class ModelServer:
    """The containers of one instance. Everything of theirs lies below `folder`: `<name>.log`, `<name>/`."""

    def __init__(
        self,
        spec: InstanceSpec,
        folder: Path,
        credentials: Credentials,
        proceed: Callable[[], None] = _go_on,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        """Reserve the ports. Raises OSError when there are none.

        `proceed` is called often while the instance comes into service, and may raise to stop that.
        `identity` are variables that say whose the instance is.
        """
        self.spec = spec
        self.folder = folder
        self._credentials = credentials
        self._proceed = proceed
        self._containers = [
            ServingContainer(spec, container, folder, credentials, identity or {}) for container in spec.containers
        ]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Of the containers, in their order; the same for as long as this object lives."""
        return tuple(Address(each.spec.name, LOOPBACK, each.port) for each in self._containers)

    @property
    def pids(self) -> list[int]:
        """The first processes of the containers that run."""
        return [each.pid for each in self._containers if each.pid is not None]

    def log_file(self, container: str) -> Path:
        """One event a line, as `ports.Logs.attach` takes it. It is there once the container has started."""
        return self.folder / f"{container}.log"

    def prepare(self) -> None:
        """Get the model data, unless it has all come before. Raises ServerFault DATA, ARCHIVE."""
        budget = Budget(self.spec.download_seconds, self.spec.volume_bytes, self._proceed)
        objects = ObjectClient(self.spec.stage_file, self.spec.region, self._credentials)
        try:
            for position, each in enumerate(self._containers, start=1):
                if each.is_prepared:
                    continue
                each.make_folders()
                if each.spec.data is not None:
                    try:
                        fetch_model_data(objects, each.spec.data, each.layout.model, budget)
                    except ModelDataError as error:
                        kind = FaultKind.ARCHIVE if isinstance(error, ArchiveError) else FaultKind.DATA
                        raise ServerFault(kind, each.spec, position, str(error)) from error
                each.mark_prepared()
        finally:
            objects.close()

    def start(self) -> None:
        """Start the containers and wait until all are healthy. Raises ServerFault IMAGE, PING."""
        deadline = time.monotonic() + self.spec.startup_seconds
        for position, each in enumerate(self._containers, start=1):
            self._start(position, each)
        for position, each in enumerate(self._containers, start=1):
            self._await(position, each, deadline)

    def ended(self) -> list[str]:
        """The names of the containers whose program has ended."""
        return [each.spec.name for each in self._containers if each.poll() is not None]

    def restart(self, container: str) -> None:
        """Start a container again that has ended, and wait until it is healthy.

        Raises ServerFault IMAGE, PING; the container has ended then.
        """
        position, each = next(
            (position, each) for position, each in enumerate(self._containers, start=1) if each.spec.name == container
        )
        each.kill()
        try:
            self._start(position, each)
            self._await(position, each, time.monotonic() + self.spec.startup_seconds)
        except ServerFault:
            each.kill()
            raise

    def revive(self) -> None:
        """Start the containers again that have ended, after one has broken off. Raises as `restart` does."""
        # A program that is ending has closed its connections a moment before it counts as ended.
        deadline = time.monotonic() + PING_SECONDS
        for each in self._containers:
            while each.poll() is None and not is_healthy(each.port) and time.monotonic() < deadline:
                time.sleep(_TICK)
        for name in self.ended():
            self.restart(name)

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """SIGTERM to all, after `grace` seconds SIGKILL; the rest of the logs is written."""
        for each in self._containers:
            each.terminate()
        deadline = time.monotonic() + grace
        while any(each.is_running for each in self._containers) and time.monotonic() < deadline:
            time.sleep(_TICK)
        for each in self._containers:
            each.kill()

    def close(self) -> None:
        """Give the ports back."""
        for each in self._containers:
            each.close()

    def remove(self) -> None:
        """Delete what the containers had, all but their logs."""
        for each in self._containers:
            remove_tree(each.folder)

    def _start(self, position: int, each: ServingContainer) -> None:
        self._proceed()
        if problem := each.spec.program.problem:
            each.note(problem)
            raise ServerFault(FaultKind.IMAGE, each.spec, position, problem)
        try:
            each.start()
        except (OSError, subprocess.SubprocessError) as error:  # the latter where the namespace cannot be had
            detail = f"the program cannot be started: {error}"
            each.note(detail)
            raise ServerFault(FaultKind.IMAGE, each.spec, position, detail) from error

    def _await(self, position: int, each: ServingContainer, deadline: float) -> None:
        pause = _FIRST_PAUSE
        while not is_healthy(each.port):
            self._proceed()
            # AWS starts such a container again until the time is up, and says the same in the end.
            if (code := each.poll()) is not None:
                raise ServerFault(FaultKind.PING, each.spec, position, f"the program ended with exit code {code}")
            if time.monotonic() > deadline:
                detail = f"no healthy answer to GET /ping in time on {BIND_TO_PORT}, which was {each.port}"
                raise ServerFault(FaultKind.PING, each.spec, position, detail)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.3)


def is_healthy(port: int) -> bool:
    """Whether what listens on the port answers `GET /ping` with 200 within two seconds."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
