"""The plans of the endpoints, kept in the store."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sagemaker_fleet_plans (
    region TEXT NOT NULL, endpoint TEXT NOT NULL, role TEXT NOT NULL, plan TEXT NOT NULL,
    PRIMARY KEY (region, endpoint, role)) WITHOUT ROWID;
"""


class PlanRole(StrEnum):
    """What a plan is to its endpoint."""

    SERVING = "serving"
    """What it runs, or for an endpoint that is being created, what it will run."""
    SUCCESSOR = "successor"
    """What an UpdateEndpoint wants in its place."""
    RESIZED = "resized"
    """The same fleet with the weights and counts that UpdateEndpointWeightsAndCapacities wants."""


class FleetPlans:
    """A table of plans. Everything here is durable when it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(_SCHEMA)

    def get(self, region: str, endpoint: str, role: PlanRole) -> FleetPlan | None:
        """The plan, or None."""
        row = self._store.connection.execute(
            "SELECT plan FROM sagemaker_fleet_plans WHERE region = ? AND endpoint = ? AND role = ?",
            (region, endpoint, role.value),
        ).fetchone()
        return FleetPlan.from_json(row["plan"]) if row else None

    def put(self, region: str, endpoint: str, role: PlanRole, plan: FleetPlan) -> None:
        """Keep a plan; a serving one ends what was to come in its place."""
        with self._store.transaction() as connection:
            if role is PlanRole.SERVING:
                self.drop(region, endpoint)
            connection.execute(
                "INSERT OR REPLACE INTO sagemaker_fleet_plans VALUES (?, ?, ?, ?)",
                (region, endpoint, role.value, plan.to_json()),
            )

    def drop_pending(self, region: str, endpoint: str) -> None:
        """Forget what was to come in the place of the serving one."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM sagemaker_fleet_plans WHERE region = ? AND endpoint = ? AND role != ?",
                (region, endpoint, PlanRole.SERVING.value),
            )

    def drop(self, region: str, endpoint: str) -> None:
        """Forget all plans of an endpoint."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM sagemaker_fleet_plans WHERE region = ? AND endpoint = ?", (region, endpoint)
            )

    def all_serving(self) -> Iterator[tuple[str, str, FleetPlan]]:
        """Region, endpoint and plan of all that serve or are to."""
        for row in self._store.connection.execute(
            "SELECT region, endpoint, plan FROM sagemaker_fleet_plans WHERE role = ?", (PlanRole.SERVING.value,)
        ).fetchall():
            yield row["region"], row["endpoint"], FleetPlan.from_json(row["plan"])

    def reset(self) -> None:
        """Forget everything."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sagemaker_fleet_plans")
