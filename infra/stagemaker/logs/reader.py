"""From a stream in the catalogue to its events, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stagemaker.logs.catalogue import LogStream
from stagemaker.logs.event import Events, Span
from stagemaker.logs.log_file import LogFile
from stagemaker.logs.stored_events import StoredEvents
from stagemaker.store import Store


class StreamReader:
    """Opens streams. Remembers what the ends of log files say until the files grow."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._spans: dict[Path, tuple[int, Span]] = {}

    def events(self, stream: LogStream) -> Events:
        """The events of `stream`."""
        if stream.file is None:
            return StoredEvents(self.store, stream.id)
        return LogFile(stream.file, stream.created)

    def span(self, stream: LogStream) -> Span:
        """The times of the first and the last event of `stream`."""
        if stream.file is None:
            return Span(stream.first_event, stream.last_event, stream.last_ingestion)
        log = LogFile(stream.file, stream.created)
        size = log.size()
        known = self._spans.get(stream.file)
        if known is None or known[0] != size:
            known = self._spans[stream.file] = (size, log.span())
        return known[1]

    def file_bytes(self, streams: Iterable[LogStream]) -> int:
        """What the log files among `streams` take on the disk."""
        return sum(LogFile(stream.file, stream.created).size() for stream in streams if stream.file is not None)

    def clear(self) -> None:
        """Forget what was remembered."""
        self._spans.clear()
