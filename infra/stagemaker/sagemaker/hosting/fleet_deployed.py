"""The instances of one fleet: brought into service, watched, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from stagemaker.jobs.record import UsageEvent
from stagemaker.jobs.serving.instance import Fault, InstanceFaultError, ServingInstance
from stagemaker.jobs.serving.model_server import STOP_SECONDS
from stagemaker.ports import Credentials
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.runtime.route import Container, Instance, VariantRoute

_LOG = logging.getLogger(__name__)
LONGEST_REQUEST_SECONDS = 65.0
"""A request is given up after 60 s, so an instance that gets no more of them is idle after that."""
HEAD_START_SECONDS = 15.0
"""What an instance gets before the next one begins as well. One that only waits must not keep all others waiting."""
_QUIET_SECONDS = 0.05

UnderWay = Callable[[Container], int]
"""How many requests a container has to answer."""


class VariantFaultError(Exception):
    """An instance of `variant` did not come into service."""

    def __init__(self, variant: VariantPlan, fault: Fault) -> None:
        super().__init__(f"{variant.name}: {fault.detail}")
        self.variant = variant
        self.fault = fault


class Fleet:
    """The instances of a plan. `changed` is called when one becomes healthy or ceases to be.

    `used` gets what an instance of a variant, whose name comes first, has used in a minute.
    """

    def __init__(
        self,
        plan: FleetPlan,
        folder: Path,
        starting: asyncio.Semaphore,
        changed: Callable[[], None],
        used: Callable[[str, UsageEvent], None],
    ) -> None:
        self.plan = plan
        """What there should be; a wider one takes effect with `start`, a narrower one with `end`."""
        self.grace = STOP_SECONDS
        """What a container gets between SIGTERM and SIGKILL."""
        self._folder = folder
        self._starting = starting
        self._changed = changed
        self._used = used
        self._instances: dict[str, ServingInstance] = {}

    async def start(self, keys: Mapping[str, Credentials]) -> None:
        """Bring every instance of the plan that is not there yet into service. `keys` are by variant.

        Raises VariantFaultError; the instances that were to come are then ended, and nothing of them is left.
        """
        missing = [(variant, each) for variant, each in self.plan.instances() if each not in self._instances]
        tasks = [asyncio.create_task(self._bring(variant, each, keys[variant.name])) for variant, each in missing]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.end(each for _, each in missing)
            raise

    async def _bring(self, variant: VariantPlan, instance_id: str, credentials: Credentials) -> None:
        # Programs that all load their libraries at the same time hold one another up past their health checks.
        async with self._starting:
            instance = self._make(variant, instance_id)
            instance.write(credentials)
            instance.start()
            await instance.settle(HEAD_START_SECONDS)
        try:
            await instance.in_service()
        except InstanceFaultError as error:
            raise VariantFaultError(variant, error.fault) from error

    def resume(self, keys: Mapping[str, Credentials]) -> None:
        """Let the instances come back that were in service when the stage last stopped; they do so by themselves.

        A variant without new keys uses those that it has.
        """
        for variant, instance_id in self.plan.instances():
            instance = self._make(variant, instance_id)
            if variant.name in keys:
                try:
                    instance.write(keys[variant.name])
                except OSError:  # a full disk, say: what was written in an earlier life is as good for a while
                    _LOG.exception("instance %s gets no new keys", instance_id)
            instance.start(persistent=True)

    def _make(self, variant: VariantPlan, instance_id: str) -> ServingInstance:
        instance = ServingInstance(
            self._folder / instance_id, variant.spec, self._changed, partial(self._used, variant.name)
        )
        self._instances[instance_id] = instance
        return instance

    def routes(self, share: float | None = None) -> tuple[VariantRoute, ...]:
        """The variants with their healthy instances.

        `share`, from 0 to 1, is what the fleet gets of the traffic while another fleet gets the rest: the weights then
        add up to it, since those of two configurations may have nothing to do with one another.
        """
        total = sum(variant.weight for variant in self.plan.variants)
        factor = 1.0 if share is None else share / total if total else 0.0
        return tuple(
            VariantRoute(
                variant.name, variant.weight * factor, self._healthy(variant), len(variant.instances), variant.mode
            )
            for variant in self.plan.variants
        )

    def _healthy(self, variant: VariantPlan) -> tuple[Instance, ...]:
        found = (self._instances.get(name) for name in variant.instances)
        return tuple(
            Instance(each.id, tuple(Container(at.container, at.host, at.port) for at in each.addresses))
            for each in found
            if each is not None and each.healthy
        )

    async def drain(self, under_way: UnderWay, ids: Iterable[str] | None = None) -> None:
        """Wait until instances that get no new requests have answered those that they have."""
        await asyncio.gather(*(self._drain(each, under_way) for each in self._chosen(ids)))

    async def _drain(self, instance: ServingInstance, under_way: UnderWay) -> None:
        containers = [Container(at.container, at.host, at.port) for at in instance.addresses]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST_REQUEST_SECONDS
        quiet = 0
        # Looked at twice: a request of a pipeline that passes from container to container is with none of them.
        while quiet < 2 and instance.healthy and loop.time() < deadline:
            quiet = 0 if any(map(under_way, containers)) else quiet + 1
            await asyncio.sleep(_QUIET_SECONDS)

    async def end(self, ids: Iterable[str] | None = None) -> None:
        """End instances, all by default, and delete what they had but their logs."""
        gone = self._chosen(ids)
        await asyncio.gather(*(each.stop(self.grace) for each in gone))
        for each in gone:
            each.remove()
            self._instances.pop(each.id, None)

    async def pause(self) -> None:
        """End all instances, which are to come back with the stage."""
        await asyncio.gather(*(each.stop(self.grace) for each in self._instances.values()))

    def kill(self) -> None:
        """End all instances at once."""
        for each in self._instances.values():
            each.kill()

    def _chosen(self, ids: Iterable[str] | None) -> list[ServingInstance]:
        chosen = list(self._instances) if ids is None else ids
        return [self._instances[each] for each in chosen if each in self._instances]
