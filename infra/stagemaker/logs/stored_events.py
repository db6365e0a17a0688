"""A stream whose events were put by the API: they live in the store, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stagemaker.logs.catalogue import LogStream
from stagemaker.logs.event import EVENT_OVERHEAD, Event, Times
from stagemaker.store import Store

_ROWS_AT_ONCE = 1000
_IDS = 10**20
"""Above every row id. A position is `timestamp * _IDS + id` of the event before the gap."""


class StoredEvents:
    """The events of one stream."""

    def __init__(self, store: Store, stream: int) -> None:
        self.store = store
        self.stream = stream

    def forward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` after `position`, oldest first."""
        timestamp, number = divmod(position or 0, _IDS)
        while events := self._read(">", "ASC", timestamp, number, times):
            yield from events
            timestamp, number = events[-1].timestamp, events[-1].number

    def backward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` before `position`, newest first."""
        timestamp, number = divmod(position, _IDS) if position is not None else (times.end, 0)
        sign = "<="  # a position lies just after its event
        while events := self._read(sign, "DESC", timestamp, number, times):
            yield from events
            timestamp, number, sign = events[-1].timestamp, events[-1].number, "<"

    def _read(self, sign: str, order: str, timestamp: int, number: int, times: Times) -> list[Event]:
        rows = self.store.connection.execute(
            "SELECT id, timestamp, ingestion, message FROM logs_events"
            f" WHERE stream = ? AND (timestamp, id) {sign} (?, ?) AND timestamp >= ? AND timestamp < ?"  # noqa: S608 - constants
            f" ORDER BY timestamp {order}, id {order} LIMIT ?",
            (self.stream, timestamp, min(number, 2**63 - 1), times.start, times.end, _ROWS_AT_ONCE),
        )
        return [_event(*row) for row in rows]


def _event(number: int, timestamp: int, ingestion: int, message: str) -> Event:
    after = timestamp * _IDS + number
    return Event(timestamp, ingestion, message, number, before=after - 1, after=after)


def store_events(store: Store, stream: LogStream, events: Sequence[tuple[int, str]], ingestion: int) -> int:
    """Keep events (timestamp, message) in order of time; the stream's new sequence number."""
    with store.transaction() as connection:
        if events:
            connection.executemany(
                "INSERT INTO logs_events (stream, timestamp, ingestion, message) VALUES (?, ?, ?, ?)",
                [(stream.id, timestamp, ingestion, message) for timestamp, message in events],
            )
            connection.execute(
                "UPDATE logs_streams SET bytes = bytes + :bytes, sequence = sequence + :count,"
                " first_event = MIN(COALESCE(first_event, :first), :first),"
                " last_event = MAX(COALESCE(last_event, :last), :last), last_ingestion = :ingestion WHERE id = :id",
                {
                    "bytes": sum(len(message.encode()) + EVENT_OVERHEAD for _, message in events),
                    "count": len(events),
                    "first": events[0][0],
                    "last": events[-1][0],
                    "ingestion": ingestion,
                    "id": stream.id,
                },
            )
        row = connection.execute("SELECT sequence FROM logs_streams WHERE id = ?", (stream.id,)).fetchone()
        return int(row["sequence"])
