"""The one database of our own services: SQLite in WAL mode, in the state folder.

Each room owns its tables and creates them itself (`CREATE TABLE IF NOT EXISTS`). Calls come from one
event loop, one at a time, so one connection serves all; a commit is on the disk when it returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stagemaker.wire.errors import AwsError


class Store:
    """An open database. `connection` is in autocommit mode: group writes with `transaction`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            self.connection.execute(f"PRAGMA {pragma}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's writes, or none. May be entered again inside itself.

        Raises AwsError InternalFailure (500) when the disk refuses, so that the call fails and
        nothing that was not kept is acknowledged.
        """
        if self.connection.in_transaction:
            yield self.connection
            return
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise AwsError("InternalFailure", f"The stage could not write its state: {error}", 500) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file. SQLite folds the log back into it."""
        self.connection.close()
