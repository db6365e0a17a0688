"""The fleets of all endpoints, and where a request can go at this moment."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from stagemaker.jobs.directory import remove_tree
from stagemaker.jobs.record import UsageEvent
from stagemaker.jobs.serving.instance import remove_all_but_logs
from stagemaker.jobs.serving.model_server import STOP_SECONDS
from stagemaker.ports import Credentials, Datum, Logs, Metrics, PortError, Roles
from stagemaker.sagemaker.hosting.fleet_deployed import Fleet, UnderWay
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.sagemaker.runtime.route import Route
from stagemaker.wire.errors import AwsError

_LOG = logging.getLogger(__name__)
METRIC_NAMESPACE = "/aws/sagemaker/Endpoints"

MOST_CONTAINERS = 40
"""Of all endpoints together. Each is a process with its libraries in memory; AWS has a quota on instances instead."""


def log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class Fleets:
    """The fleet that serves each endpoint, and while an update shifts traffic, its successor.

    `route` is what the runtime asks: a look into a table that changes when the health of an instance does.
    """

    def __init__(self, folder: Path, roles: Roles, logs: Logs, metrics: Metrics, under_way: UnderWay) -> None:
        self.under_way = under_way
        self._folder = folder
        self._roles = roles
        self._logs = logs
        self._metrics = metrics
        self._starting = asyncio.Semaphore(max(4, 2 * (os.cpu_count() or 1)))
        self._serving: dict[tuple[str, str], Fleet] = {}
        self._successors: dict[tuple[str, str], tuple[Fleet, float]] = {}
        self._all: set[Fleet] = set()
        self._grace = STOP_SECONDS
        self._routes: dict[tuple[str, str], Route] = {}

    def route(self, region: str, endpoint: str) -> Route | None:
        """The route to an endpoint that takes requests; None for one that does not, or is not there."""
        return self._routes.get((region, endpoint))

    def new(self, region: str, endpoint: str, plan: FleetPlan) -> Fleet:
        """A fleet that runs nothing yet."""
        fleet = Fleet(
            plan,
            self._folder / region,
            self._starting,
            partial(self.refresh, region, endpoint),
            partial(self._put_usage, region, endpoint),
        )
        fleet.grace = self._grace
        self._all.add(fleet)
        return fleet

    def _put_usage(self, region: str, endpoint: str, variant: str, event: UsageEvent) -> None:
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        moment = datetime.fromtimestamp(event.time, tz=UTC)
        values = {"CPUUtilization": event.cpu, "MemoryUtilization": event.memory, "DiskUtilization": event.disk}
        data = [Datum(name, value, moment, dimensions, "Percent") for name, value in values.items()]
        try:
            self._metrics.put(METRIC_NAMESPACE, data, region=region)
        except AwsError as error:  # a full disk costs the datum, not the endpoint
            _LOG.warning("what the endpoint %s uses could not be kept: %s", endpoint, error)

    def attach_logs(self, region: str, endpoint: str, plan: FleetPlan) -> None:
        """Let the logs of the plan's instances be read, whether they have started or not."""
        for variant, instance in plan.instances():
            for container in variant.spec.containers:
                # Containers of a pipeline have a stream each.
                behind = f"/{container.name}" if len(variant.spec.containers) > 1 else ""
                file = self._folder / region / instance / f"{container.name}.log"
                self._logs.attach(log_group(endpoint), f"{variant.name}/{instance}{behind}", file, region=region)

    async def keys(self, region: str, plan: FleetPlan) -> dict[str, Credentials]:
        """Temporary credentials of the models' roles, by variant; none for a role that cannot be assumed."""
        found = {}
        for each in plan.variants:
            with suppress(PortError):
                found[each.name] = await self._roles.assume(each.role_arn, region=region, session_name="SageMaker")
        return found

    def serving(self, region: str, endpoint: str) -> Fleet | None:
        """The fleet that serves the endpoint."""
        return self._serving.get((region, endpoint))

    def serve(self, region: str, endpoint: str, fleet: Fleet) -> None:
        """Let all requests go to `fleet` from now on."""
        self._serving[region, endpoint] = fleet
        self._successors.pop((region, endpoint), None)
        self.refresh(region, endpoint)

    def shift(self, region: str, endpoint: str, successor: Fleet, share: float) -> None:
        """Let a share of the requests, from 0 to 1, go to `successor`."""
        self._successors[region, endpoint] = successor, share
        self.refresh(region, endpoint)

    def shift_back(self, region: str, endpoint: str) -> None:
        """Let all requests go to the fleet that serves."""
        self._successors.pop((region, endpoint), None)
        self.refresh(region, endpoint)

    def close(self, region: str, endpoint: str) -> None:
        """Let no more requests in."""
        self._serving.pop((region, endpoint), None)
        self._successors.pop((region, endpoint), None)
        self._routes.pop((region, endpoint), None)

    def refresh(self, region: str, endpoint: str) -> None:
        """Make the route anew: the health of an instance has changed, or the plan of the fleet."""
        fleet = self._serving.get((region, endpoint))
        if fleet is None:
            return
        variants = fleet.routes()
        if (region, endpoint) in self._successors:
            # While traffic shifts, a variant may be there twice, once in each fleet.
            successor, share = self._successors[region, endpoint]
            variants = (fleet.routes(1 - share) if share < 1 else ()) + successor.routes(share)
        self._routes[region, endpoint] = Route(endpoint, variants, fleet.plan.capture)

    @property
    def containers(self) -> int:
        """How many containers all fleets have, those included that are coming or going."""
        return sum(fleet.plan.containers for fleet in self._all)

    async def end(self, fleet: Fleet) -> None:
        """End a fleet for good."""
        await fleet.end()
        self._all.discard(fleet)

    def hurry(self, grace: float) -> None:
        """Give containers no more than `grace` seconds to end from now on: the stage is about to stop."""
        self._grace = grace
        for fleet in self._all:
            fleet.grace = grace

    async def pause(self) -> None:
        """End all instances; those of endpoints in service come back with the stage."""
        await asyncio.gather(*(fleet.pause() for fleet in self._all))

    def sweep(self, kept: Mapping[str, Collection[str]]) -> None:
        """Delete what instances had that are none of `kept` (ids by region): they went while the stage was down."""
        for folder in self._folder.glob("*/*"):
            if folder.name not in kept.get(folder.parent.name, ()):
                remove_all_but_logs(folder)

    def reset(self) -> None:
        """End and delete everything, logs too."""
        for fleet in self._all:
            fleet.kill()
        self._all.clear()
        self._serving.clear()
        self._successors.clear()
        self._routes.clear()
        remove_tree(self._folder)
