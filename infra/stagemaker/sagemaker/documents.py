"""Resources as documents: kept, changed, waited for.

A document is what Describe answers, in JSON: timestamps are epoch seconds. The columns beside it
are what lists filter and sort by.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from stagemaker.sagemaker.family import Family
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_resources (
    region TEXT NOT NULL, family TEXT NOT NULL, name TEXT NOT NULL,
    status TEXT, created REAL NOT NULL, modified REAL NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (region, family, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sagemaker_by_creation ON sagemaker_resources (region, family, created, name);
CREATE INDEX IF NOT EXISTS sagemaker_by_status ON sagemaker_resources (region, family, status, name);
CREATE TABLE IF NOT EXISTS sagemaker_tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)) WITHOUT ROWID;
"""


class Documents:
    """All resources of the account. Region and family keep names apart."""

    def __init__(self, store: Store, account: str) -> None:
        self.store = store
        self.account = account
        store.connection.executescript(_SCHEMA)
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()

    def create(self, family: Family, region: str, name: str, document: Document, tags: Mapping[str, str]) -> None:
        """Add a resource with its tags. Raises the family's `exists` error for a name that is taken."""
        now = document["CreationTime"]
        arn = family.arn(region, self.account, name)
        try:
            with self.store.transaction() as connection:
                if self.name_of(family, region, arn) is not None:
                    raise family.exists(arn)
                connection.execute(
                    "INSERT INTO sagemaker_resources VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (region, family.noun, name, document.get(family.status_member), now, now, _dump(document)),
                )
                self.put_tags(arn, tags)
        except sqlite3.IntegrityError as error:
            raise family.exists(arn) from error

    def find(self, family: Family, region: str, name: str) -> Document | None:
        """The document, or None."""
        row = self.store.connection.execute(
            "SELECT document FROM sagemaker_resources WHERE region = ? AND family = ? AND name = ?",
            (region, family.noun, name),
        ).fetchone()
        return json.loads(row["document"]) if row else None

    def name_of(self, family: Family, region: str, arn: str) -> str | None:
        """The name of the resource that has this ARN, or None."""
        prefix = family.arn(region, self.account, "")
        compared = "lower(name)" if family.lower_case_arn else "name"
        row = self.store.connection.execute(
            f"SELECT name FROM sagemaker_resources WHERE region = ? AND family = ? AND {compared} = ?",  # noqa: S608 - one of the two above
            (region, family.noun, arn.removeprefix(prefix)),
        ).fetchone()
        return str(row["name"]) if row and arn.startswith(prefix) else None

    def get(self, family: Family, region: str, name: str) -> Document:
        """The document. Raises the family's `missing` error."""
        document = self.find(family, region, name)
        if document is None:
            raise family.missing(family.arn(region, self.account, name))
        return document

    def save(self, family: Family, region: str, name: str, document: Document) -> None:
        """Replace the document and wake whoever waits for a change."""
        document["LastModifiedTime"] = round(time.time(), 3)
        with self.store.transaction() as connection:
            connection.execute(
                "UPDATE sagemaker_resources SET status = ?, modified = ?, document = ?"
                " WHERE region = ? AND family = ? AND name = ?",
                (
                    document.get(family.status_member),
                    document["LastModifiedTime"],
                    _dump(document),
                    region,
                    family.noun,
                    name,
                ),
            )
        self._notify()

    def delete(self, family: Family, region: str, name: str) -> None:
        """Forget a resource and its tags. Raises the family's `missing` error."""
        arn = family.arn(region, self.account, name)
        with self.store.transaction() as connection:
            gone = connection.execute(
                "DELETE FROM sagemaker_resources WHERE region = ? AND family = ? AND name = ?",
                (region, family.noun, name),
            )
            if gone.rowcount == 0:
                raise family.missing(arn)
            connection.execute("DELETE FROM sagemaker_tags WHERE arn = ?", (arn,))
        self._notify()

    def in_transition(self, family: Family) -> Iterator[tuple[str, str, Document]]:
        """Region, name and document of every resource whose status will pass, oldest first."""
        marks = ", ".join("?" * len(family.transitional))
        for row in self.store.connection.execute(
            "SELECT region, name, document FROM sagemaker_resources"  # noqa: S608 - only question marks are put in
            f" WHERE family = ? AND status IN ({marks}) ORDER BY created",
            (family.noun, *family.transitional),
        ).fetchall():
            yield row["region"], row["name"], json.loads(row["document"])

    def all_of(self, family: Family) -> Iterator[tuple[str, str, Document]]:
        """Region, name and document of every resource of a family, oldest first."""
        for row in self.store.connection.execute(
            "SELECT region, name, document FROM sagemaker_resources WHERE family = ? ORDER BY created", (family.noun,)
        ):
            yield row["region"], row["name"], json.loads(row["document"])

    async def settled(self, family: Family, region: str, name: str) -> Document:
        """The document as soon as its status is not a passing one, or is that of a resource that is going."""
        async with self._changed:
            while True:
                document = self.get(family, region, name)
                if document.get(family.status_member) not in family.transitional - family.vanishing:
                    return document
                await self._changed.wait()

    async def gone(self, family: Family, region: str, name: str) -> None:
        """Wait until the resource is not going any more. Raises the family's `missing` error when it is gone."""
        async with self._changed:
            while self.get(family, region, name).get(family.status_member) in family.vanishing:
                await self._changed.wait()

    def _notify(self) -> None:
        async def wake() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    def tags(self, arn: str) -> dict[str, str]:
        """The resource's tags, sorted by key."""
        rows = self.store.connection.execute("SELECT key, value FROM sagemaker_tags WHERE arn = ? ORDER BY key", (arn,))
        return {row["key"]: row["value"] for row in rows}

    def put_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags or replace their values. Raises AwsError for more than 50."""
        with self.store.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO sagemaker_tags VALUES (?, ?, ?)",
                [(arn, key, value) for key, value in tags.items()],
            )
            if len(self.tags(arn)) > MOST_TAGS:
                raise AwsError("ResourceLimitExceeded", f"A resource can have at most {MOST_TAGS} tags.")

    def delete_tags(self, arn: str, keys: list[str]) -> None:
        """Remove tags; a key that is not there is no error."""
        with self.store.transaction() as connection:
            connection.executemany("DELETE FROM sagemaker_tags WHERE arn = ? AND key = ?", [(arn, k) for k in keys])

    def reset(self) -> None:
        """Forget every resource and tag."""
        with self.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_resources")
            connection.execute("DELETE FROM sagemaker_tags")
        self._notify()


MOST_TAGS = 50


def read_tags(entries: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags of a request. Raises AwsError for a key given twice, AWS's own prefix, or more than 50."""
    tags: dict[str, str] = {}
    for entry in entries:
        key = entry["Key"]
        if key.lower().startswith("aws:"):
            raise AwsError("ValidationException", f"System tags cannot be added or updated by a user: {key}")
        if key in tags:
            raise AwsError("ValidationException", f"Duplicate tag keys found: {key}")
        tags[key] = entry["Value"]
    if len(tags) > MOST_TAGS:
        raise AwsError("ResourceLimitExceeded", f"A resource can have at most {MOST_TAGS} tags.")
    return tags


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value)} has no place in a document")


def _dump(document: Document) -> str:
    return json.dumps(document, default=_epoch)
