"""Warm pools: the instances of a finished job, kept for the next one that asks for the same.

What AWS says of them: developer guide, "SageMaker AI Managed Warm Pools". A pool is a row here, the
WarmPoolStatus of one job, and a folder with its persistent cache. The process that saves the time is
the supervisor's and may be lost, as at a restart of the stage; the pool is not lost with it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagemaker.jobs.directory import remove_tree
from stagemaker.jobs.endings import INTERNAL_ERROR
from stagemaker.jobs.supervisor import Supervisor
from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.wire.errors import ValidationError

_LOG = logging.getLogger(__name__)

LONGEST_LIFE = 28 * 24 * 3600
"""Seconds that a pool may go from job to job."""
RETAINED = "Resource retained for reuse"
REUSED = "Resource reused by training job: "
_RETRY_SECONDS = 2.0
_LONGEST_SLEEP = 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_warm_pools (
    region TEXT NOT NULL, job TEXT NOT NULL, pool TEXT NOT NULL, begun REAL NOT NULL, since REAL, until REAL,
    PRIMARY KEY (region, job)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class WarmPool:
    """A pool and the job that has it; `since` and `until` are set while it waits for another one."""

    region: str
    job: str
    folder: Path
    begun: float
    since: float | None
    until: float | None


class WarmPools:
    """The pools of the account. Their folders lie below `folder`."""

    def __init__(
        self,
        documents: Documents,
        family: Family,
        supervisor: Supervisor,
        quotas: Quotas,
        folder: Path,
    ) -> None:
        self._documents = documents
        self._family = family
        self._supervisor = supervisor
        self._quotas = quotas
        self._folder = folder
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        documents.store.connection.executescript(_SCHEMA)

    async def start(self) -> None:
        """Take up the pools that there were when the stage last stopped."""
        self._expire()
        self._task = asyncio.create_task(self._watch(), name="warm-pools")

    async def stop(self) -> None:
        """Let the pools wait for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def reset(self) -> None:
        """Forget all pools. Their processes are the supervisor's to end."""
        with self._documents.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_warm_pools")
        remove_tree(self._folder)

    def pool_for(self, region: str, parameters: Mapping[str, Any]) -> WarmPool | None:
        """The pool that a new job gets: one that waits for it, a new one, or None when it wants none."""
        now = time.time()
        wanted = _traits(parameters)
        for pool in self._pools("AND region = ? AND until > ? ORDER BY until", region, now):
            document = self._documents.find(self._family, region, pool.job)
            if wanted is not None and document is not None and _traits(document) == wanted:
                return pool
        if not parameters["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            return None
        return WarmPool(region, parameters["TrainingJobName"], self._folder / uuid.uuid4().hex, now, None, None)

    def take(self, pool: WarmPool, document: Document) -> None:
        """Give `pool` to the new job of `document`, within the transaction that keeps the document."""
        name = document["TrainingJobName"]
        document["WarmPoolStatus"] = {"Status": "InUse"}
        stale = self._of(pool.region, name)
        if stale is not None:  # of a job of this name that has been deleted
            self._drop(stale)
        if pool.job != name:
            before = self._documents.find(self._family, pool.region, pool.job)
            if before is not None:
                _close(before, pool, "Reused", REUSED + name, ReusedByJob=name)
                self._documents.save(self._family, pool.region, pool.job, before)
        with self._documents.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_warm_pools WHERE region = ? AND job = ?", (pool.region, pool.job))
            connection.execute(
                "INSERT INTO sagemaker_warm_pools VALUES (?, ?, ?, ?, NULL, NULL)",
                (pool.region, name, pool.folder.name, pool.begun),
            )

    def job_over(self, region: str, document: Document) -> None:
        """A job has ended: its pool waits for the next one, or ends too. The caller keeps the document."""
        pool = self._of(region, document["TrainingJobName"])
        if pool is None:
            return
        since = document["TrainingEndTime"]
        until = min(since + _keep_alive(document), pool.begun + LONGEST_LIFE)
        # A job that never had its instances, and one whose instances may be unsound, leaves none.
        is_sound = "TrainingStartTime" in document and document.get("FailureReason") != INTERNAL_ERROR
        if until <= since or not is_sound or not self._quota_allows(region, document):
            _close(document, pool, "Terminated", None)
            self._drop(pool)
            return
        document["WarmPoolStatus"] = {"Status": "Available"}
        _say(document, RETAINED)
        self._set_times(pool, since, until)

    def update(self, region: str, document: Document, keep_alive: int) -> None:
        """UpdateTrainingJob's new KeepAlivePeriodInSeconds; 0 ends the pool. Raises ValidationException."""
        name = document["TrainingJobName"]
        pool = self._of(region, name)
        if pool is None or pool.since is None:
            status = document.get("WarmPoolStatus", {}).get("Status")
            raise ValidationError(
                "KeepAlivePeriodInSeconds can only be updated while the status of the job's warm pool is Available. "
                + (f"The warm pool of {name} is {status}." if status else f"{name} has no warm pool.")
            )
        document["ResourceConfig"]["KeepAlivePeriodInSeconds"] = keep_alive
        until = min(pool.since + keep_alive, pool.begun + LONGEST_LIFE)
        with self._documents.store.transaction():
            if until <= time.time():
                _close(document, pool, "Terminated", None)
                self._drop(pool)
            else:
                self._set_times(pool, pool.since, until)
            self._documents.save(self._family, region, name, document)

    def waiting_instances(self, region: str, instance_type: str) -> int:
        """How many instances of the type wait in pools: they count to the quota of the type."""
        return sum(
            document["ResourceConfig"]["InstanceCount"]
            for pool in self._pools("AND region = ? AND until IS NOT NULL", region)
            if (document := self._documents.find(self._family, region, pool.job)) is not None
            and document["ResourceConfig"]["InstanceType"] == instance_type
        )

    def _quota_allows(self, region: str, document: Document) -> bool:
        """Whether the account may keep the job's instances; AWS too lets them go without a word."""
        resources = document["ResourceConfig"]
        kind = resources["InstanceType"]
        limit = self._quotas.limits().get(f"{kind} for training warm pool usage")
        return limit is None or self.waiting_instances(region, kind) + resources["InstanceCount"] <= limit

    def _set_times(self, pool: WarmPool, since: float, until: float) -> None:
        with self._documents.store.transaction() as connection:
            connection.execute(
                "UPDATE sagemaker_warm_pools SET since = ?, until = ? WHERE region = ? AND job = ?",
                (since, until, pool.region, pool.job),
            )
        self._changed.set()

    def _drop(self, pool: WarmPool) -> None:
        with self._documents.store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_warm_pools WHERE region = ? AND job = ?", (pool.region, pool.job))
        self._supervisor.release(pool.folder)
        remove_tree(pool.folder)

    def _expire(self) -> None:
        """End the pools whose time is over, and those of jobs that are no more."""
        now = time.time()
        for pool in list(self._pools("AND until IS NOT NULL")):
            document = self._documents.find(self._family, pool.region, pool.job)
            assert pool.until is not None
            if document is not None and pool.until > now:
                continue
            with self._documents.store.transaction():
                if document is not None:
                    _close(document, pool, "Terminated", None)
                    self._documents.save(self._family, pool.region, pool.job, document)
                self._drop(pool)

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._expire()
                nap = min((pool.until - time.time() for pool in self._pools() if pool.until), default=_LONGEST_SLEEP)
            except Exception:  # noqa: BLE001 - a full disk passes; this is what tries again
                _LOG.exception("warm pools could not be ended; it is tried again")
                nap = _RETRY_SECONDS
            with suppress(TimeoutError):
                # At least a little: a clock that is set back must not make this spin.
                await asyncio.wait_for(self._changed.wait(), max(nap, 0.01))

    def _of(self, region: str, job: str) -> WarmPool | None:
        return next(self._pools("AND region = ? AND job = ?", region, job), None)

    def _pools(self, where: str = "", *values: object) -> Iterator[WarmPool]:
        rows: list[sqlite3.Row] = self._documents.store.connection.execute(
            f"SELECT * FROM sagemaker_warm_pools WHERE 1 {where}",  # noqa: S608 - from this module only
            values,
        ).fetchall()
        for row in rows:
            yield WarmPool(
                row["region"],
                row["job"],
                self._folder / row["pool"],
                row["begun"],
                row["since"],
                row["until"],
            )


def retained_seconds(document: Document, now: float) -> int:
    """The seconds that a job's warm pool has waited; of one that waits, those until now."""
    pool = document.get("WarmPoolStatus", {})
    if pool.get("Status") == "Available":
        return int(min(now - document["TrainingEndTime"], _keep_alive(document)))
    return int(pool.get("ResourceRetainedBillableTimeInSeconds", 0))


def _traits(request: Mapping[str, Any]) -> tuple[object, ...] | None:
    """What must be equal for a job to match a pool, of a request or a document; None for one that cannot."""
    if request.get("EnableManagedSpotTraining"):
        return None
    resources = request["ResourceConfig"]
    return (
        request["RoleArn"],
        *(resources.get(name) for name in ("InstanceCount", "InstanceType", "VolumeKmsKeyId", "VolumeSizeInGB")),
        request.get("VpcConfig"),
        bool(request.get("EnableInterContainerTrafficEncryption")),
        bool(request.get("EnableNetworkIsolation")),
    )


def _keep_alive(document: Document) -> int:
    return int(document["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0))


def _close(document: Document, pool: WarmPool, status: str, message: str | None, **more: str) -> None:
    """The last word on a job's warm pool, with the seconds that it waited."""
    now = time.time()
    waited = min(now, pool.until or now) - pool.since if pool.since is not None else 0.0
    seconds = max(int(round(waited, 3)), 0)  # or a whole period would be a second less by a rounding error
    document["WarmPoolStatus"] = {"Status": status, "ResourceRetainedBillableTimeInSeconds": seconds, **more}
    if message:
        _say(document, message)


def _say(document: Document, message: str) -> None:
    """AWS tells of the pool in the message of `Completed`."""
    last = document["SecondaryStatusTransitions"][-1]
    if last["Status"] == "Completed":
        last["StatusMessage"] = message
