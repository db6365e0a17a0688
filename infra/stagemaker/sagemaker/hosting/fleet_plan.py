"""What an endpoint runs: its variants, each with all that its instances need, frozen when it was deployed.

A model or a configuration that is deleted later changes nothing for the endpoints that were made of it, as on AWS.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.sagemaker.runtime.route import Capture, ExecutionMode


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """A production variant. `instances` are the ids of its instances, as many as it should have."""

    name: str
    weight: float
    instance_type: str
    spec: InstanceSpec
    role_arn: str
    images: tuple[str, ...]
    """Of the containers, in their order, as the model names them."""
    data_urls: tuple[str | None, ...]
    """Likewise: where their model data comes from."""
    mode: ExecutionMode = ExecutionMode.SERIAL
    instances: tuple[str, ...] = ()

    def sized(self, count: int) -> VariantPlan:
        """This variant with `count` instances: the first ones stay, new ones come behind them."""
        kept = self.instances[:count]
        return replace(self, instances=(*kept, *(new_instance_id() for _ in range(count - len(kept)))))


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """All variants of an endpoint, made from the configuration `config`."""

    config: str
    variants: tuple[VariantPlan, ...]
    capture: Capture | None = None
    shown_capture: Mapping[str, Any] | None = None
    """DataCaptureConfig as DescribeEndpoint shows it."""
    deployment: Mapping[str, Any] | None = None
    """The DeploymentConfig of the update that brings this plan, as DescribeEndpoint shows it."""

    @property
    def containers(self) -> int:
        """How many containers the fleet has in all."""
        return sum(len(variant.instances) * len(variant.spec.containers) for variant in self.variants)

    def instances(self) -> Iterator[tuple[VariantPlan, str]]:
        """Every instance with its variant."""
        return ((variant, each) for variant in self.variants for each in variant.instances)

    def to_json(self) -> str:
        """As a JSON object."""
        document = asdict(replace(self, variants=()))
        document["variants"] = [{**asdict(variant), "spec": variant.spec.to_json()} for variant in self.variants]
        return json.dumps(document, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> FleetPlan:
        """Read what `to_json` wrote."""
        document: dict[str, Any] = json.loads(text)
        return cls(
            document["config"],
            tuple(_variant(entry) for entry in document["variants"]),
            _capture(document["capture"]),
            document["shown_capture"],
            document["deployment"],
        )


def new_instance_id() -> str:
    """As EC2 names its instances."""
    return f"i-{secrets.token_hex(9)[:17]}"


def _variant(entry: dict[str, Any]) -> VariantPlan:
    lists = {name: tuple(entry[name]) for name in ("images", "data_urls", "instances")}
    spec = InstanceSpec.from_json(entry["spec"])
    return VariantPlan(**{**entry, **lists, "spec": spec, "mode": ExecutionMode(entry["mode"])})


def _capture(entry: dict[str, Any] | None) -> Capture | None:
    if entry is None:
        return None
    types = {name: frozenset(entry[name]) for name in ("csv_types", "json_types")}
    return Capture(**{**entry, **types})


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)
