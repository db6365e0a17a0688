"""How long the instances of endpoints have been in service, for the bill.

On AWS an endpoint costs by the second whether it is asked or not, so its instances count from the moment they
come into service until they end, also while the stage is down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_endpoint_hours (
    instance TEXT PRIMARY KEY, region TEXT NOT NULL, endpoint TEXT NOT NULL, instance_type TEXT NOT NULL,
    began REAL NOT NULL, ended REAL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class EndpointHours:
    """Instances of one type that an endpoint has had, and the seconds of all of them together."""

    region: str
    endpoint: str
    instance_type: str
    instances: int
    seconds: float


class Hours:
    """The ledger."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        store.connection.executescript(_SCHEMA)

    def enter(self, region: str, endpoint: str, plan: FleetPlan | None) -> None:
        """From now on the endpoint has the instances of `plan` and no others; None: it has none any more."""
        there = {each: variant.instance_type for variant, each in plan.instances()} if plan else {}
        now = self._clock()
        with self._store.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO sagemaker_endpoint_hours VALUES (?, ?, ?, ?, ?, NULL)",
                [(each, region, endpoint, instance_type, now) for each, instance_type in there.items()],
            )
            open_rows = connection.execute(
                "SELECT instance FROM sagemaker_endpoint_hours WHERE region = ? AND endpoint = ? AND ended IS NULL",
                (region, endpoint),
            ).fetchall()
            connection.executemany(
                "UPDATE sagemaker_endpoint_hours SET ended = ? WHERE instance = ?",
                [(now, row["instance"]) for row in open_rows if row["instance"] not in there],
            )

    def all(self) -> Iterator[EndpointHours]:
        """By endpoint and type, the oldest first. Instances that are in service count until now."""
        for row in self._store.connection.execute(
            "SELECT region, endpoint, instance_type, COUNT(*) AS instances, SUM(COALESCE(ended, ?) - began) AS seconds"
            " FROM sagemaker_endpoint_hours GROUP BY region, endpoint, instance_type ORDER BY MIN(began)",
            (self._clock(),),
        ):
            yield EndpointHours(**dict(row))

    def reset(self) -> None:
        """Forget everything."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_endpoint_hours")
