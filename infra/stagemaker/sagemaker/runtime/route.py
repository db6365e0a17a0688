"""Where a request to an endpoint can go: what the fleet tells the runtime API.

A route is a picture of one moment. It is made anew when an instance becomes healthy or ceases to be, and
asking for it costs a look into a table: no request waits for the control plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ExecutionMode(StrEnum):
    """`Serial`: each container gets what the one before it answered. `Direct`: the request names its container."""

    SERIAL = "Serial"
    DIRECT = "Direct"


@dataclass(frozen=True, slots=True)
class Container:
    """A program that answers `POST /invocations` at an address.

    `name` is what AWS's texts call it: `primary`, `container-1` ... or its ContainerHostname.
    """

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a variant: a container, or all containers of a pipeline in their order."""

    id: str
    containers: tuple[Container, ...]


@dataclass(frozen=True, slots=True)
class VariantRoute:
    """A production variant. `instances` are the healthy ones; `instance_count` says how many there should be."""

    name: str
    weight: float
    instances: tuple[Instance, ...]
    instance_count: int
    mode: ExecutionMode = ExecutionMode.SERIAL


@dataclass(frozen=True, slots=True)
class Capture:
    """DataCaptureConfig of an endpoint. `percentage` of the requests goes to `bucket` below `prefix`.

    `role_arn` is the execution role of the model, whose rights count for the writing.
    """

    percentage: int
    bucket: str
    prefix: str
    role_arn: str
    request: bool
    response: bool
    csv_types: frozenset[str] = frozenset({"text/csv"})
    json_types: frozenset[str] = frozenset({"application/json"})


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint that takes requests, by its name as it was created."""

    endpoint: str
    variants: tuple[VariantRoute, ...]
    capture: Capture | None = None


class Routes(Protocol):
    """What the runtime API needs of the fleet."""

    def route(self, region: str, endpoint: str) -> Route | None:
        """The route to an endpoint that takes requests; None for one that does not, or is not there."""
        ...
