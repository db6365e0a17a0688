"""One host of a job: its `/opt/ml`, its input, its container, its log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagemaker.contract.layout import OPT_ML, Layout
from stagemaker.contract.training import ResourceConfig, write_checkpoint_config, write_training_config
from stagemaker.jobs.channel import download_channel
from stagemaker.jobs.checkpoints import CheckpointSync
from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.launcher import Container, Launcher
from stagemaker.jobs.log import LogPump
from stagemaker.jobs.metrics import MetricScanner
from stagemaker.jobs.namespace import Mount, Namespace
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.record import LogEvent, RecordWriter
from stagemaker.jobs.selection import DownloadError, Share
from stagemaker.jobs.spec import TrainingSpec
from stagemaker.jobs.usage import UsageMeter
from stagemaker.jobs.warm.cache import give_cache, take_cache

if TYPE_CHECKING:
    from stagemaker.jobs.pipe import PipeFeeder


_LAST_LINES_SECONDS = 60.0
"""For what is still in the pipe when the container has ended. A process that escaped may hold the pipe for ever."""


class Host:
    """`algo-n` in one attempt of the job. The folder starts empty."""

    def __init__(
        self,
        name: str,
        share: Share,
        directory: JobDirectory,
        spec: TrainingSpec,
        record: RecordWriter,
        new_client: Callable[[], ObjectClient],
        launcher: Launcher,
    ) -> None:
        self.name = name
        self.layout = directory.layout(name)
        """Where the host's tree lies."""
        self.inside = Layout(Path(OPT_ML)) if spec.namespaced else self.layout
        """Where the container sees it."""
        self._share = share
        self._directory = directory
        self._spec = spec
        self._record = record
        self._new_client = new_client
        self._launcher = launcher
        self._container: Container | None = None
        self._pump: LogPump | None = None
        self._usage: UsageMeter | None = None
        self._pipes: list[PipeFeeder] = []
        self._checkpoints: CheckpointSync | None = None

    def prepare(self, objects: ObjectClient, hosts: Sequence[str], proceed: Callable[[], None]) -> None:
        """Input, configuration and checkpoints. `proceed` may raise to stop. Raises DownloadError."""
        spec = self._spec
        remove_tree(self._directory.host(self.name))
        self.layout.make()
        if spec.warm_pool is not None:
            take_cache(spec.warm_pool / self.name, self.layout)
        space = spec.volume_bytes
        for channel in spec.channels:
            if channel.is_piped:
                from stagemaker.jobs.pipe import PipeFeeder  # 15 ms, and few channels are pipes

                self._pipes.append(PipeFeeder(self._new_client(), channel, self._share, self.layout))
            else:
                folder = self.layout.channel(channel.config.name)
                space -= download_channel(objects, channel, self._share, folder, space=space, proceed=proceed)
        for file_system in spec.file_systems:
            self.layout.channel(file_system.config.name).mkdir()
        write_training_config(
            self.layout,
            spec.hyperparameters,
            [*(channel.config for channel in spec.channels), *(each.config for each in spec.file_systems)],
            ResourceConfig(self.name, tuple(hosts), spec.instance_type),
        )
        if spec.checkpoints is not None:
            folder = Path(self.layout.located(spec.checkpoints.local_path))
            seen = self.inside.located(spec.checkpoints.local_path)
            self._checkpoints = CheckpointSync(self._new_client(), spec.checkpoints.target, folder)
            self._checkpoints.restore()
            write_checkpoint_config(self.layout, seen, str(spec.checkpoints.target))

    def start(self, environment: Mapping[str, str], addresses: Mapping[str, str]) -> None:
        """Start the container, and all that goes on beside it. `addresses` are the hosts'. Raises OSError."""
        spec, folder = self._spec, self._directory.host(self.name)
        command = [self.inside.located(word) for word in (*spec.program.command, *spec.arguments)]
        for pipe in self._pipes:
            pipe.start()
        self._container = self._launcher.start(
            command, self.inside, environment, folder / "tmp", self._namespace(addresses)
        )
        log = self._directory.new_log(self.name)
        self._pump = LogPump(self._container.output, log, MetricScanner(spec.metrics), self._record)
        self._pump.start()
        self._record.write(LogEvent(time.time(), self.name, log.name))
        self._usage = UsageMeter(self.name, self._container.pid, folder, spec.volume_bytes, spec.memory_bytes)
        if self._checkpoints is not None:
            self._checkpoints.start()

    def _namespace(self, addresses: Mapping[str, str]) -> Namespace | None:
        """The container's namespace, with the names of its peers. None where there are no namespaces."""
        if not self._spec.namespaced:
            return None
        folder = self._directory.host(self.name)
        hosts, stash = folder / "hosts", folder / "stash"
        lines = [f"{address}\t{host}\n" for host, address in addresses.items()]
        hosts.write_text(Path("/etc/hosts").read_text() + "".join(lines))
        hosts.chmod(0o644)
        stash.mkdir(exist_ok=True)
        mounts = tuple(
            Mount(each.folder, str(self.inside.channel(each.config.name)), each.writable)
            for each in self._spec.file_systems
        )
        return Namespace(self.layout.base, hosts, stash, isolated=self._spec.isolated, mounts=mounts)

    def poll(self) -> int | None:
        """The container's exit code; None while it runs."""
        return self._container.poll() if self._container else None

    def look(self) -> None:
        """Measure, and notice what goes wrong beside the container. Raises DownloadError."""
        if self._usage is not None and (event := self._usage.look()):
            self._record.write(event)
        for pipe in self._pipes:
            if pipe.error is not None:
                raise DownloadError(pipe.error)

    @property
    def is_full(self) -> bool:
        """Whether more was written than the volume holds."""
        return self._usage is not None and self._usage.disk_bytes > self._spec.volume_bytes

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        if self._container and self._container.poll() is None:
            self._container.terminate()

    def kill(self) -> None:
        """SIGKILL to whatever is left of it."""
        if self._container:
            self._container.kill()

    def keep_cache(self) -> None:
        """Put what the next job of the warm pool is to find out of this job's tree."""
        if self._spec.warm_pool is not None:
            give_cache(self._spec.warm_pool / self.name, self.layout)

    def close(self) -> None:
        """The rest of the log, of the usage and of the checkpoints. Raises ObjectsError, OSError."""
        for pipe in self._pipes:
            pipe.close()
        if self._pump is not None:
            self._pump.join(timeout=_LAST_LINES_SECONDS)
        if self._usage is not None and (event := self._usage.close()):
            self._record.write(event)
        if self._checkpoints is not None and self._checkpoints.ident is not None:
            self._checkpoints.finish()
