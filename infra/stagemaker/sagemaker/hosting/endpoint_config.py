"""Endpoint configurations: which models an endpoint is to run, on how many instances, and what it captures."""

from __future__ import annotations

import time
from typing import Any

from stagemaker.sagemaker.documents import Documents, read_tags
from stagemaker.sagemaker.family import Family, cannot_create_existing, could_not_find
from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Refused, refuse_unhonoured
from stagemaker.sagemaker.hosting.model import MODEL
from stagemaker.sagemaker.part import Part, operation
from stagemaker.wire.errors import ValidationError
from stagemaker.wire.message import Context

ENDPOINT_CONFIG = Family(
    noun="EndpointConfig",
    arn_type="endpoint-config",
    transitional=frozenset(),
    missing=could_not_find("endpoint configuration"),
    exists=cannot_create_existing("endpoint configuration"),
    sort_order="Descending",
    lower_case_arn=True,
    judged_with=frozenset({"CreateEndpoint", "UpdateEndpoint"}),
)

HONOURED_MEMBERS: dict[str, Entry] = {
    "EndpointConfigName": HONOURED,
    "ProductionVariants": {
        "VariantName": HONOURED,
        "ModelName": HONOURED,
        "InitialInstanceCount": HONOURED,
        "InstanceType": HONOURED,
        "InitialVariantWeight": HONOURED,
        "VolumeSizeInGB": HONOURED,
        "ModelDataDownloadTimeoutInSeconds": HONOURED,
        "ContainerStartupHealthCheckTimeoutInSeconds": HONOURED,
        "EnableSSMAccess": Only((False,), "nobody can log in to an instance"),
        "RoutingConfig": {
            "RoutingStrategy": Only(
                ("LEAST_OUTSTANDING_REQUESTS",), "a request always goes to the instance that has least to do"
            ),
        },
        "ServerlessConfig": Refused("serverless endpoints are not there; give InstanceType and InitialInstanceCount"),
        "AcceleratorType": Refused("there are no accelerators"),
        "CoreDumpConfig": Refused("no core dumps are kept"),
        "ManagedInstanceScaling": Refused("instances are not scaled by the endpoint itself"),
        "InstancePools": Refused("a variant has one instance type"),
        "InferenceAmiVersion": Refused("instances are local processes"),
        "CapacityReservationConfig": Refused("there is no capacity to reserve"),
    },
    "DataCaptureConfig": {
        "EnableCapture": HONOURED,
        "InitialSamplingPercentage": HONOURED,
        "DestinationS3Uri": HONOURED,
        "KmsKeyId": Only(("",), "captured data is not encrypted with a key of yours"),
        "CaptureOptions": {"CaptureMode": HONOURED},
        "CaptureContentTypeHeader": {"CsvContentTypes": HONOURED, "JsonContentTypes": HONOURED},
    },
    "Tags": HONOURED,
    "KmsKeyId": Only(("",), "volumes are folders of this machine, not encrypted with a key of yours"),
    "AsyncInferenceConfig": Refused("asynchronous endpoints are not there"),
    "ExplainerConfig": Refused("there is no online explainer"),
    "ShadowProductionVariants": Refused("there are no shadow variants"),
    "ExecutionRoleArn": Refused("there are no inference components; the role is the model's"),
    "VpcConfig": Refused("there is no VPC"),
    "EnableNetworkIsolation": Refused("there are no inference components; isolation is the model's"),
}


class EndpointConfigs(Part):
    """The endpoint configurations of the account."""

    families = (ENDPOINT_CONFIG,)

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    @operation("CreateEndpointConfig")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpointConfig. Its models must be there; instances are counted when they are to run."""
        refuse_unhonoured(parameters, HONOURED_MEMBERS)
        _check(parameters)
        name, region = parameters["EndpointConfigName"], context.region
        for variant in parameters["ProductionVariants"]:
            self.documents.get(MODEL, region, variant["ModelName"])
        arn = ENDPOINT_CONFIG.arn(region, self.documents.account, name)
        document = {member: value for member, value in parameters.items() if member != "Tags"}
        document |= {
            "EndpointConfigArn": arn,
            "CreationTime": round(time.time(), 3),
            "ProductionVariants": [{"InitialVariantWeight": 1.0, **each} for each in parameters["ProductionVariants"]],
        }
        if capture := parameters.get("DataCaptureConfig"):
            document["DataCaptureConfig"] = {"EnableCapture": True, **capture}
        self.documents.create(ENDPOINT_CONFIG, region, name, document, read_tags(parameters.get("Tags", [])))
        return {"EndpointConfigArn": arn}

    @operation("DeleteEndpointConfig")
    async def delete(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpointConfig. Endpoints that were made of it go on."""
        self.documents.delete(ENDPOINT_CONFIG, context.region, parameters["EndpointConfigName"])
        return {}


def _check(parameters: dict[str, Any]) -> None:
    """The rules that the API model does not hold. The sentences are ours. Raises ValidationException."""
    names = [variant["VariantName"] for variant in parameters["ProductionVariants"]]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValidationError(f"Variant names must be unique within an endpoint configuration: {twice} is given twice.")
    for variant in parameters["ProductionVariants"]:
        for member in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if member not in variant:
                raise ValidationError(f"{member} is required for the production variant {variant['VariantName']}.")
    if not any(variant.get("InitialVariantWeight", 1.0) > 0 for variant in parameters["ProductionVariants"]):
        raise ValidationError("At least one production variant needs an InitialVariantWeight above 0.")
    if capture := parameters.get("DataCaptureConfig"):
        uri = capture["DestinationS3Uri"]
        if not uri.startswith("s3://"):
            raise ValidationError(f"Invalid DestinationS3Uri: {uri}. It must look like s3://bucket/prefix.")
