"""What DescribeEndpoint answers, from what an endpoint is to run."""

from __future__ import annotations

from typing import Any

from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.family import Family, cannot_create_existing, could_not_find
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.runtime.route import Capture

ENDPOINT = Family(
    noun="Endpoint",
    arn_type="endpoint",
    transitional=frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}),
    missing=could_not_find("endpoint"),
    exists=cannot_create_existing("endpoint"),
    sort_order="Descending",
    lower_case_arn=True,
    vanishing=frozenset({"Deleting"}),
)
STATE_CHANGE = "SageMaker Endpoint State Change"


def variants(plan: FleetPlan, now: float, *, current: FleetPlan | None, status: str | None = None) -> list[Document]:
    """ProductionVariants. `current` is what is in service, if anything; `status` is the VariantStatus."""
    return [_variant(each, now, current, status) for each in plan.variants]


def _variant(wanted: VariantPlan, now: float, current: FleetPlan | None, status: str | None) -> Document:
    there = next((each for each in current.variants if each.name == wanted.name), None) if current else None
    document: Document = {
        "VariantName": wanted.name,
        # AWS says which digest a tag stood for; programs have none.
        "DeployedImages": [{"SpecifiedImage": image, "ResolutionTime": now} for image in wanted.images],
        "CurrentWeight": there.weight if there else 0.0,
        "DesiredWeight": wanted.weight,
        "CurrentInstanceCount": len(there.instances) if there else 0,
        "DesiredInstanceCount": len(wanted.instances),
    }
    if status is not None:
        document["VariantStatus"] = [{"Status": status, "StartTime": now}]
    return document


def capture_summary(config: dict[str, Any] | None) -> Document | None:
    """DataCaptureConfig of an endpoint, from that of its configuration."""
    if config is None:
        return None
    return {
        "EnableCapture": config["EnableCapture"],
        "CaptureStatus": "Started" if config["EnableCapture"] else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def capture(config: dict[str, Any] | None, role: str) -> Capture | None:
    """The same as the runtime is told it; None where nothing is captured."""
    if config is None or not config["EnableCapture"]:
        return None
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    bucket, _, prefix = config["DestinationS3Uri"].removeprefix("s3://").partition("/")
    return Capture(
        percentage=config["InitialSamplingPercentage"],
        bucket=bucket,
        prefix=prefix,
        role_arn=role,
        request=bool(modes & {"Input", "InputAndOutput"}),
        response=bool(modes & {"Output", "InputAndOutput"}),
        csv_types=frozenset(headers.get("CsvContentTypes", ["text/csv"])),
        json_types=frozenset(headers.get("JsonContentTypes", ["application/json"])),
    )


def event_detail(document: Document) -> Document:
    """The document as events show it: statuses in capitals, `IN_SERVICE`, as AWS's guide has them."""
    status = "".join(f"_{letter}" if letter.isupper() else letter for letter in document["EndpointStatus"])
    return {**document, "EndpointStatus": status.lstrip("_").upper()}
