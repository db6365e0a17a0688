"""One container of an instance: its folder, its port, its program, its log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from stagemaker.contract.layout import OPT_ML, Layout
from stagemaker.jobs.directory import remove_tree
from stagemaker.jobs.environment import role_environment
from stagemaker.jobs.launcher import Container, ProcessLauncher
from stagemaker.jobs.log import LogPump, log_line
from stagemaker.jobs.namespace import Namespace
from stagemaker.jobs.serving.ports import ReservedPorts
from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec
from stagemaker.ports import Credentials

BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT"
SAFE_PORT_RANGE = "SAGEMAKER_SAFE_PORT_RANGE"
_SAFE_PORTS = 9
_LAST_LINES_SECONDS = 5.0
"""For what is still in the pipe when the container has ended. A process that escaped may hold the pipe for ever."""


class ServingContainer:
    """A container that can be started again; its port stays."""

    def __init__(
        self,
        instance: InstanceSpec,
        spec: ContainerSpec,
        folder: Path,
        credentials: Credentials,
        identity: Mapping[str, str],
    ) -> None:
        self.spec = spec
        self.folder = folder / spec.name
        self.layout = Layout(self.folder / "opt" / "ml")
        """Where the container's tree lies."""
        self._inside = Layout(Path(OPT_ML)) if instance.namespaced else self.layout
        """Where the container sees it."""
        self._instance = instance
        self._credentials = credentials
        self._identity = identity
        self._log = folder / f"{spec.name}.log"
        self._prepared = self.folder / "prepared"
        # In a pipeline each container is told of further ports that are its own.
        self._ports = ReservedPorts(1 if len(instance.containers) == 1 else 1 + _SAFE_PORTS)
        self._container: Container | None = None
        self._relay: subprocess.Popen[bytes] | None = None
        self._pump: LogPump | None = None

    @property
    def port(self) -> int:
        """The port on the machine's loopback at which the container is reached."""
        return self._ports.first

    @property
    def pid(self) -> int | None:
        """The first process, while it runs."""
        return self._container.pid if self._container is not None and self._container.poll() is None else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.pid is not None

    @property
    def is_prepared(self) -> bool:
        """Whether the model data has come, whole."""
        return self._prepared.exists()

    def make_folders(self) -> None:
        """An empty `/opt/ml/model`."""
        remove_tree(self.folder)
        self.layout.model.mkdir(parents=True)

    def mark_prepared(self) -> None:
        """The model data is all there."""
        self._prepared.touch()

    def start(self) -> None:
        """Run the image's program with the word `serve`. Raises OSError."""
        command = [self._inside.located(word) for word in (*self.spec.program.command, "serve")]
        self._container = ProcessLauncher().start(
            command, self._inside, self._environment(), self.folder / "tmp", self._namespace()
        )
        self._pump = LogPump(self._container.output, self._log)
        self._pump.start()
        if self._instance.isolated:
            relay = [sys.executable, "-m", "stagemaker.jobs.serving.relay"]
            arguments = [self._container.pid, self.port, self.port]
            self._relay = subprocess.Popen(
                [*relay, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def note(self, text: str) -> None:
        """Add a line of the service's own to the log."""
        with self._log.open("ab") as log:
            log.write(log_line(time.time(), text))

    def poll(self) -> int | None:
        """The exit code of the program; None while it runs, or before it was started."""
        return self._container.poll() if self._container is not None else None

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        if self._container is not None and self.is_running:
            self._container.terminate()

    def kill(self) -> None:
        """SIGKILL to whatever is left, and the rest of its log."""
        if self._relay is not None:
            self._relay.kill()
            self._relay.wait()
            self._relay = None
        if self._container is not None:
            self._container.kill()
            while self._container.poll() is None:
                time.sleep(0.005)
        if self._container is not None and self._pump is not None:
            self._pump.join(timeout=_LAST_LINES_SECONDS)
            if not self._pump.is_alive():  # else somebody has escaped with the other end
                self._container.output.close()
            self._pump = None

    def close(self) -> None:
        """Give the port back."""
        self._ports.close()

    def _namespace(self) -> Namespace | None:
        if not self._instance.namespaced:
            return None
        hosts, stash = self.folder / "hosts", self.folder / "stash"
        hosts.write_text(Path("/etc/hosts").read_text())
        hosts.chmod(0o644)
        stash.mkdir(exist_ok=True)
        return Namespace(self.layout.base, hosts, stash, isolated=self._instance.isolated)

    def _environment(self) -> dict[str, str]:
        """The image's variables, the model's, the service's, the role's keys; the later ones win."""
        instance = self._instance
        safe = {SAFE_PORT_RANGE: f"{self.port + 1}-{self._ports.last}"} if self._ports.last > self.port else {}
        return {
            **self.spec.program.environment,
            **{name: self._inside.located(value) for name, value in self.spec.environment.items()},
            **({} if instance.isolated else role_environment(instance.stage_file, self._credentials)),
            "AWS_REGION": instance.region,
            "AWS_DEFAULT_REGION": instance.region,
            **self._identity,
            BIND_TO_PORT: str(self.port),
            **safe,
            "STAGEMAKER_CPUS": str(instance.threads),
            "OMP_NUM_THREADS": str(instance.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
