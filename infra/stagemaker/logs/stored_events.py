"""A stream whose events were put by the API: they live in the store, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stagemaker.logs.catalogue import LogStream
from stagemaker.logs.event import EVENT_OVERHEAD, Event, Times, bad_token
from stagemaker.store import Store

_IDS = 10**20
"""Above every row id. A position is `timestamp * _IDS + id` of the event before the gap."""

_LARGEST = 2**63 - 1
"""Of SQLite's integers."""


class StoredEvents:
    """The events of one stream."""

    def __init__(self, store: Store, stream: int) -> None:
        self.store = store
        self.stream = stream

    def forward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` after `position`, oldest first."""
        return self._read("(timestamp, id) > (?, ?)", "ASC", _gap(position or 0), times)

    def backward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` before `position`, newest first."""
        gap = (_LARGEST, _LARGEST) if position is None else _gap(position)
        return self._read("(timestamp, id) <= (?, ?)", "DESC", gap, times)

    def _read(self, condition: str, order: str, gap: tuple[int, int], times: Times) -> Iterator[Event]:
        cursor = self.store.connection.execute(
            f"SELECT id, timestamp, ingestion, message FROM logs_events WHERE stream = ? AND {condition}"  # noqa: S608 - constants
            f" AND timestamp >= ? AND timestamp < ? ORDER BY timestamp {order}, id {order}",
            (self.stream, *gap, times.start, times.end),
        )
        try:  # row by row: a page may end long before the stream does
            for row in cursor:
                yield _event(*row)
        finally:
            cursor.close()


def _gap(position: int) -> tuple[int, int]:
    timestamp, number = divmod(position, _IDS)
    if max(timestamp, number) > _LARGEST:
        raise bad_token()
    return timestamp, number


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
