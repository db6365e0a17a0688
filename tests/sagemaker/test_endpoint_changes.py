"""How an endpoint changes, step by step, with real instances and a clock of the test's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec
from stagemaker.jobs.spec import Program
from stagemaker.ports import Credentials, Datum
from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.hosting.endpoint_changes import EndpointChanges
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT, STATE_CHANGE
from stagemaker.sagemaker.hosting.fleet import Fleets
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.hosting.fleet_plans import FleetPlans, PlanRole
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.store import Store

KEY = ("us-east-1", "e")
ROLE = "arn:aws:iam::123456789012:role/r"
SERVER = Program((str(Path(__file__).parents[1] / "stage" / "images" / "server" / "serve"),))


class Neighbours:
    """Keys for everybody; nobody listens."""

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Any role."""
        return Credentials("key", "secret", "token", datetime.now(UTC))

    def attach(self, group: str, stream: str, file: Path, *, region: str) -> None:
        """No logs."""

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """No metrics."""

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """No events."""


class Scene:
    """An endpoint, its fleets, and a `sleep` that the test replaces."""

    def __init__(self, store: Store, folder: Path) -> None:
        (folder / "stage.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:1"}))
        neighbours = Neighbours()
        self.stage_file = folder / "stage.json"
        self.documents = Documents(store, "123456789012")
        self.plans = FleetPlans(store)
        self.fleets = Fleets(folder / "endpoints", neighbours, neighbours, neighbours, lambda _container: 0)
        self.state_changes = StateChanges(store, neighbours, STATE_CHANGE)
        self.sleeping: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep

        async def sleep(seconds: float) -> None:
            await self.sleeping(seconds)

        self.changes = EndpointChanges(self.documents, self.plans, self.fleets, self.state_changes, sleep)

    def plan(self, config: str, **members: Any) -> FleetPlan:
        """One variant with one instance."""
        container = ContainerSpec("primary", SERVER, {})
        spec = InstanceSpec("us-east-1", (container,), self.stage_file, 1 << 20, namespaced=False)
        variant = VariantPlan("V", 1.0, "ml.m5.large", spec, ROLE, ("server",), (None,)).sized(1)
        return replace(FleetPlan(config, (variant,)), **members)

    def begin(self, status: str, role: PlanRole, plan: FleetPlan) -> None:
        """What an operation leaves behind before its change begins."""
        now = time.time()
        self.plans.put(*KEY, role, plan)
        document = self.documents.find(ENDPOINT, *KEY)
        if document is None:
            document = {"EndpointName": "e", "EndpointArn": "arn", "CreationTime": now, "ProductionVariants": []}
            self.documents.create(ENDPOINT, *KEY, {**document, "EndpointStatus": status}, {})
        else:
            document["PendingDeploymentSummary"] = {"ProductionVariants": [{"VariantName": "V"}]}
            self.documents.save(ENDPOINT, *KEY, {**document, "EndpointStatus": status})

    async def settled(self) -> Document:
        """The document when nothing is under way any more."""
        return await asyncio.wait_for(self.documents.settled(ENDPOINT, *KEY), 60)

    def weights(self) -> list[tuple[str, float]]:
        """Who gets how much, by instance."""
        route = self.fleets.route(*KEY)
        assert route is not None
        return [(instance.id, round(each.weight, 2)) for each in route.variants for instance in each.instances]


@pytest.fixture
def scene(store: Store, tmp_path: Path) -> Scene:
    """Without an endpoint."""
    return Scene(store, tmp_path)


def linear(percent: int) -> dict[str, Any]:
    """A DeploymentConfig."""
    step = {"Type": "CAPACITY_PERCENT", "Value": percent}
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": step}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 30}}


def test_traffic_moves_in_steps(scene: Scene) -> None:
    """A share, a wait, and so on to the whole; then the old fleet is kept for its time, and ends."""
    seen: list[tuple[float, list[tuple[str, float]]]] = []

    async def look(seconds: float) -> None:
        seen.append((seconds, scene.weights()))

    async def story() -> None:
        old = scene.plan("old")
        scene.begin("Creating", PlanRole.SERVING, old)
        scene.changes.create(KEY)
        assert (await scene.settled())["EndpointStatus"] == "InService"
        new = scene.plan("new", deployment=linear(40))
        scene.begin("Updating", PlanRole.SUCCESSOR, new)
        scene.sleeping = look
        scene.changes.update(KEY)
        document = await scene.settled()
        assert document["EndpointConfigName"] == "new"
        assert document["LastDeploymentConfig"] == linear(40)
        (blue,), (green,) = (plan.variants[0].instances for plan in (old, new))
        assert seen == [
            (60, [(blue, 0.6), (green, 0.4)]),
            (60, [(blue, 0.2), (green, 0.8)]),
            (60, [(green, 1.0)]),
            (30, [(green, 1.0)]),
        ]
        assert scene.weights() == [(green, 1.0)]
        await scene.changes.stop()

    asyncio.run(story())
    assert [plan.config for _, _, plan in scene.plans.all_serving()] == ["new"]


def test_update_that_takes_too_long_goes_back(scene: Scene) -> None:
    """All traffic returns to the old fleet; the reason stays, and nothing is left of the update."""

    async def never(_seconds: float) -> None:
        raise TimeoutError

    async def story() -> None:
        old = scene.plan("old")
        scene.begin("Creating", PlanRole.SERVING, old)
        scene.changes.create(KEY)
        await scene.settled()
        scene.begin("Updating", PlanRole.SUCCESSOR, scene.plan("new", deployment=linear(50)))
        scene.sleeping = never
        scene.changes.update(KEY)
        document = await scene.settled()
        assert document["EndpointStatus"] == "InService"
        assert document["EndpointConfigName"] == "old"
        assert "MaximumExecutionTimeoutInSeconds" in document["FailureReason"]
        assert "PendingDeploymentSummary" not in document
        assert scene.weights() == [(old.variants[0].instances[0], 1.0)]
        await scene.changes.stop()

    asyncio.run(story())
    assert scene.plans.get(*KEY, PlanRole.SUCCESSOR) is None


def test_disk_that_refuses_the_end_of_a_change_is_asked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint serves all the same, and its document follows as soon as it can."""
    from stagemaker.sagemaker.hosting import endpoint_changes
    from stagemaker.wire.errors import AwsError

    monkeypatch.setattr(endpoint_changes, "_RETRY_SECONDS", 0.0)
    refusals = [AwsError("InternalFailure", "no space left", 500)] * 3
    save = Documents.save

    def refusing(self: Documents, *arguments: Any) -> None:
        if refusals:
            raise refusals.pop()
        save(self, *arguments)

    async def story() -> None:
        scene.begin("Creating", PlanRole.SERVING, scene.plan("c"))
        monkeypatch.setattr(Documents, "save", refusing)
        scene.changes.create(KEY)
        assert (await scene.settled())["EndpointStatus"] == "InService"
        await scene.changes.stop()

    asyncio.run(story())
    assert not refusals
