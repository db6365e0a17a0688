"""CreateModel: what of it is honoured, and what can be checked without asking anybody."""

from __future__ import annotations

from typing import Any

from stagemaker.jobs import namespace
from stagemaker.jobs.serving.spec import ModelData
from stagemaker.jobs.spec import S3Uri
from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Refused
from stagemaker.sagemaker.runtime.route import ExecutionMode
from stagemaker.wire.errors import NotHonouredError, ValidationError

Definition = dict[str, Any]
"""A ContainerDefinition, as the API has it."""

MOST_ENVIRONMENT_BYTES = 16 * 1024

_CONTAINER: dict[str, Entry] = {
    "ContainerHostname": HONOURED,
    "Image": HONOURED,
    "ImageConfig": {"RepositoryAccessMode": Only(("Platform",), "there is no VPC")},
    "Mode": Only(("SingleModel",), "multi-model endpoints are not there"),
    "ModelDataUrl": HONOURED,
    "ModelDataSource": {
        "S3DataSource": {
            "S3Uri": HONOURED,
            "S3DataType": HONOURED,
            "CompressionType": HONOURED,
            "ModelAccessConfig": Refused("there are no models with licences to accept"),
            "HubAccessConfig": Refused("there is no model hub"),
        }
    },
    "Environment": HONOURED,
    "AdditionalModelDataSources": Refused("only one source of model data is given to a container"),
    "ModelPackageName": Refused("there is no model registry; give Image and ModelDataUrl"),
    "MultiModelConfig": Refused("multi-model endpoints are not there"),
}

HONOURED_MEMBERS: dict[str, Entry] = {
    "ModelName": HONOURED,
    "PrimaryContainer": _CONTAINER,
    "Containers": _CONTAINER,
    "InferenceExecutionConfig": {"Mode": HONOURED},
    "ExecutionRoleArn": HONOURED,
    "Tags": HONOURED,
    "VpcConfig": Refused("there is no VPC"),
    "EnableNetworkIsolation": HONOURED,
}


def check(parameters: dict[str, Any]) -> None:
    """The rules that the API model does not hold. The sentences are ours. Raises ValidationException."""
    if bool(parameters.get("PrimaryContainer")) == bool(parameters.get("Containers")):
        raise ValidationError("Exactly one of PrimaryContainer and Containers must be given, and not be empty.")
    if "ExecutionRoleArn" not in parameters:
        raise ValidationError("ExecutionRoleArn is required.")
    containers = definitions(parameters)
    hostnames = [each["ContainerHostname"] for each in containers if each.get("ContainerHostname")]
    if twice := next((name for name in hostnames if hostnames.count(name) > 1), None):
        raise ValidationError(f"ContainerHostname must be unique within a model: {twice} is given twice.")
    if "InferenceExecutionConfig" in parameters and "PrimaryContainer" in parameters:
        raise ValidationError("InferenceExecutionConfig is for models with Containers.")
    if mode(parameters) is ExecutionMode.DIRECT and len(hostnames) < len(containers):
        raise ValidationError("Every container needs a ContainerHostname when the inference execution mode is Direct.")
    for each in containers:
        _check_container(each)
    if parameters.get("EnableNetworkIsolation") and not namespace.available():
        raise NotHonouredError("EnableNetworkIsolation = True", "this machine does not let us make network namespaces")


def definitions(document: dict[str, Any]) -> list[Definition]:
    """The containers of a request or of a model's document, in their order."""
    return [document["PrimaryContainer"]] if document.get("PrimaryContainer") else document["Containers"]


def names(document: dict[str, Any]) -> list[str]:
    """What the containers are called: `primary`, or `container-1` ..., or as their ContainerHostname says."""
    single = bool(document.get("PrimaryContainer"))
    return [
        each.get("ContainerHostname") or ("primary" if single else f"container-{number}")
        for number, each in enumerate(definitions(document), start=1)
    ]


def mode(document: dict[str, Any]) -> ExecutionMode:
    """Serial unless the model says otherwise."""
    return ExecutionMode(document.get("InferenceExecutionConfig", {}).get("Mode", "Serial"))


def data_url(definition: Definition) -> str | None:
    """Where the model data of a container comes from, in the words of the request."""
    source = definition.get("ModelDataSource", {}).get("S3DataSource", {})
    url = definition.get("ModelDataUrl") or source.get("S3Uri")
    return str(url) if url else None


def model_data(definition: Definition) -> ModelData | None:
    """The same as the runner is told it. Raises ValidationException for what is no address in S3."""
    url = data_url(definition)
    if url is None:
        return None
    if "ModelDataUrl" in definition:
        return ModelData(s3_address(url))
    source = definition["ModelDataSource"]["S3DataSource"]
    return ModelData(
        s3_address(url),
        is_prefix=source["S3DataType"] == "S3Prefix",
        is_archive=source["CompressionType"] == "Gzip",
    )


def s3_address(url: str) -> S3Uri:
    """From `s3://bucket/key`, or S3's own https addresses in both styles. Raises ValidationException."""
    scheme, _, rest = url.partition("://")
    host, _, key = rest.partition("/")
    if scheme == "https":
        bucket, _, service = host.rpartition("s3")
        if not service.endswith(".amazonaws.com"):
            raise ValidationError(f"Invalid model data URL: {url}. It must be an address in Amazon S3.")
        host, key = (bucket.rstrip("."), key) if bucket else (key.partition("/")[0], key.partition("/")[2])
    if not host or not key:
        raise ValidationError(f"Invalid model data URL: {url}. It must name a bucket and a key.")
    return S3Uri(host, key)


def _check_container(definition: Definition) -> None:
    if not definition.get("Image"):
        raise ValidationError("Every container of a model needs an Image.")
    if "ModelDataUrl" in definition and "ModelDataSource" in definition:
        raise ValidationError("ModelDataUrl and ModelDataSource exclude one another.")
    source = definition.get("ModelDataSource", {}).get("S3DataSource")
    if source and source["S3DataType"] == "S3Prefix":
        if source["CompressionType"] == "Gzip":
            raise ValidationError("CompressionType Gzip needs the S3DataType S3Object: one archive.")
        if not source["S3Uri"].endswith("/"):
            raise ValidationError("The S3Uri of an S3Prefix must end with a slash.")
    environment = definition.get("Environment", {})
    if sum(len(key.encode()) + len(value.encode()) for key, value in environment.items()) > MOST_ENVIRONMENT_BYTES:
        raise ValidationError(f"The Environment of a container must not be larger than {MOST_ENVIRONMENT_BYTES} bytes.")
    model_data(definition)
