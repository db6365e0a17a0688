"""Why an endpoint has failed, in AWS's words."""

from __future__ import annotations

from stagemaker.jobs.serving.model_server import FaultKind
from stagemaker.sagemaker.hosting.fleet_deployed import VariantFaultError

LONGEST_REASON = 1024
INTERNAL = "Request to service failed. If failure persists after retry, contact customer support."


def reason(error: VariantFaultError) -> str:
    """The FailureReason. What AWS does not say stands behind its sentences, in brackets."""
    variant, fault = error.variant, error.fault
    at = fault.position - 1
    match fault.kind:
        case FaultKind.PING:
            text = (
                f"The {fault.container} container for production variant {variant.name} did not pass the ping health "
                "check. Please check CloudWatch logs for this endpoint."
            )
        case FaultKind.DATA:
            text = (
                f'Failed to download model data for container "container_{fault.position}" from URL: '
                f'"{variant.data_urls[at]}". Please ensure that there is an object located at the URL and that the '
                "role passed to CreateModel has permissions to download the object."
            )
        case FaultKind.ARCHIVE:
            text = (
                f'Failed to extract model data archive for container "container_{fault.position}" from URL '
                f'"{variant.data_urls[at]}". Please ensure that the object located at the URL is a valid tar.gz '
                "archive."
            )
        case FaultKind.IMAGE:
            text = (
                f"The image '{variant.images[at]}' does not exist. Please make sure all images included in the model "
                f"for the production variant {variant.name} exist, and that the execution role used to create the "
                "model has permissions to access them."
            )
        case None:
            text = INTERNAL
    return f"{text} (Stagemaker: {_own(fault.detail)})"[:LONGEST_REASON]


def _own(detail: str) -> str:
    """What of a detail is ours: that of an image begins with the sentence that a training job would say."""
    _, _, ours = detail.partition("(Stagemaker: ")
    return ours.removesuffix(")") or detail
