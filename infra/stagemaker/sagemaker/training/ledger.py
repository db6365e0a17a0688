"""What deleted jobs have cost: a job can be forgotten, its bill cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stagemaker.sagemaker.documents import Document
from stagemaker.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_deleted_jobs (
    number INTEGER PRIMARY KEY, region TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL);
"""
_PRICED = (
    "CreationTime",
    "OutputDataConfig",
    "ResourceConfig",
    "EnableManagedSpotTraining",
    "TrainingStartTime",
    "TrainingTimeInSeconds",
    "BillableTimeInSeconds",
    "WarmPoolStatus",
)
"""The members of a description that the bill is made of."""


class Ledger:
    """The deleted jobs of the account that have had instances. Several may have had one name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(_SCHEMA)

    def keep(self, region: str, name: str, document: Document) -> None:
        """Note what the job that is about to be deleted has cost."""
        if "TrainingStartTime" in document:
            priced = json.dumps({member: document[member] for member in _PRICED if member in document})
            with self._store.transaction() as connection:
                connection.execute(
                    "INSERT INTO sagemaker_deleted_jobs (region, name, document) VALUES (?, ?, ?)",
                    (region, name, priced),
                )

    def jobs(self) -> Iterator[tuple[str, str, Document]]:
        """Region, name and the priced members of each."""
        for row in self._store.connection.execute("SELECT * FROM sagemaker_deleted_jobs ORDER BY number"):
            yield row["region"], row["name"], json.loads(row["document"])

    def reset(self) -> None:
        """Forget them."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_deleted_jobs")
