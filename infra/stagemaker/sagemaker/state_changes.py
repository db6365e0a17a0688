"""State-change events for EventBridge, kept in the store until the bus has them.

An event is written in the transaction that changes the resource, and removed when it has been handed
on: a server that dies in between hands it on when it comes back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from stagemaker.ports import Events, PortError
from stagemaker.sagemaker.documents import Document
from stagemaker.store import Store

SOURCE = "aws.sagemaker"
_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_state_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, region TEXT NOT NULL, detail_type TEXT NOT NULL,
    resource TEXT NOT NULL, detail TEXT NOT NULL);
"""


class StateChanges:
    """Hands the state changes of one family to the event bus, in the order in which they happened.

    `detail_type` tells them from those of other families, each of which has an object like this of its own.
    """

    def __init__(self, store: Store, events: Events, detail_type: str) -> None:
        self._store = store
        self._detail_type = detail_type
        self._events = events
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        store.connection.executescript(_SCHEMA)

    async def start(self) -> None:
        """Begin to hand events on, those of an earlier life first."""
        self._wake.set()
        self._task = asyncio.create_task(self._deliver(), name="state-changes")

    async def stop(self) -> None:
        """Cease to."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def reset(self) -> None:
        """Drop what is waiting."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_state_changes WHERE detail_type = ?", (self._detail_type,))

    def add(self, region: str, resource: str, document: Document) -> None:
        """Let the bus know of the resource's new state: `document` is what Describe answers."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO sagemaker_state_changes (region, detail_type, resource, detail) VALUES (?, ?, ?, ?)",
                (region, self._detail_type, resource, json.dumps(_in_milliseconds(document))),
            )
        self._wake.set()

    async def _deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._deliver_all()
            except PortError as error:
                _LOG.warning("the event bus does not take state changes: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                self._wake.set()

    async def _deliver_all(self) -> None:
        while row := self._store.connection.execute(
            "SELECT * FROM sagemaker_state_changes WHERE detail_type = ? ORDER BY id LIMIT 1", (self._detail_type,)
        ).fetchone():
            await self._events.put_event(
                SOURCE, row["detail_type"], row["detail"], resources=[row["resource"]], region=row["region"]
            )
            with self._store.transaction() as connection:
                connection.execute("DELETE FROM sagemaker_state_changes WHERE id = ?", (row["id"],))


def _in_milliseconds(value: Any, name: str = "") -> Any:
    """The document as events show it: times are whole milliseconds, as in the examples of AWS's guide."""
    if isinstance(value, dict):
        return {key: _in_milliseconds(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_milliseconds(item, name) for item in value]
    if isinstance(value, float) and name.endswith(("Time", "Timestamp")):
        return round(value * 1000)
    return value
