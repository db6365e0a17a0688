"""What each step of a change means for an endpoint's document. Each function changes the document it is given."""

from __future__ import annotations

import time
from collections.abc import Callable

from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.hosting import endpoint_document
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan

Change = Callable[[Document], None]


def failed(reason: str) -> Change:
    """The endpoint never came into service; it can only be deleted."""

    def change(document: Document) -> None:
        document["EndpointStatus"] = "Failed"
        document["FailureReason"] = reason

    return change


def in_service(plan: FleetPlan) -> Change:
    """The endpoint runs the plan, and all traffic goes there."""

    def change(document: Document) -> None:
        for member in ("PendingDeploymentSummary", "FailureReason", "DataCaptureConfig"):
            document.pop(member, None)
        document["EndpointStatus"] = "InService"
        document["EndpointConfigName"] = plan.config
        document["ProductionVariants"] = endpoint_document.variants(plan, time.time(), current=plan)
        if plan.shown_capture is not None:
            document["DataCaptureConfig"] = dict(plan.shown_capture)
        if plan.deployment is not None:
            document["LastDeploymentConfig"] = dict(plan.deployment)

    return change


def baking(document: Document) -> None:
    """Some of the traffic, or all of it, goes to the new fleet, and both run."""
    for variant in document["PendingDeploymentSummary"]["ProductionVariants"]:
        variant["VariantStatus"] = [{"Status": "Baking", "StartTime": time.time()}]


def rolling_back(document: Document) -> None:
    """The new fleet does not come, or goes."""
    document["EndpointStatus"] = "RollingBack"


def back_in_service(reason: str) -> Change:
    """The old fleet goes on; why the new one does not is kept."""

    def change(document: Document) -> None:
        document.pop("PendingDeploymentSummary", None)
        document["EndpointStatus"] = "InService"
        document["FailureReason"] = reason
        for variant in document["ProductionVariants"]:
            variant["DesiredWeight"] = variant["CurrentWeight"]
            variant["DesiredInstanceCount"] = variant["CurrentInstanceCount"]
            variant.pop("VariantStatus", None)

    return change
