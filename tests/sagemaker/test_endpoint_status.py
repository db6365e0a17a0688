"""What `stagemaker status` says of the endpoints that have instances."""

from __future__ import annotations

from pathlib import Path

from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT
from stagemaker.sagemaker.hosting.endpoint_status import EndpointStatus, as_text, endpoints
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.hosting.fleet_plans import FleetPlans, PlanRole
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.store import Store


def put(store: Store, region: str, name: str, status: str, plan: FleetPlan | None) -> None:
    """An endpoint; a plan of None: it has no instances."""
    document = {"EndpointName": name, "EndpointStatus": status, "CreationTime": 1.0}
    Documents(store, "123456789012").create(ENDPOINT, region, name, document, {})
    if plan is not None:
        FleetPlans(store).put(region, name, PlanRole.SERVING, plan)


def variant(name: str, count: int, kind: str = "ml.m5.large") -> VariantPlan:
    """A variant of so many instances."""
    return VariantPlan(name, 1.0, kind, InstanceSpec("r", (), Path("s"), 1, namespaced=False), "role", (), ()).sized(
        count
    )


def test_endpoints_that_have_instances_are_listed(tmp_path: Path) -> None:
    """By region and name, with the instances of all variants and their price; one that has failed has none."""
    store = Store(tmp_path / "stage.db")
    put(store, "us-east-1", "shop", "InService", FleetPlan("c", (variant("A", 2), variant("B", 1))))
    put(store, "eu-west-1", "mixed", "Updating", FleetPlan("c", (variant("A", 1), variant("B", 1, "ml.new.large"))))
    put(store, "us-east-1", "broken", "Failed", None)
    store.close()
    found = endpoints(tmp_path / "stage.db")
    assert found == [
        EndpointStatus("eu-west-1", "mixed", "Updating", "1 x ml.m5.large, 1 x ml.new.large", None),
        EndpointStatus(
            "us-east-1",
            "shop",
            "InService",
            "3 x ml.m5.large",
            3 * instance_types()["ml.m5.large"].usd_per_hour,
        ),
    ]
    _, mixed, shop = as_text(found).splitlines()
    assert ("no price" in mixed, "eu-west-1" in mixed) == (True, True)
    assert shop.split()[:5] == ["shop", "InService", "3", "x", "ml.m5.large"]
    assert "0.3450 USD/h" in shop


def test_stage_without_endpoints_says_so(tmp_path: Path) -> None:
    """Nothing runs, nothing costs."""
    store = Store(tmp_path / "stage.db")
    Documents(store, "123456789012")
    store.close()
    assert endpoints(tmp_path / "stage.db") == []
    assert as_text([]) == "Endpoints: none"
