"""The record of a job: what happened, in order, as the runner wrote it down.

Status and end events are synced to the disk when written; metrics are only flushed, since the log
that they were read from is what counts after a power cut.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """The job enters `status` (a SecondaryStatus), or its message changes while it is there."""

    kind: ClassVar[str] = "status"
    durable: ClassVar[bool] = True
    time: float
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A host began to write the log file `file` (relative to the job's folder)."""

    kind: ClassVar[str] = "log"
    durable: ClassVar[bool] = True
    time: float
    host: str
    file: str


@dataclass(frozen=True, slots=True)
class MetricEvent:
    """A metric definition matched a line of the log."""

    kind: ClassVar[str] = "metric"
    durable: ClassVar[bool] = False
    time: float
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What a host used, in percent: CPU of one core, memory of the instance's, disk of the volume."""

    kind: ClassVar[str] = "usage"
    durable: ClassVar[bool] = False
    time: float
    host: str
    cpu: float
    memory: float
    disk: float


@dataclass(frozen=True, slots=True)
class EndEvent:
    """The job is over. `status` is a TrainingJobStatus, `secondary` a SecondaryStatus."""

    kind: ClassVar[str] = "end"
    durable: ClassVar[bool] = True
    time: float
    status: str
    secondary: str
    message: str
    reason: str | None = None
    model_artifacts: str | None = None


Event = StatusEvent | LogEvent | MetricEvent | UsageEvent | EndEvent
_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (StatusEvent, LogEvent, MetricEvent, UsageEvent, EndEvent)}


class RecordWriter:
    """The runner's side. Safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        _drop_unfinished_line(file)
        self._file = file.open("ab", buffering=0)
        self._lock = threading.Lock()

    def write(self, *events: Event) -> None:
        """Append `events` in one write, so that a reader never sees half of one for long.

        Raises OSError when not all of them are there. None is there by half: the next one would be damaged too.
        """
        lines = "".join(json.dumps({"event": event.kind, **asdict(event)}) + "\n" for event in events).encode()
        with self._lock:
            written = self._file.write(lines)
            if written != len(lines):  # the disk is full
                half = written - (lines.rfind(b"\n", 0, written) + 1)
                os.truncate(self._file.name, self._file.seek(0, os.SEEK_END) - half)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
            if any(event.durable for event in events):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more happens."""
        self._file.close()


def _drop_unfinished_line(file: Path) -> None:
    """A runner that was killed in the middle of a line has left it; nobody has read it."""
    if file.exists() and not (data := file.read_bytes()).endswith(b"\n"):
        os.truncate(file, data.rfind(b"\n") + 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, and the offset in bytes of what comes after it."""

    event: Event
    offset: int


class RecordError(Exception):
    """A line of a record is no event."""


def read_record(file: Path, offset: int = 0) -> Iterator[Entry]:
    """The events from byte `offset` on. A last line without its end is left for the next time.

    Raises RecordError for a whole line that is no event.
    """
    try:
        with file.open("rb") as source:
            source.seek(offset)
            data = source.read()
    except FileNotFoundError:
        return
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        offset += len(line)
        try:
            document = json.loads(line)
            event = _KINDS[document.pop("event")](**document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"{file} before byte {offset}: {error!r}") from error
        yield Entry(event, offset)
