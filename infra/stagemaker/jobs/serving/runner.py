"""Runs one instance of an endpoint: `python -m stagemaker.jobs.serving.runner FOLDER`.

A process of its own, in a session of its own, that lives as long as the stage does. What happens is told on
stdout, one JSON document a line; `stop SECONDS` on stdin ends it in good order. When stdin closes without that,
the stage is gone, and everything ends at once: an endpoint without its stage could not be reached, nor stopped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from stagemaker.jobs.processes import adopt_orphans, kill_descendants
from stagemaker.jobs.record import UsageEvent
from stagemaker.jobs.serving.model_server import STOP_SECONDS, ModelServer, ServerFault
from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.jobs.usage import UsageMeter
from stagemaker.ports import Credentials

SPEC, CREDENTIALS = "spec.json", "credentials.json"
_TICK = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Before a container that has ended is started once more. It grows when that happens again and again."""
_WELL_SECONDS = 60.0
"""A container that has run for so long has recovered."""
_USAGE_SECONDS = 10.0
"""Between two looks at what the instance uses: endpoints run for days, and each look reads all of /proc."""


class _StopRequested(Exception):  # noqa: N818 - a wish, no error
    """The stage wants the instance to end."""


class InstanceRunner:
    """One instance from its data to its end."""

    def __init__(self, folder: Path, commands: IO[str], reports: IO[str]) -> None:
        self.folder = folder
        self.spec = InstanceSpec.from_json((folder / SPEC).read_text())
        self._credentials = Credentials(**json.loads((folder / CREDENTIALS).read_text()))
        self._commands = commands
        self._reports = reports
        self._stop = threading.Event()
        self._grace = STOP_SECONDS
        self._server: ModelServer | None = None
        # The runner is part of it: what a container has used that has ended is counted with the runner's.
        self._usage = UsageMeter(
            folder.name,
            os.getpid(),
            folder,
            self.spec.volume_bytes,
            self.spec.memory_bytes,
            longest_pause=_USAGE_SECONDS,
        )

    def run(self) -> None:
        """Until told to stop, or until the instance cannot come into service."""
        threading.Thread(target=self._listen, daemon=True, name="commands").start()
        try:
            self._server = ModelServer(self.spec, self.folder, self._credentials, self._proceed)
            self._server.prepare()
            self._server.start()
            self._report_healthy(self._server)
            self._watch(self._server)
        except _StopRequested:
            pass
        except ServerFault as fault:
            self._report(
                "fault",
                kind=fault.kind.value,
                container=fault.container.name,
                position=fault.position,
                detail=fault.detail,
            )
        finally:
            if self._server is not None:
                self._tell_usage(self._usage.close())
                self._server.stop(self._grace)
                kill_descendants()
                self._server.close()

    def _watch(self, server: ModelServer) -> None:
        """Start again what ends, and measure what the instance uses. Raises _StopRequested."""
        pause, since = _FIRST_PAUSE, time.monotonic()
        while True:
            self._tell_usage(self._usage.look())
            self._wait(_TICK)
            if not server.ended():
                continue
            self._report("unhealthy")
            pause = _FIRST_PAUSE if time.monotonic() - since > _WELL_SECONDS else pause
            while ended := server.ended():
                self._wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                for container in ended:
                    with suppress(ServerFault):  # it has ended once more, and its log says why
                        server.restart(container)
            since = time.monotonic()
            self._report_healthy(server)

    def _report_healthy(self, server: ModelServer) -> None:
        self._report("healthy", addresses=[[each.container, each.host, each.port] for each in server.addresses])

    def _tell_usage(self, event: UsageEvent | None) -> None:
        if event is not None:
            self._report(event.kind, **asdict(event))

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _StopRequested

    def _proceed(self) -> None:
        if self._stop.is_set():
            raise _StopRequested

    def _listen(self) -> None:
        for line in self._commands:
            word, _, seconds = line.partition(" ")
            if word == "stop":
                self._grace = float(seconds)
                self._stop.set()
        self._end_at_once()

    def _end_at_once(self) -> None:
        for pid in self._server.pids if self._server else []:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        kill_descendants()
        os._exit(1)

    def _report(self, event: str, **members: Any) -> None:
        with suppress(BrokenPipeError):  # `_listen` hears of it too
            self._reports.write(json.dumps({"event": event, **members}) + "\n")
            self._reports.flush()


def main(arguments: list[str]) -> int:
    """Run the instance in the folder `arguments[0]`."""
    os.umask(0o077)
    adopt_orphans()
    try:
        InstanceRunner(Path(arguments[0]), sys.stdin, sys.stdout).run()
    except Exception:  # noqa: BLE001 - runner.err keeps the cause; the stage sees the exit code
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
