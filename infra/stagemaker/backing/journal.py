"""What of the backing is on the disk: one SQLite database, written before a call is answered.

One transaction holds all that a call changed: the state of its service, rows of objects, small
bodies. Calls that wait at the same time share a transaction and so its fsync.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stagemaker.backing.port import BackingError
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError

_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS service (name TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (bucket TEXT, key TEXT, document TEXT NOT NULL, PRIMARY KEY (bucket, key));
CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS part (upload TEXT, number INTEGER, document TEXT NOT NULL, PRIMARY KEY (upload, number));
CREATE TABLE IF NOT EXISTS body (id TEXT PRIMARY KEY, data BLOB NOT NULL);
"""


@dataclass
class Change:
    """Rows to write, by their keys; None removes a row."""

    services: dict[str, str] = field(default_factory=dict)
    objects: dict[tuple[str, str], str | None] = field(default_factory=dict)
    uploads: dict[str, str | None] = field(default_factory=dict)
    parts: dict[tuple[str, int], str | None] = field(default_factory=dict)
    bodies: dict[str, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.services or self.objects or self.uploads or self.parts or self.bodies)


class Journal:
    """The open database. Reads happen in the caller's thread, writes in one thread of their own."""

    def __init__(self, file: Path) -> None:
        """Open or make `file`. Raises BackingError when it is damaged or of a newer version."""
        try:
            self._writer = Store(file)
            (version,) = self._writer.connection.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise BackingError(f"{file} was written by a newer Stagemaker (version {version}); upgrade Stagemaker")
            self._writer.connection.executescript(_TABLES)
            self._writer.connection.execute(f"PRAGMA user_version={_VERSION}")
            self._reader = sqlite3.connect(
                f"file:{file}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise BackingError(f"cannot use {file}: {error}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="backing-journal")
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._drain: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, change: Change) -> None:
        """Return once `change` is on the disk. Raises AwsError InternalError (500) when the disk refuses."""
        if self._closed:
            raise AwsError("InternalError", "The account was emptied while this call was under way.", 500)
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, kept))
        if self._drain is None or self._drain.done():
            self._drain = asyncio.ensure_future(self._write_waiting())
        await kept

    async def _write_waiting(self) -> None:
        """Write all that waits, and what comes meanwhile after it."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure: AwsError | None = None
            try:
                await loop.run_in_executor(self._thread, self._commit, [change for change, _ in batch])
            except AwsError as error:
                failure = AwsError("InternalError", error.message, 500)
            except Exception as error:  # noqa: BLE001 - somebody waits for each of the batch
                failure = AwsError("InternalError", f"The stage could not write its state: {error}", 500)
            for _, kept in batch:
                if kept.done():  # its call was cancelled meanwhile
                    continue
                if failure:
                    kept.set_exception(failure)
                else:
                    kept.set_result(None)

    def _commit(self, changes: list[Change]) -> None:
        with self._writer.transaction() as connection:
            for change in changes:
                for statement, rows in _statements(change):
                    connection.executemany(statement, rows)

    def services(self) -> dict[str, str]:
        """The saved state of each service."""
        return dict(self._reader.execute("SELECT name, document FROM service"))

    def objects(self) -> Iterator[tuple[str, str, str]]:
        """Bucket, key and document of each key that has an object or a history."""
        yield from self._reader.execute("SELECT bucket, key, document FROM object")

    def uploads(self) -> Iterator[tuple[str, str]]:
        """Id and document of each multipart upload in progress."""
        yield from self._reader.execute("SELECT id, document FROM upload")

    def parts(self) -> Iterator[tuple[str, int, str]]:
        """Upload, number and document of each part that was sent."""
        yield from self._reader.execute("SELECT upload, number, document FROM part")

    def bodies(self) -> Iterator[str]:
        """The ids of the small bodies."""
        for (body_id,) in self._reader.execute("SELECT id FROM body"):
            yield body_id

    def body(self, body_id: str) -> bytes:
        """The bytes of a small body. Raises KeyError."""
        row = self._reader.execute("SELECT data FROM body WHERE id = ?", (body_id,)).fetchone()
        if row is None:
            raise KeyError(body_id)
        return bytes(row[0])

    async def close(self) -> None:
        """Wait for the last write and close the files."""
        self._closed = True
        if self._drain is not None:
            await self._drain
        self._thread.shutdown(wait=True)
        self._reader.close()
        self._writer.close()


_Rows = Sequence[tuple[object, ...]]


def _statements(change: Change) -> Iterator[tuple[str, _Rows]]:
    yield "INSERT OR REPLACE INTO service VALUES (?, ?)", list(change.services.items())
    objects = [(*key, document) for key, document in change.objects.items()]
    yield from _table("object", ("bucket", "key"), objects)
    yield from _table("upload", ("id",), list(change.uploads.items()))
    yield from _table("part", ("upload", "number"), [(*key, document) for key, document in change.parts.items()])
    yield from _table("body", ("id",), list(change.bodies.items()))


def _table(name: str, keys: tuple[str, ...], rows: _Rows) -> Iterator[tuple[str, _Rows]]:
    marks = ", ".join("?" * (len(keys) + 1))
    where = " AND ".join(f"{key} = ?" for key in keys)
    insert = f"INSERT OR REPLACE INTO {name} VALUES ({marks})"  # noqa: S608 - the names are those of this module
    delete = f"DELETE FROM {name} WHERE {where}"  # noqa: S608 - the names are those of this module
    yield insert, [row for row in rows if row[-1] is not None]
    yield delete, [row[:-1] for row in rows if row[-1] is None]
