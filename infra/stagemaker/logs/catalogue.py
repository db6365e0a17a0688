"""Log groups and log streams in the store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any

from stagemaker.logs.arn import group_name
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError

SCHEMA = """
CREATE TABLE IF NOT EXISTS logs_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    retention_days INTEGER,
    tags TEXT NOT NULL,
    UNIQUE (region, name)
);
CREATE TABLE IF NOT EXISTS logs_streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    log_group INTEGER NOT NULL REFERENCES logs_groups ON DELETE CASCADE,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    file TEXT, -- of a job's log, relative to the state folder when it lies in it; else the events are stored
    first_event INTEGER,
    last_event INTEGER,
    last_ingestion INTEGER,
    bytes INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0,
    UNIQUE (log_group, name)
);
CREATE TABLE IF NOT EXISTS logs_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL REFERENCES logs_streams ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    ingestion INTEGER NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_events_in_order ON logs_events (stream, timestamp, id);
"""

STREAMS_ASCENDING = """
SELECT * FROM logs_streams WHERE log_group = ? AND name >= ? AND name < ? AND name != ? ORDER BY name LIMIT ?
"""
STREAMS_DESCENDING = """
SELECT * FROM logs_streams WHERE log_group = ? AND name >= ? AND name < ? AND name != ? ORDER BY name DESC LIMIT ?
"""

DAY_MS = 24 * 60 * 60 * 1000
LAST_CHARACTER = chr(0x10FFFF)


def now_ms() -> int:
    """Wall time."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group. `created` is in epoch milliseconds; without `retention_days` events stay for ever."""

    id: int
    region: str
    name: str
    created: int
    retention_days: int | None
    tags: Mapping[str, str]

    def oldest_kept(self, now: int) -> int:
        """Events before this moment have expired."""
        return 0 if self.retention_days is None else now - self.retention_days * DAY_MS


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log stream. With `file` it is a job's log; the times and `sequence` are those of stored events."""

    id: int
    name: str
    created: int
    file: Path | None
    first_event: int | None
    last_event: int | None
    last_ingestion: int | None
    sequence: int


class Catalogue:
    """Which groups and streams there are, by region."""

    def __init__(self, store: Store, account: str) -> None:
        self.store = store
        self.account = account
        self.folder = store.file.parent.resolve()
        store.connection.executescript(SCHEMA)

    # --- groups ---------------------------------------------------------------------------------

    def create_group(self, region: str, name: str, tags: Mapping[str, str]) -> None:
        """Raises AwsError ResourceAlreadyExistsException."""
        with self.store.transaction() as connection:
            if self._group_row(region, name) is not None:
                raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists")
            connection.execute(
                "INSERT INTO logs_groups (region, name, created, tags) VALUES (?, ?, ?, ?)",
                (region, name, now_ms(), json.dumps(dict(tags))),
            )

    def group(self, region: str, name: str) -> LogGroup:
        """Raises AwsError ResourceNotFoundException."""
        row = self._group_row(region, name)
        if row is None:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        return _group(row)

    def named_group(self, region: str, parameters: Mapping[str, Any]) -> LogGroup:
        """The group that `logGroupName` or `logGroupIdentifier` (a name or an ARN) gives."""
        given = [parameters[key] for key in ("logGroupName", "logGroupIdentifier") if key in parameters]
        if len(given) != 1:
            raise AwsError(
                "InvalidParameterException", "Exactly one of logGroupName and logGroupIdentifier must be given."
            )
        return self.group(region, group_name(given[0], region, self.account))

    def groups(self, region: str, *, prefix: str = "", part: str = "", after: str = "", limit: int) -> list[LogGroup]:
        """At most `limit` groups whose names start with `prefix`, hold `part` and come after `after`, by name."""
        rows = self.store.connection.execute(
            "SELECT * FROM logs_groups WHERE region = ? AND name > ? AND name >= ? AND name < ?"
            " AND instr(name, ?) > 0 ORDER BY name LIMIT ?",
            (region, after, prefix, prefix + LAST_CHARACTER, part, limit),
        )
        return [_group(row) for row in rows]

    def delete_group(self, group: LogGroup) -> None:
        """With its streams and stored events. Log files stay: they are the jobs'."""
        with self.store.transaction() as connection:
            connection.execute("DELETE FROM logs_groups WHERE id = ?", (group.id,))

    def set_retention(self, group: LogGroup, days: int | None) -> None:
        """None: keep for ever."""
        with self.store.transaction() as connection:
            connection.execute("UPDATE logs_groups SET retention_days = ? WHERE id = ?", (days, group.id))

    def set_tags(self, group: LogGroup, tags: Mapping[str, str]) -> None:
        """Replace all tags."""
        with self.store.transaction() as connection:
            connection.execute("UPDATE logs_groups SET tags = ? WHERE id = ?", (json.dumps(dict(tags)), group.id))

    def stored_bytes(self, group: LogGroup) -> int:
        """What the group's stored events take; the log files come on top."""
        query = "SELECT COALESCE(SUM(bytes), 0) FROM logs_streams WHERE log_group = ?"
        return int(self.store.connection.execute(query, (group.id,)).fetchone()[0])

    def _group_row(self, region: str, name: str) -> Row | None:
        found = self.store.connection.execute("SELECT * FROM logs_groups WHERE region = ? AND name = ?", (region, name))
        row: Row | None = found.fetchone()
        return row

    # --- streams --------------------------------------------------------------------------------

    def create_stream(self, group: LogGroup, name: str) -> None:
        """Raises AwsError ResourceAlreadyExistsException."""
        with self.store.transaction() as connection:
            if self._stream_row(group, name) is not None:
                raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists")
            connection.execute(
                "INSERT INTO logs_streams (log_group, name, created) VALUES (?, ?, ?)", (group.id, name, now_ms())
            )

    def stream(self, group: LogGroup, name: str) -> LogStream:
        """Raises AwsError ResourceNotFoundException."""
        row = self._stream_row(group, name)
        if row is None:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        return self._stream(row)

    def streams(
        self, group: LogGroup, *, prefix: str = "", beyond: str | None = None, descending: bool = False, limit: int = -1
    ) -> list[LogStream]:
        """At most `limit` streams (-1: all) whose names start with `prefix`, by name, from `beyond` on."""
        start = prefix if beyond is None or descending else max(prefix, beyond)
        stop = prefix + LAST_CHARACTER if beyond is None or not descending else beyond
        rows = self.store.connection.execute(
            STREAMS_DESCENDING if descending else STREAMS_ASCENDING,
            (group.id, start, stop, beyond or "", limit),
        )
        return [self._stream(row) for row in rows]

    def delete_stream(self, stream: LogStream) -> None:
        """With its stored events. A log file stays."""
        with self.store.transaction() as connection:
            connection.execute("DELETE FROM logs_streams WHERE id = ?", (stream.id,))

    def attach(self, region: str, group: str, stream: str, file: Path) -> None:
        """Let `stream` be `file`. A stream of that name takes the file in place of its stored events."""
        file = file.resolve()
        place = str(file.relative_to(self.folder) if file.is_relative_to(self.folder) else file)
        with self.store.transaction() as connection:
            if self._group_row(region, group) is None:
                self.create_group(region, group, {})
            owner = self.group(region, group)
            row = self._stream_row(owner, stream)
            if row is not None and row["file"] == place:
                return
            if row is not None:
                connection.execute("DELETE FROM logs_streams WHERE id = ?", (row["id"],))
            connection.execute(
                "INSERT INTO logs_streams (log_group, name, created, file) VALUES (?, ?, ?, ?)",
                (owner.id, stream, now_ms(), place),
            )

    def clear(self) -> None:
        """Forget every group."""
        with self.store.transaction() as connection:
            for table in ("logs_events", "logs_streams", "logs_groups"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above

    def _stream_row(self, group: LogGroup, name: str) -> Row | None:
        found = self.store.connection.execute(
            "SELECT * FROM logs_streams WHERE log_group = ? AND name = ?", (group.id, name)
        )
        row: Row | None = found.fetchone()
        return row

    def _stream(self, row: Row) -> LogStream:
        return LogStream(
            id=row["id"],
            name=row["name"],
            created=row["created"],
            file=None if row["file"] is None else self.folder / row["file"],
            first_event=row["first_event"],
            last_event=row["last_event"],
            last_ingestion=row["last_ingestion"],
            sequence=row["sequence"],
        )


def _group(row: Row) -> LogGroup:
    return LogGroup(
        id=row["id"],
        region=row["region"],
        name=row["name"],
        created=row["created"],
        retention_days=row["retention_days"],
        tags=json.loads(row["tags"]),
    )
