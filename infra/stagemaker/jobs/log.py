"""The host's log file: what the container printed, stamped, one event a line."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import IO

from stagemaker.jobs.metrics import MetricScanner, stored_line
from stagemaker.jobs.record import MetricEvent, RecordWriter

LONGEST_EVENT = 256 * 1024 - 26
"""Bytes of one log event; CloudWatch Logs counts 26 more for its own overhead."""


class LogPump(threading.Thread):
    """Copies a container's output to its log file and picks the metrics out of it, for those who want them."""

    def __init__(
        self,
        output: IO[bytes],
        file: Path,
        scanner: MetricScanner | None = None,
        record: RecordWriter | None = None,
    ) -> None:
        super().__init__(daemon=True, name="log-pump")
        self._output = output
        self._file = file
        self._scanner = scanner
        self._record = record

    def run(self) -> None:
        """Until the output ends. Whatever happens the pipe is emptied, or the container would wait for ever."""
        with self._file.open("ab", buffering=0) as log:
            while raw := self._output.readline(LONGEST_EVENT):
                now = time.time()
                line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
                scanned = self._scanner.scan(line) if self._scanner else ()
                found = [MetricEvent(now, name, value) for name, value in scanned]
                with contextlib.suppress(OSError):  # a full disk costs the line, not the job
                    log.write(log_line(now, line))
                    if found and self._record:
                        self._record.write(*found)


def log_line(time: float, line: str) -> bytes:
    """An event as the log file holds it: `line` was printed at `time` (epoch seconds)."""
    return f"{int(time * 1000)}\t{stored_line(line)}\n".encode()
