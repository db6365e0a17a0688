"""Carries out what the operations on endpoints have promised: one change at a time for each endpoint.

What is wanted lies in the store before a change begins, so a stage that is killed takes the change up again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.execution_role import cannot_assume
from stagemaker.sagemaker.hosting import endpoint_document, endpoint_failures, endpoint_steps, endpoint_traffic
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT
from stagemaker.sagemaker.hosting.endpoint_hours import Hours
from stagemaker.sagemaker.hosting.fleet import Fleets
from stagemaker.sagemaker.hosting.fleet_deployed import Fleet, VariantFaultError
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.sagemaker.hosting.fleet_plans import FleetPlans, PlanRole
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.wire.errors import AwsError

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 2.0
"""Before a change of state is written once more that the disk has refused."""
HURRIED_SECONDS = 5.0
"""What containers get to end in when the stage stops."""

Key = tuple[str, str]
"""Region and name of an endpoint."""


class DeploymentError(Exception):
    """A fleet did not come into service. The text is the FailureReason."""


class EndpointChanges:
    """The changes that are under way. `sleep` waits for the steps of an update."""

    def __init__(
        self,
        documents: Documents,
        plans: FleetPlans,
        fleets: Fleets,
        state_changes: StateChanges,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._documents = documents
        self._plans = plans
        self._fleets = fleets
        self._hours = Hours(documents.store)
        self._state_changes = state_changes
        self._sleep = sleep
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def create(self, key: Key) -> None:
        """Bring a new endpoint into service."""
        self._begin(key, self._create(key))

    def update(self, key: Key) -> None:
        """Put the successor's plan in the place of what serves."""
        self._begin(key, self._update(key))

    def resize(self, key: Key) -> None:
        """Give the fleet its new weights and counts."""
        self._begin(key, self._resize(key))

    def delete(self, key: Key) -> None:
        """End an endpoint, whatever is under way with it."""
        previous = self._tasks.get(key)
        if previous is not None:
            previous.cancel()
        fleet = self._fleets.serving(*key)
        self._fleets.close(*key)  # from this moment on nobody finds it
        self._begin(key, self._delete(key, fleet))

    def resume(self) -> None:
        """Take up all endpoints as the stage has left them."""
        kept: dict[str, set[str]] = {}
        for region, name, plan in self._plans.all_serving():
            document = self._documents.find(ENDPOINT, region, name)
            status = document["EndpointStatus"] if document else "Deleting"
            if status != "Deleting":
                kept.setdefault(region, set()).update(instance for _, instance in plan.instances())
            self._resume((region, name), plan, status)
        self._fleets.sweep(kept)

    async def stop(self) -> None:
        """Break off what is under way and end all instances; both are taken up by the next stage."""
        self._fleets.hurry(HURRIED_SECONDS)
        await _cancelled(self._tasks.values())
        await self._fleets.pause()
        await _cancelled(self._retiring)  # an update that was broken off has left a fleet to retire

    def reset(self) -> None:
        """End and forget everything."""
        for task in (*self._tasks.values(), *self._retiring):
            task.cancel()
        self._tasks.clear()
        self._fleets.reset()
        self._plans.reset()
        self._hours.reset()

    def _begin(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        previous = self._tasks.get(key)

        async def run() -> None:
            if previous is not None:
                await asyncio.gather(previous, return_exceptions=True)
            await work

        task = asyncio.create_task(run(), name=f"endpoint {key[1]}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done, work))

    def _ended(self, key: Key, task: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
        work.close()  # it may never have begun
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a change of the endpoint %s broke off", key[1], exc_info=error)

    async def _create(self, key: Key) -> None:
        plan = self._plan(key, PlanRole.SERVING)
        try:
            fleet = await self._deploy(key, plan)
        except DeploymentError as error:
            await self._save(key, endpoint_steps.failed(str(error)), lambda: self._plans.drop(*key))
            return
        self._fleets.serve(*key, fleet)
        await self._save(key, endpoint_steps.in_service(plan), lambda: self._hours.enter(*key, plan))

    async def _update(self, key: Key) -> None:
        plan, blue = self._plan(key, PlanRole.SUCCESSOR), self._fleets.serving(*key)
        traffic = endpoint_traffic.traffic(plan.deployment, sum(1 for _ in plan.instances()))
        try:
            async with asyncio.timeout(traffic.timeout):
                green = await self._deploy(key, plan)
                await self._shift(key, green, traffic)
        except DeploymentError as error:
            await self._roll_back(key, str(error))
            return
        except TimeoutError:
            await self._roll_back(key, "The update took longer than MaximumExecutionTimeoutInSeconds.")
            return
        self._fleets.serve(*key, green)
        await self._save(key, endpoint_steps.in_service(plan), lambda: self._take_over(key, plan))
        if blue is not None:
            self._retire(blue)

    async def _shift(self, key: Key, green: Fleet, traffic: endpoint_traffic.Traffic) -> None:
        """Move the traffic step by step. When that breaks off, all goes back, and the new fleet answers what it has."""
        try:
            for share in (*traffic.steps, 1.0):
                self._fleets.shift(*key, green, share)
                await self._save(key, endpoint_steps.baking)
                await self._sleep(traffic.wait)
            await self._sleep(traffic.termination_wait)
        except BaseException:
            self._fleets.shift_back(*key)
            self._retire(green)
            raise

    async def _roll_back(self, key: Key, reason: str) -> None:
        await self._save(key, endpoint_steps.rolling_back)
        await self._save(key, endpoint_steps.back_in_service(reason), lambda: self._plans.drop_pending(*key))

    async def _resize(self, key: Key) -> None:
        """New instances first; those that are too many go when the new ones are there."""
        plan, fleet = self._plan(key, PlanRole.RESIZED), self._fleets.serving(*key)
        assert fleet is not None, "an endpoint in service has a fleet"
        before = fleet.plan
        try:
            fleet.plan = plan
            await self._start(key, fleet)
        except DeploymentError as error:
            fleet.plan = before
            await self._save(key, endpoint_steps.back_in_service(str(error)), lambda: self._plans.drop_pending(*key))
            return
        except BaseException:
            fleet.plan = before
            raise
        finally:
            self._fleets.refresh(*key)
        await self._save(key, endpoint_steps.in_service(plan), lambda: self._take_over(key, plan))
        surplus = {each for _, each in before.instances()} - {each for _, each in plan.instances()}
        self._in_background(self._thin_out(fleet, surplus))

    def _take_over(self, key: Key, plan: FleetPlan) -> None:
        self._plans.put(*key, PlanRole.SERVING, plan)
        self._hours.enter(*key, plan)

    async def _delete(self, key: Key, fleet: Fleet | None) -> None:
        last = self._fleets.serving(*key)  # what was under way may have brought one in the meantime
        self._fleets.close(*key)
        await asyncio.gather(*(self._fleets.end(each) for each in {fleet, last} if each is not None))

        def forget() -> None:
            with self._documents.store.transaction():
                self._plans.drop(*key)
                self._hours.enter(*key, None)
                if self._documents.find(ENDPOINT, *key) is not None:
                    self._documents.delete(ENDPOINT, *key)

        await self._written(forget)

    def _resume(self, key: Key, plan: FleetPlan, status: str) -> None:
        match status:
            case "Creating":
                self.create(key)
            case "Deleting":
                self.delete(key)
            case "Failed":
                return
            case _:
                fleet = self._fleets.new(*key, plan)
                self._fleets.serve(*key, fleet)  # with no healthy instance yet, which requests are told
                self._begin(key, self._come_back(key, fleet))
                if self._plans.get(*key, PlanRole.SUCCESSOR):
                    self.update(key)
                elif self._plans.get(*key, PlanRole.RESIZED):
                    self.resize(key)
                elif status != "InService":
                    self._begin(key, self._save(key, endpoint_steps.in_service(plan)))

    async def _come_back(self, key: Key, fleet: Fleet) -> None:
        # A role that is gone does not end an endpoint: its instances have keys, and model data, of before.
        fleet.resume(await self._fleets.keys(key[0], fleet.plan))

    async def _deploy(self, key: Key, plan: FleetPlan) -> Fleet:
        """A fleet in service. Raises DeploymentError; nothing of the fleet is left then."""
        fleet = self._fleets.new(key[0], key[1], plan)
        try:
            await self._start(key, fleet)
        except BaseException:
            await self._fleets.end(fleet)
            raise
        return fleet

    async def _start(self, key: Key, fleet: Fleet) -> None:
        """Bring what the fleet's plan has more than the fleet into service. Raises DeploymentError."""
        try:
            self._fleets.attach_logs(*key, fleet.plan)
            keys = await self._fleets.keys(key[0], fleet.plan)
            if missing := next((each for each in fleet.plan.variants if each.name not in keys), None):
                raise DeploymentError(cannot_assume(missing.role_arn))
            await fleet.start(keys)
        except VariantFaultError as error:
            raise DeploymentError(endpoint_failures.reason(error)) from error
        except (OSError, AwsError) as error:  # the disk refuses, or no more processes can be had
            _LOG.exception("instances of the endpoint %s cannot be started", key[1])
            raise DeploymentError(f"{endpoint_failures.INTERNAL} (Stagemaker: {error})") from error

    def _plan(self, key: Key, role: PlanRole) -> FleetPlan:
        plan = self._plans.get(*key, role)
        assert plan is not None, "a change begins after its plan was kept"
        return plan

    def _retire(self, fleet: Fleet) -> None:
        """End a fleet that gets no more requests, when it has answered those that it has."""

        async def retire() -> None:
            await fleet.drain(self._fleets.under_way)
            await self._fleets.end(fleet)

        self._in_background(retire())

    async def _thin_out(self, fleet: Fleet, surplus: set[str]) -> None:
        await fleet.drain(self._fleets.under_way, surplus)
        await fleet.end(surplus)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="retiring instances")
        self._retiring.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            work.close()  # it may never have begun
            self._retiring.discard(done)

        task.add_done_callback(ended)

    async def _save(
        self, key: Key, change: Callable[[Document], None], also: Callable[[], None] = lambda: None
    ) -> None:
        """Change the document, and tell the event bus when its status has changed."""

        def write() -> None:
            with self._documents.store.transaction():
                document = self._documents.find(ENDPOINT, *key)
                if document is None:
                    return
                before = document["EndpointStatus"]
                change(document)
                also()
                self._documents.save(ENDPOINT, *key, document)
                if document["EndpointStatus"] != before:
                    self.announce(key[0], document)

        await self._written(write)

    def announce(self, region: str, document: Document) -> None:
        """Let the event bus know of an endpoint's state."""
        self._state_changes.add(region, document["EndpointArn"], endpoint_document.event_detail(document))

    async def _written(self, write: Callable[[], None]) -> None:
        """Write until the disk takes it: the instances are as they are, and the document must follow."""
        while True:
            try:
                write()
            except AwsError as error:
                if error.status < 500:
                    raise
                _LOG.error("the state of an endpoint could not be written; it is tried again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
