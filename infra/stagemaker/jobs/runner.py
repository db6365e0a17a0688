"""Carries out one training job: `python -m stagemaker.jobs.runner DIRECTORY`.

A process of its own, in a session of its own, so that the server may stop or die meanwhile.
The standard library alone: it starts in some 60 ms.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from pathlib import Path

from stagemaker.contract.failure import FAILURE_REASON_LIMIT, read_failure
from stagemaker.jobs.artifacts import members, open_up, upload_files, upload_packed
from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.endings import (
    INTERNAL_ERROR,
    INTERRUPTED,
    OUT_OF_TIME,
    OUT_OF_WAIT,
    STOPPED_BY_USER,
    Ending,
    Failed,
    Interrupted,
    Stopped,
    VolumeFull,
)
from stagemaker.jobs.environment import container_environment, host_addresses, host_names
from stagemaker.jobs.host import Host
from stagemaker.jobs.launcher import Launcher, ProcessLauncher
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.processes import be_watched, kill_descendants
from stagemaker.jobs.record import EndEvent, RecordWriter, StatusEvent
from stagemaker.jobs.selection import DownloadError, Share
from stagemaker.jobs.spec import S3Uri, TrainingSpec
from stagemaker.ports import Credentials

_TICK = 0.02


class TrainingRunner:
    """One training job from `Starting` to its end."""

    def __init__(self, directory: JobDirectory, spec: TrainingSpec, launcher: Launcher) -> None:
        self.directory = directory
        self.spec = spec
        self.launcher = launcher
        self.record = RecordWriter(directory.record)
        self.credentials = Credentials(**json.loads(directory.credentials.read_text()))
        self.objects = self._new_client()
        self.hosts: list[Host] = []
        self._time_left = float(self.spec.max_runtime)

    def run(self) -> None:
        """Carry the job out and write its end down, whatever happens."""
        while True:
            try:
                end = self._attempt()
                break
            except Interrupted:
                self._enter("Interrupted", "Training job interrupted")
                self.directory.interrupt_request.unlink(missing_ok=True)
            except Exception:  # noqa: BLE001 - the record must end, and runner.log keeps the cause
                traceback.print_exc()
                end = _failed(INTERNAL_ERROR)
                break
        kill_descendants()
        for host in self.hosts:
            host.keep_cache()
        if end.status != "Failed":  # what a failed job leaves is for its owner to look at
            for host in self.hosts:
                remove_tree(self.directory.host(host.name))
        self.record.write(end)
        self.record.close()
        self.directory.credentials.unlink(missing_ok=True)  # the role's keys are good for weeks

    def _attempt(self) -> EndEvent:
        """Start to end on fresh hosts. Raises Interrupted when a spot job loses them."""
        self._enter("Starting", "Preparing the instances for training")
        names = host_names(self.spec.instance_count)
        self.hosts = [
            Host(
                name, Share(index, len(names)), self.directory, self.spec, self.record, self._new_client, self.launcher
            )
            for index, name in enumerate(names)
        ]
        try:
            self._prepare(names)
        except Failed as failure:
            return _failed(str(failure))
        except Stopped as stop:
            return _stopped(stop)
        ending: Ending | None = None
        artifacts: str | None = None
        try:
            self._train(names)
        except (Failed, Stopped) as reason:
            ending = reason
        try:
            # What a full volume holds is not whole, and there is no room to pack it.
            artifacts = None if isinstance(ending, VolumeFull) else self._upload()
        except Failed as failure:
            ending = ending if isinstance(ending, Failed) else failure
        match ending:
            case Failed():
                return _failed(str(ending), artifacts)
            case Stopped():
                return _stopped(ending, artifacts)
        # AWS names the artifact of a completed job even when the container left no model.
        now = time.time()
        return EndEvent(now, "Completed", "Completed", "Training job completed", model_artifacts=str(self._model_uri))

    def _prepare(self, names: tuple[str, ...]) -> None:
        """The input and the configuration files of every host. Raises Failed, Stopped, Interrupted."""
        if self.spec.channels or self.spec.checkpoints:
            self._enter("Downloading", "Downloading input data")
        try:
            for host in self.hosts:
                host.prepare(self.objects, names, self._proceed)
        except DownloadError as error:
            raise Failed(f"ClientError: Data download failed:{error}") from error
        except ObjectsError as error:
            raise Failed(f"ClientError: Data download failed:Failed to download data. {error.message}") from error

    def _train(self, names: tuple[str, ...]) -> None:
        """Run the containers to their end. Raises Failed, Stopped, Interrupted."""
        spec = self.spec
        self._enter("Training", "Downloading the training image")
        if spec.program.problem:
            raise Failed(f"ClientError: {spec.program.problem}")
        self._proceed()
        addresses = host_addresses(f"{spec.arn} {time.time_ns()}", names)
        for host in self.hosts:
            environment = container_environment(spec, self.credentials, host.name, host.inside, addresses)
            try:
                host.start(environment, addresses)
            except OSError as error:
                kill_descendants()
                raise Failed(
                    f"ClientError: Cannot run algorithm container. {error.strerror}: {error.filename}"
                ) from error
        self._enter("Training", "Training image download completed. Training in progress.")
        started = time.monotonic()
        try:
            ending = self._watch()
        finally:
            # A program may have left processes behind, in sessions of their own too: none outlives its job.
            for host in self.hosts:
                host.kill()
            kill_descendants()
            self._time_left -= time.monotonic() - started
        self._close()
        if ending := ending or self._trouble():
            raise ending

    def _watch(self) -> Ending | None:
        """Wait for the containers; end them when asked to, or when one of them fails. Why, unless all is well."""
        deadline = time.monotonic() + self._time_left
        while any(host.poll() is None for host in self.hosts):
            if ending := self._reason_to_end(deadline):
                self._end(ending)
                return ending
            if failed := self._failed_host():
                self._end(None)
                return self._algorithm_failure(failed)
            time.sleep(_TICK)
        failed = self._failed_host()
        return self._algorithm_failure(failed) if failed else None

    def _failed_host(self) -> Host | None:
        return next((host for host in self.hosts if host.poll()), None)

    def _reason_to_end(self, deadline: float) -> Ending | None:
        spec = self.spec
        if self.directory.stop_request.exists():
            return STOPPED_BY_USER
        if time.monotonic() >= deadline:
            return OUT_OF_TIME
        if spec.max_wait is not None and time.time() >= spec.created + spec.max_wait:
            return OUT_OF_WAIT
        if spec.spot and self.directory.interrupt_request.exists():
            return INTERRUPTED
        return self._trouble()

    def _trouble(self) -> Failed | None:
        """What went wrong beside the containers: a stream that broke off, a volume that is full."""
        for host in self.hosts:
            try:
                host.look()
            except DownloadError as error:
                return Failed(f"ClientError: Data download failed:{error}")
            if host.is_full:
                return VolumeFull(
                    "ClientError: Insufficient disk space: the job wrote more than "
                    f"VolumeSizeInGB = {self.spec.volume_bytes >> 30} holds on {host.name}"
                )
        return None

    def _end(self, ending: Ending | None) -> None:
        """SIGTERM, the grace period, SIGKILL: to all hosts that still run."""
        if isinstance(ending, Stopped):
            self._enter("Stopping", "Stopping the training job")
        for host in self.hosts:
            host.terminate()
        deadline = time.monotonic() + self.spec.stop_grace
        while any(host.poll() is None for host in self.hosts) and time.monotonic() < deadline:
            time.sleep(_TICK)
        for host in self.hosts:
            host.kill()
        while any(host.poll() is None for host in self.hosts):
            time.sleep(_TICK)

    def _close(self) -> None:
        try:
            for host in self.hosts:
                host.close()
        except (ObjectsError, OSError) as error:
            raise Failed(f"ClientError: Checkpoint upload failed:{error}") from error

    def _upload(self) -> str | None:
        """Put what the containers left; the model's address when there was one. Raises Failed."""
        # A container may have put a link in the place of a folder that the service gave it.
        models = [host.layout.model for host in self.hosts if host.layout.holds(host.layout.model)]
        outputs = [host.layout.output_data for host in self.hosts if host.layout.holds(host.layout.output_data)]
        output = self.spec.output.join(self.spec.name, "output", "output.tar.gz")
        for folder in (*models, *outputs):
            open_up(folder)
        try:
            if members([*models, *outputs]):
                self._enter("Uploading", "Uploading generated training model")
            key, root = self.spec.kms_key, self.directory.root
            if self.spec.output_compression == "NONE":
                has_model = upload_files(self.objects, models, self._model_uri, kms_key=key)
            else:
                packed = root / "model.tar.gz"
                has_model = upload_packed(self.objects, models, packed, self._model_uri, kms_key=key)
            upload_packed(self.objects, outputs, root / "output.tar.gz", output, kms_key=key)
        except ObjectsError as error:
            raise Failed(f"ClientError: Artifact upload failed:{error.message}") from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Failed("ClientError: Artifact upload failed:Insufficient disk space") from error
        finally:
            for name in ("model.tar.gz", "output.tar.gz"):
                (self.directory.root / name).unlink(missing_ok=True)
        return str(self._model_uri) if has_model else None

    @property
    def _model_uri(self) -> S3Uri:
        """The archive, or the prefix of uncompressed files, which ends in a slash."""
        is_packed = self.spec.output_compression != "NONE"
        return self.spec.output.join(self.spec.name, "output", "model.tar.gz" if is_packed else "model/")

    def _algorithm_failure(self, host: Host) -> Failed:
        failure = read_failure(host.layout, trust_class=self.spec.program.trusted)
        return Failed(f"{failure.kind}: {failure.text}, exit code: {host.poll()}")

    def _proceed(self) -> None:
        """Go on, unless the job is to end. Raises Stopped, Interrupted."""
        if self.directory.stop_request.exists():
            self._enter("Stopping", "Stopping the training job")
            raise STOPPED_BY_USER
        if self.spec.spot and self.directory.interrupt_request.exists():
            raise INTERRUPTED

    def _enter(self, status: str, message: str) -> None:
        self.record.write(StatusEvent(time.time(), status, message))

    def _new_client(self) -> ObjectClient:
        return ObjectClient(self.spec.stage_file, self.spec.region, self.credentials)


def _failed(reason: str, artifacts: str | None = None) -> EndEvent:
    return EndEvent(
        time.time(), "Failed", "Failed", "Training job failed", reason[:FAILURE_REASON_LIMIT], model_artifacts=artifacts
    )


def _stopped(stop: Stopped, artifacts: str | None = None) -> EndEvent:
    return EndEvent(time.time(), "Stopped", stop.secondary, stop.message, model_artifacts=artifacts)


def prepare(lock: int) -> None:
    """Make this process, which has the job's `lock`, one that a job may be left to. It is another one afterwards."""
    os.umask(0o077)
    be_watched(lock)
    JobDirectory.sign_lock(lock)


def main(arguments: list[str]) -> int:
    """Run the job in the folder `arguments[0]`; 3 when another runner has it already."""
    directory = JobDirectory(Path(arguments[0]))
    try:
        lock = directory.take_lock()
    except BlockingIOError:
        return 3
    prepare(lock)
    TrainingRunner(directory, TrainingSpec.load(directory.spec), ProcessLauncher()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
