"""DeploymentConfig: how an update moves an endpoint's traffic to its new fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagemaker.sagemaker.honoured import HONOURED, Entry, Refused
from stagemaker.wire.errors import ValidationError

HONOURED_MEMBERS: dict[str, Entry] = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": HONOURED,
            "WaitIntervalInSeconds": HONOURED,
            "CanarySize": HONOURED,
            "LinearStepSize": HONOURED,
        },
        "TerminationWaitInSeconds": HONOURED,
        "MaximumExecutionTimeoutInSeconds": HONOURED,
    },
    "RollingUpdatePolicy": Refused("updates are blue/green: give BlueGreenUpdatePolicy"),
    "AutoRollbackConfiguration": Refused("there are no alarms that could roll an update back"),
}

_SIZES = {"CANARY": ("CanarySize", 50), "LINEAR": ("LinearStepSize", 50)}
"""The member that says how much traffic a step moves, and its largest share of the capacity in percent."""
_LEAST_LINEAR = 10
DEFAULT_TIMEOUT = 3600.0 * 8


@dataclass(frozen=True, slots=True)
class Traffic:
    """`steps` are the shares of the traffic, from 0 to 1, that go to the new fleet before all of it does.

    Seconds: `wait` after each step, `termination_wait` before the old fleet ends, `timeout` for the whole update.
    """

    steps: tuple[float, ...]
    wait: float
    termination_wait: float
    timeout: float


ALL_AT_ONCE = Traffic((), 0.0, 0.0, DEFAULT_TIMEOUT)


def check(config: dict[str, Any]) -> None:
    """The rules that the API model does not hold. The sentences are ours. Raises ValidationException."""
    policy = config.get("BlueGreenUpdatePolicy")
    if policy is None:
        raise ValidationError("DeploymentConfig needs a BlueGreenUpdatePolicy.")
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    for of_kind, (member, most) in _SIZES.items():
        if (member in routing) != (of_kind == kind):
            raise ValidationError(f"{member} belongs to the traffic routing type {of_kind}, and only to that.")
        if of_kind == kind and routing[member]["Type"] == "CAPACITY_PERCENT":
            least = _LEAST_LINEAR if kind == "LINEAR" else 1
            if not least <= routing[member]["Value"] <= most:
                raise ValidationError(f"{member} must be between {least} and {most} percent of the capacity.")


def traffic(config: Mapping[str, Any] | None, instances: int) -> Traffic:
    """The steps of an update to a fleet of so many instances."""
    if config is None:
        return ALL_AT_ONCE
    policy = config["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    steps: tuple[float, ...] = ()
    if routing["Type"] in _SIZES:
        size = routing[_SIZES[routing["Type"]][0]]
        whole = 100 if size["Type"] == "CAPACITY_PERCENT" else instances
        step = min(1.0, size["Value"] / whole)
        count = 1 if routing["Type"] == "CANARY" else int(1 / step)
        steps = tuple(share for number in range(1, count + 1) if (share := number * step) < 1)
    return Traffic(
        steps,
        float(routing["WaitIntervalInSeconds"]),
        float(policy.get("TerminationWaitInSeconds", 0)),
        float(policy.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT)),
    )
