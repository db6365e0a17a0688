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
from stagemaker.contract.layout import Layout
from stagemaker.contract.training import ResourceConfig, write_training_config
from stagemaker.jobs.archive import pack
from stagemaker.jobs.channel import DownloadError, download_channel
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.launcher import Container, ProcessLauncher
from stagemaker.jobs.log import LogPump
from stagemaker.jobs.metrics import MetricScanner
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.record import EndEvent, LogEvent, RecordWriter, StatusEvent
from stagemaker.jobs.spec import S3Uri, TrainingSpec
from stagemaker.ports import Credentials

HOST = "algo-1"
_TICK = 0.02
_INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."


class Failed(Exception):  # noqa: N818 - a state of the job, not a fault of ours
    """The job ends as Failed with this FailureReason."""


class Stopped(Exception):  # noqa: N818 - same
    """The job ends as Stopped: `secondary` and `message` say why."""

    def __init__(self, secondary: str, message: str) -> None:
        super().__init__(message)
        self.secondary = secondary
        self.message = message


_STOPPED_BY_USER = Stopped("Stopped", "Training job stopped")
_OUT_OF_TIME = Stopped("MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided")


class TrainingRunner:
    """One training job from `Starting` to its end."""

    def __init__(self, directory: JobDirectory) -> None:
        self.directory = directory
        self.spec = TrainingSpec.load(directory.spec)
        self.record = RecordWriter(directory.record)
        self.layout: Layout = directory.layout(HOST)
        self.credentials = Credentials(**json.loads(directory.credentials.read_text()))
        self.objects = ObjectClient(self.spec.stage_file, self.spec.region, self.credentials)

    def run(self) -> None:
        """Carry the job out and write its end down, whatever happens."""
        try:
            end = self._carry_out()
        except Failed as failure:
            end = _failed(str(failure))
        except Stopped as stop:
            end = EndEvent(time.time(), "Stopped", stop.secondary, stop.message)
        except Exception:  # noqa: BLE001 - the record must end, and runner.log keeps the cause
            traceback.print_exc()
            end = _failed(_INTERNAL_ERROR)
        self.record.write(end)
        self.record.close()

    def _carry_out(self) -> EndEvent:
        self._enter("Starting", "Preparing the instances for training")
        self._prepare()
        stop: Stopped | None = None
        failure: str | None = None
        try:
            self._train()
        except Stopped as reason:
            stop = reason
        except Failed as reason:
            failure = str(reason)
        artifacts = self._upload()
        now = time.time()
        if failure is not None:
            return _failed(failure, artifacts)
        if stop is not None:
            return EndEvent(now, "Stopped", stop.secondary, stop.message, model_artifacts=artifacts)
        # AWS names the artifact of a completed job even when the container left no model.
        return EndEvent(now, "Completed", "Completed", "Training job completed", model_artifacts=str(self._model_uri))

    def _prepare(self) -> None:
        """The input and the configuration files. Raises Failed, Stopped."""
        spec = self.spec
        self.layout.make()
        if spec.channels:
            self._enter("Downloading", "Downloading input data")
        for channel in spec.channels:
            self._check_stop()
            try:
                download_channel(self.objects, channel, self.layout.channel(channel.config.name))
            except DownloadError as error:
                raise Failed(f"ClientError: Data download failed:{error}") from error
        write_training_config(
            self.layout,
            spec.hyperparameters,
            [channel.config for channel in spec.channels],
            ResourceConfig(HOST, (HOST,), spec.instance_type),
        )

    def _train(self) -> None:
        """Run the container to its end. Raises Failed, Stopped."""
        spec = self.spec
        self._enter("Training", "Downloading the training image")
        if spec.program.problem:
            raise Failed(f"ClientError: {spec.program.problem}")
        self._check_stop()
        try:
            container = ProcessLauncher().start(
                [*spec.program.command, "train"], self.layout, self._environment(), self.directory.root / HOST / "tmp"
            )
        except OSError as error:
            raise Failed(f"ClientError: Cannot run algorithm container. {error.strerror}: {error.filename}") from error
        log = self.directory.log(HOST)
        pump = LogPump(container.output, log, MetricScanner(spec.metrics), self.record)
        pump.start()
        self.record.write(LogEvent(time.time(), HOST, log.name))
        self._enter("Training", "Training image download completed. Training in progress.")
        stop = self._watch(container)
        code = container.poll()
        container.kill()  # whatever the program left running
        pump.join(timeout=5)
        if stop is not None:
            raise stop
        if code != 0:
            raise Failed(self._algorithm_failure(code))

    def _watch(self, container: Container) -> Stopped | None:
        """Wait for the container; end it when asked to or when its time is up."""
        deadline = time.monotonic() + self.spec.max_runtime
        while container.poll() is None:
            if self.directory.stop_request.exists():
                self._end(container)
                return _STOPPED_BY_USER
            if time.monotonic() >= deadline:
                self._end(container)
                return _OUT_OF_TIME
            time.sleep(_TICK)
        return None

    def _end(self, container: Container) -> None:
        """SIGTERM, the grace period, SIGKILL."""
        self._enter("Stopping", "Stopping the training job")
        container.terminate()
        deadline = time.monotonic() + self.spec.stop_grace
        while container.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK)
        container.kill()
        while container.poll() is None:
            time.sleep(_TICK)

    def _upload(self) -> str | None:
        """Put what the container left; the model's address when there was one. Raises Failed."""
        folder = self.directory.root / HOST
        model, output = folder / "model.tar.gz", folder / "output.tar.gz"
        try:
            has_model = pack(self.layout.model, model)
            has_output = pack(self.layout.output_data, output)
            if has_model or has_output:
                self._enter("Uploading", "Uploading generated training model")
            if has_model:
                self.objects.upload(model, self._model_uri)
            if has_output:
                self.objects.upload(output, self.spec.output.join(self.spec.name, "output", "output.tar.gz"))
        except ObjectsError as error:
            raise Failed(f"ClientError: Artifact upload failed:{error.message}") from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Failed("ClientError: Artifact upload failed:Insufficient disk space") from error
        return str(self._model_uri) if has_model else None

    @property
    def _model_uri(self) -> S3Uri:
        return self.spec.output.join(self.spec.name, "output", "model.tar.gz")

    def _environment(self) -> dict[str, str]:
        """The container's variables: the image's, the request's, the service's, the role's keys."""
        spec, keys = self.spec, self.credentials
        endpoint = json.loads(spec.stage_file.read_text())["endpoint"]
        role = {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if keys.session_token:
            role["AWS_SESSION_TOKEN"] = keys.session_token
        return {
            **spec.program.environment,
            **spec.environment,
            **role,
            "TRAINING_JOB_NAME": spec.name,
            "TRAINING_JOB_ARN": spec.arn,
            "AWS_REGION": spec.region,
            "AWS_DEFAULT_REGION": spec.region,
            "SAGEMAKER_REGION": spec.region,
            "CURRENT_HOST": HOST,
            "SAGEMAKER_METRICS_DIRECTORY": str(self.layout.output / "metrics" / "sagemaker"),
            "STAGEMAKER_CPUS": str(spec.threads),
            "OMP_NUM_THREADS": str(spec.threads),
            # Two jobs that both spin on their cores run several times slower than two that wait.
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def _algorithm_failure(self, code: int | None) -> str:
        failure = read_failure(self.layout, trust_class=self.spec.program.trusted)
        return f"{failure.kind}: {failure.text}, exit code: {code}"

    def _check_stop(self) -> None:
        if self.directory.stop_request.exists():
            self._enter("Stopping", "Stopping the training job")
            raise _STOPPED_BY_USER

    def _enter(self, status: str, message: str) -> None:
        self.record.write(StatusEvent(time.time(), status, message))


def _failed(reason: str, artifacts: str | None = None) -> EndEvent:
    return EndEvent(
        time.time(), "Failed", "Failed", "Training job failed", reason[:FAILURE_REASON_LIMIT], model_artifacts=artifacts
    )


def main(arguments: list[str]) -> int:
    """Run the job in the folder `arguments[0]`; 3 when another runner has it already."""
    directory = JobDirectory(Path(arguments[0]))
    try:
        directory.take_lock()
    except BlockingIOError:
        return 3
    os.umask(0o077)
    TrainingRunner(directory).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
