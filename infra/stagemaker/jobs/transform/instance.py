"""One instance of a transform job: its model's containers, and the objects that are its share."""

from __future__ import annotations

import errno
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.endings import INTERNAL_ERROR
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.record import LogEvent, RecordWriter
from stagemaker.jobs.serving.model_server import FaultKind, ModelServer, ServerFault
from stagemaker.jobs.transform.data_log import DataLog
from stagemaker.jobs.transform.failures import NO_PING, Failures
from stagemaker.jobs.transform.feeder import Feeder
from stagemaker.jobs.transform.inputs import InputObject
from stagemaker.jobs.transform.model_client import CancelledError, ModelClient
from stagemaker.jobs.transform.processing import DataProcessing, Format
from stagemaker.jobs.transform.settings import Settings
from stagemaker.jobs.transform.spec import Split, TransformSpec
from stagemaker.jobs.usage import UsageMeter
from stagemaker.ports import Credentials

_EXTRACT = (
    'ClientError: Failed to extract model data archive for container "{name}" from URL "{url}". '
    "Please ensure that the object located at the URL is a valid tar.gz archive."
)
_DOWNLOAD = (
    'ClientError: Failed to download model data for container "{name}" from URL: "{url}". Please ensure that there is '
    "an object located at the URL and that the role passed to CreateModel has permissions to download the object."
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the instances of a job share."""

    spec: TransformSpec
    directory: JobDirectory
    record: RecordWriter
    credentials: Credentials
    new_client: Callable[[], ObjectClient]
    failures: Failures
    cancelled: threading.Event


class Instance:
    """Starts the containers, feeds them, stops them, in a thread that lives as long as they do, as it must."""

    def __init__(self, shared: Surroundings, objects: Sequence[InputObject]) -> None:
        self._thread = threading.Thread(target=self._run, name="instance")
        self.id = f"i-{secrets.token_hex(9)[:17]}"
        """As EC2 would call it."""
        self.done: list[InputObject] = []
        """The objects whose output is stored; complete when the instance is over."""
        self._shared = shared
        self._objects = objects
        self._folder = shared.directory.root / self.id
        self._log = DataLog(self._folder / "data-log.log")
        self._server: ModelServer | None = None
        self._usage: UsageMeter | None = None
        self._measuring = threading.Lock()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it is not over."""
        return self._thread.is_alive()

    def _run(self) -> None:
        """From the start of the containers to their end; `failures` learns what goes wrong."""
        shared = self._shared
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._server = ModelServer(shared.spec.instance, self._folder, shared.credentials, self._proceed)
            self._serve(self._server)
        except CancelledError:
            return
        except ServerFault as fault:
            self._fail(_reason(fault))
        except ObjectsError as error:
            self._fail(f"ClientError: Failed to store the output of the transform job. {error.message}")
        except OSError as error:
            traceback.print_exc()
            full = error.errno == errno.ENOSPC
            self._fail("ClientError: Please ensure that there is enough disk space" if full else INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 - the job must end, and runner.log keeps the cause
            traceback.print_exc()
            self._fail(INTERNAL_ERROR)

    def look(self) -> None:
        """Measure, when it is time to."""
        with self._measuring:
            if self._usage is not None and (event := self._usage.look()):
                self._shared.record.write(event)

    def _serve(self, server: ModelServer) -> None:
        shared, spec = self._shared, self._shared.spec
        self._announce_logs(server)
        model = ModelClient(
            server.addresses,
            content_type=spec.input.content_type,
            accept=spec.output.accept,
            timeout=spec.invocation_timeout,
            retries=spec.invocation_retries,
            cancelled=shared.cancelled,
        )
        try:
            server.prepare()
            server.start()
            self._usage = UsageMeter(
                self.id, lambda: server.pids, self._folder, spec.instance.volume_bytes, spec.instance.memory_bytes
            )
            self.look()
            settings = Settings.of(spec, model.execution_parameters())
            self._log.settings(
                concurrent=settings.concurrent,
                payload_mb=settings.payload_mb,
                strategy=settings.strategy.in_container,
            )
            feeder = Feeder(
                spec.input,
                spec.output,
                settings,
                model,
                _processing(spec),
                shared.new_client,
                self._folder / "parts",
                self._log,
                shared.failures,
                shared.cancelled,
                self._revive,
            )
            self.done = feeder.done
            feeder.feed(self._objects)
        finally:
            model.close()
            self._end(server)

    def _end(self, server: ModelServer) -> None:
        with self._measuring:
            if self._usage is not None and (event := self._usage.close()):
                self._shared.record.write(event)
            self._usage = None
        server.stop(self._shared.spec.stop_grace)
        server.close()
        server.remove()

    def _revive(self) -> None:
        """A container that has ended is started again, for the objects that are left. Raises ServerFault."""
        if self._server is not None:
            self._server.revive()

    def _announce_logs(self, server: ModelServer) -> None:
        """The logs' names: of a single container, of each container of a pipeline, of the service itself."""
        now, root = time.time(), self._shared.directory.root
        stream = f"{self.id}-{int(now)}"
        names = [address.container for address in server.addresses]
        logs = {stream if len(names) == 1 else f"{stream}/{name}": server.log_file(name) for name in names}
        logs[f"{stream}/data-log"] = self._folder / "data-log.log"
        events = [LogEvent(now, name, str(file.relative_to(root))) for name, file in logs.items()]
        self._shared.record.write(*events)

    def _proceed(self) -> None:
        if self._shared.cancelled.is_set():
            raise CancelledError

    def _fail(self, reason: str) -> None:
        """The job cannot go on: the other instances end too."""
        self._shared.failures.add(reason)
        self._shared.cancelled.set()


def _processing(spec: TransformSpec) -> DataProcessing | None:
    given = Format.of(spec.input.content_type)
    if not spec.processing.is_needed or given is None:
        return None
    by_line = spec.input.split is Split.LINE
    return DataProcessing(spec.processing, given, Format.of(spec.output.accept), by_line=by_line)


def _reason(fault: ServerFault) -> str:
    if fault.kind is FaultKind.PING:
        return NO_PING
    if fault.kind is FaultKind.IMAGE:
        return f"ClientError: {fault.detail}"
    url = fault.container.data.source if fault.container.data else ""
    text = _EXTRACT if fault.kind is FaultKind.ARCHIVE else _DOWNLOAD
    return text.format(name=f"container_{fault.position}", url=url)
