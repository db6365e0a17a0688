"""How far the record of each job has been taken in."""

from __future__ import annotations

from pathlib import Path

from stagemaker.jobs.directory import JobDirectory
from stagemaker.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_job_offsets (
    directory TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""


class JobOffsets:
    """Offsets in bytes, of the jobs whose folders lie below `folder`."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        store.connection.executescript(_SCHEMA)

    def of(self, directory: JobDirectory) -> int:
        """What follows it is new."""
        row = self._store.connection.execute(
            "SELECT offset FROM sagemaker_job_offsets WHERE directory = ?", (str(directory.root),)
        ).fetchone()
        return int(row["offset"]) if row else 0

    def keep(self, directory: JobDirectory, offset: int) -> None:
        """Everything before it has taken its effect: called in the transaction that holds that effect."""
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO sagemaker_job_offsets VALUES (?, ?)", (str(directory.root), offset)
            )

    def forget(self, directory: JobDirectory) -> None:
        """The job is deleted: called in the transaction that deletes it."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_job_offsets WHERE directory = ?", (str(directory.root),))

    def reset(self) -> None:
        """The jobs are gone."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM sagemaker_job_offsets WHERE substr(directory, 1, ?) = ?",
                (len(str(self._folder)) + 1, f"{self._folder}/"),
            )
