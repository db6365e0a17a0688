"""The index of S3's objects: ministack's dictionaries in memory, a row for each key on the disk.

A row holds all that ministack knows of one key: the current object, the versions, and what hangs on
them (tags, ACLs ...). Uploads in progress have a row each, and their parts one each. ministack's own
persistence is two files a key, neither synced, and leaves out parts, retention and holds.
"""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from stagemaker.backing.bodies import Bodies, StoredBody
from stagemaker.backing.changes import Changes
from stagemaker.backing.journal import Change, Journal
from stagemaker.backing.ministack_patches import Ministack

_MARKS = {
    "tags": "_object_tags",
    "acl": "_object_acl",
    "annotations": "_object_annotations",
    "retention": "_object_retention",
    "legal_hold": "_object_legal_hold",
}
"""ministack's dictionaries of (bucket, key, version) beside the objects, by their name in a row."""

_TRANSIENT = {"_replica"}
"""What ministack notes on an object for the length of one call."""


class ObjectIndex:
    """Carries rows into ministack's memory at the start, and what calls changed back into rows.

    All methods but `write` need ministack's request scope of the account, and do not wait.
    """

    def __init__(self, ministack: Ministack, bodies: Bodies, journal: Journal) -> None:
        self._ministack = ministack
        self._bodies = bodies
        self._journal = journal
        self._used: dict[tuple[str, ...], frozenset[str]] = {}
        self._parts: defaultdict[str, set[int]] = defaultdict(set)
        self._unsaved = Change()

    @property
    def _s3(self) -> Any:
        return self._ministack.s3

    def load(self) -> None:
        """Fill ministack's memory (its buckets must be there), and remove files that no row refers to."""
        for bucket, key, document in self._journal.objects():
            self._load_object(bucket, key, json.loads(document))
        for upload, document in self._journal.uploads():
            self._s3._multipart_uploads[upload] = {**json.loads(document), "parts": {}}
        for upload, number, document in self._journal.parts():
            part = self._filled(json.loads(document), "body")
            self._s3._multipart_uploads[upload]["parts"][number] = part
            self._refer(("part", upload, str(number)), [part["body"]])
            self._parts[upload].add(number)
        self._bodies.sweep()
        self._s3._reschedule_restores()

    def _load_object(self, bucket: str, key: str, row: Mapping[str, Any]) -> None:
        used = []
        if row["current"] is not None:
            current = self._s3._buckets[bucket]["objects"][key] = self._filled(row["current"], "body")
            used.append(current["body"])
        if row["versions"]:
            versions = self._s3._object_versions[bucket, key] = [self._filled(v, "data") for v in row["versions"]]
            used += [version["data"] for version in versions if "data" in version]
        for name, by_version in row["marks"].items():
            for version, value in by_version.items():
                getattr(self._s3, _MARKS[name])[bucket, key, version or None] = value
        self._refer(("object", bucket, key), used)

    def _filled(self, record: dict[str, Any], member: str) -> dict[str, Any]:
        return {**record, member: self._bodies.from_document(record[member])} if member in record else record

    def snapshot(self, changes: Changes) -> Change:
        """What to write for these rows, and for those that an earlier call could not write."""
        before = set(self._bodies.fresh)
        change, released = Change(), set[str]()
        for bucket, key in {*changes.keys, *self._unsaved.objects}:
            document, used = self._object(bucket, key)
            change.objects[bucket, key] = document
            released |= self._refer(("object", bucket, key), used)
        parts = {*changes.parts, *self._unsaved.parts}
        for upload in {*changes.uploads, *self._unsaved.uploads}:
            state = self._s3._multipart_uploads.get(upload)
            change.uploads[upload] = state and json.dumps({k: v for k, v in state.items() if k != "parts"})
            parts |= {(upload, number) for number in self._parts[upload]} if state is None else set()
        for upload, number in parts:
            change.parts[upload, number], used = self._part(upload, number)
            released |= self._refer(("part", upload, str(number)), used)
        new = {body_id: data for body_id, data in self._bodies.fresh.items() if body_id not in before}
        gone = (body_id for body_id in released if not self._bodies.in_use(body_id))
        change.bodies = {**self._unsaved.bodies, **new, **dict.fromkeys(gone)}
        self._unsaved = Change()
        return change

    def _object(self, bucket: str, key: str) -> tuple[str | None, list[StoredBody]]:
        current = (self._s3._buckets.get(bucket) or {"objects": {}})["objects"].get(key)
        versions = self._s3._object_versions.get((bucket, key)) or []
        if current is None and not versions:
            return None, []
        shared: dict[int, tuple[bytes, StoredBody]] = {}  # the current object and its version hold the same bytes
        records = [(current, "body")] * (current is not None) + [(version, "data") for version in versions]
        used = []
        for record, member in records:
            if record.get(member) is not None:
                body = record[member]
                if id(body) not in shared:
                    shared[id(body)] = body, self._bodies.stored(body)
                record[member] = shared[id(body)][1]
                used.append(record[member])
        names = [None, *(version["version_id"] for version in versions)]
        marks: dict[str, dict[str, Any]] = {}
        for name, attribute in _MARKS.items():
            found = {version or "": getattr(self._s3, attribute).get((bucket, key, version)) for version in names}
            marks[name] = {version: value for version, value in found.items() if value is not None}
        document = {
            "current": current and _plain(current, "body"),
            "versions": [_plain(version, "data") for version in versions],
            "marks": marks,
        }
        return json.dumps(document), used

    def _part(self, upload: str, number: int) -> tuple[str | None, list[StoredBody]]:
        part = (self._s3._multipart_uploads.get(upload) or {"parts": {}})["parts"].get(number)
        if part is None:
            self._parts[upload].discard(number)
            return None, []
        self._parts[upload].add(number)
        part["body"] = self._bodies.stored(part["body"])
        return json.dumps(_plain(part, "body")), [part["body"]]

    def _refer(self, row: tuple[str, ...], bodies: Iterable[StoredBody]) -> set[str]:
        """`row` now refers to `bodies`, and to nothing else. Gives the ids that it referred to before."""
        before = self._used.pop(row, frozenset[str]())
        if ids := frozenset(piece.id for body in bodies for piece in body.pieces):
            self._used[row] = ids
        self._bodies.use(ids)
        self._bodies.release(before)
        return set(before)

    async def write(self, change: Change) -> None:
        """Have the disk keep `change`. Raises AwsError; the rows are then tried again with the next call."""
        try:
            await self._journal.write(change)
        except BaseException:
            self._unsaved.objects.update(change.objects)
            self._unsaved.uploads.update(change.uploads)
            self._unsaved.parts.update(change.parts)
            self._unsaved.bodies.update(change.bodies)
            raise
        for body_id, data in change.bodies.items():
            if data is not None:
                self._bodies.fresh.pop(body_id, None)
        self._bodies.remove(body_id for body_id, data in change.bodies.items() if data is None)


def _plain(record: Mapping[str, Any], member: str) -> dict[str, Any]:
    """`record` for JSON, with its body as a document. A delete marker has none."""
    plain = {name: value for name, value in record.items() if name not in _TRANSIENT}
    if isinstance(body := record.get(member), StoredBody):
        plain[member] = body.to_document()
    return plain
