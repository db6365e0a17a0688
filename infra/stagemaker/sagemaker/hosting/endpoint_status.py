"""The endpoints that have instances, for `stagemaker status`: on AWS each costs until it is deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.sagemaker.hosting.fleet_plans import FleetPlans
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.store import Store


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint. `instances` are as many as it should have, all variants together, such as `2 x ml.m5.large`.

    `usd_per_hour` is what they would cost on AWS; None where no price is known.
    """

    region: str
    endpoint: str
    status: str
    """EndpointStatus, as DescribeEndpoint has it."""
    instances: str
    usd_per_hour: float | None


def endpoints(database: Path) -> list[EndpointStatus]:
    """Those that run or are on their way, by region and name; one that has Failed has no instances."""
    store = Store(database)
    try:
        documents = Documents(store, account="")
        found = []
        for region, name, plan in FleetPlans(store).all_serving():
            if (document := documents.find(ENDPOINT, region, name)) is not None:
                found.append(_status(region, name, document["EndpointStatus"], plan))
        return sorted(found, key=lambda each: (each.region, each.endpoint))
    finally:
        store.close()


def _status(region: str, name: str, status: str, plan: FleetPlan) -> EndpointStatus:
    counts = Counter(variant.instance_type for variant, _ in plan.instances())
    known = instance_types()
    prices = [count * known[kind].usd_per_hour for kind, count in counts.items() if kind in known]
    return EndpointStatus(
        region,
        name,
        status,
        ", ".join(f"{count} x {kind}" for kind, count in counts.items()),
        usd_per_hour=sum(prices) if len(prices) == len(counts) else None,
    )


def as_text(found: Sequence[EndpointStatus]) -> str:
    """Lines for the terminal, at most 80 columns wide but for long names."""
    if not found:
        return "Endpoints: none"
    return "\n".join(["Endpoints, and what each would cost on AWS until it is deleted:", *map(_line, found)])


def _line(each: EndpointStatus) -> str:
    price = "no price" if each.usd_per_hour is None else f"{each.usd_per_hour:.4f} USD/h"
    return f"  {each.endpoint:<22} {each.status:<10} {each.instances:<18} {price:>12} {each.region}"
