"""The weights and numbers of instances of an endpoint's variants, as its owner changes them or wants them kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan
from stagemaker.wire.errors import ValidationError


def check_weights(plan: FleetPlan) -> None:
    """As of a configuration: without any weight no request would be answered. Raises ValidationException."""
    if not any(variant.weight > 0 for variant in plan.variants):
        raise ValidationError("At least one production variant needs a weight above 0.")


def retaining(plan: FleetPlan, serving: FleetPlan, excluded: Collection[str]) -> FleetPlan:
    """`plan` with the weights, counts and capture that the endpoint has now, apart from what is excluded."""
    there = {variant.name: variant for variant in serving.variants}
    variants = []
    for variant in plan.variants:
        kept = variant
        if (old := there.get(variant.name)) is not None:
            if "DesiredWeight" not in excluded:
                kept = replace(kept, weight=old.weight)
            if "DesiredInstanceCount" not in excluded:
                kept = kept.sized(len(old.instances))
        variants.append(kept)
    plan = replace(plan, variants=tuple(variants))
    if "DataCaptureConfig" not in excluded:
        plan = replace(plan, capture=serving.capture, shown_capture=serving.shown_capture)
    return plan


def resized(serving: FleetPlan, wishes: Iterable[Mapping[str, Any]]) -> FleetPlan:
    """`serving` with other weights and counts. Raises ValidationException for a variant that it does not have."""
    variants = {variant.name: variant for variant in serving.variants}
    for wish in wishes:
        name = wish["VariantName"]
        if name not in variants:
            raise ValidationError(f"The endpoint has no production variant {name}.")
        variant = variants[name]
        count = wish.get("DesiredInstanceCount", len(variant.instances))
        if count < 1:
            raise ValidationError(f"DesiredInstanceCount of the production variant {name} must be at least 1.")
        variants[name] = replace(variant, weight=wish.get("DesiredWeight", variant.weight)).sized(count)
    return replace(serving, variants=tuple(variants.values()))
