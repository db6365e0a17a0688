"""CreateTrainingJob: what of it is honoured, and what can be checked before the job exists."""

from __future__ import annotations

from typing import Any

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs.spec import ChannelSource, S3Uri
from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Recorded, Refused
from stagemaker.wire.errors import AwsError, ValidationError

_LATER = "this version runs File mode on one host"

HONOURED_MEMBERS: dict[str, Entry] = {
    "TrainingJobName": HONOURED,
    "HyperParameters": HONOURED,
    "AlgorithmSpecification": {
        "TrainingImage": HONOURED,
        "TrainingInputMode": Only(("File",), _LATER),
        "MetricDefinitions": HONOURED,
        "EnableSageMakerMetricsTimeSeries": Recorded("no time series in Studio; CloudWatch has every value"),
        "AlgorithmName": Refused("there is no algorithm resource or Marketplace here; give TrainingImage"),
        "ContainerEntrypoint": Refused("this version starts an image's own program"),
        "ContainerArguments": Refused("this version starts an image's own program"),
    },
    "RoleArn": HONOURED,
    "InputDataConfig": {
        "ChannelName": HONOURED,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": Only(("S3Prefix",), _LATER),
                "S3Uri": HONOURED,
                "S3DataDistributionType": HONOURED,  # with one host both types are the same
            },
        },
        "ContentType": HONOURED,
        "CompressionType": Only(("None",), "compressed channels belong to Pipe mode"),
        "RecordWrapperType": Only(("None",), "record wrapping belongs to Pipe mode"),
        "InputMode": Only(("File",), _LATER),
    },
    "OutputDataConfig": {
        "S3OutputPath": HONOURED,
        "KmsKeyId": Only(("",), "artifacts are not encrypted with a key of yours"),
        "CompressionType": Only(("GZIP",), "artifacts are written as archives"),
    },
    "ResourceConfig": {
        "InstanceType": HONOURED,
        "InstanceCount": Only((1,), _LATER),
        "VolumeSizeInGB": Recorded("the volume is this machine's disk; its size is not a limit"),
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": HONOURED},
    "Tags": HONOURED,
    "Environment": HONOURED,
    "EnableNetworkIsolation": Only((False,), "a local process keeps its network"),
    "EnableInterContainerTrafficEncryption": Recorded("one host has no traffic between containers"),
    "EnableManagedSpotTraining": Only((False,), "this version has no spot capacity"),
    "DebugHookConfig": Recorded("no tensors are saved"),
    "ProfilerConfig": Recorded("no profiler runs"),
}

DEFAULT_MAX_RUNTIME = 86_400
"""Seconds; SageMaker's default of StoppingCondition.MaxRuntimeInSeconds."""

_GPU_FAMILIES = ("p", "g", "trn", "inf")


def check(parameters: dict[str, Any]) -> None:
    """The rules that the API model does not hold. Raises ValidationException, ResourceLimitExceeded."""
    algorithm = parameters.get("AlgorithmSpecification")
    if not algorithm or "TrainingImage" not in algorithm:
        raise ValidationError(
            "AlgorithmSpecification must name exactly one of TrainingImage and AlgorithmName, and neither is given."
        )
    resources = parameters.get("ResourceConfig") or {}
    if not {"InstanceType", "InstanceCount"} <= resources.keys():
        raise ValidationError("ResourceConfig with InstanceType and InstanceCount is required for a training image.")
    names = [channel["ChannelName"] for channel in parameters.get("InputDataConfig", [])]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValidationError(f"Channel names must be unique within a training job: {twice} is given twice.")
    if needs_accelerator(resources["InstanceType"]):
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{resources['InstanceType']} for training job usage' is 0 Instances, "
            f"with current utilization of 0 Instances and a request delta of {resources['InstanceCount']} Instances. "
            "Please contact AWS support to request an increase for this limit. "
            "(Stagemaker: this machine offers no accelerator, and a CPU never stands in for one.)",
        )


def needs_accelerator(instance_type: str) -> bool:
    """Whether the type stands for a GPU or another accelerator: ml.p3..., ml.g5..., ml.trn1..., ml.inf2...

    A type is its family's letters, then the generation: `ml.p3.2xlarge`, `ml.g4dn.xlarge`.
    """
    family = instance_type.removeprefix("ml.")
    letters = family[: next((i for i, character in enumerate(family) if not character.isalpha()), len(family))]
    return letters in _GPU_FAMILIES


def s3_uri(text: str, member: str) -> S3Uri:
    """An S3 address given by the user. Raises ValidationException."""
    try:
        return S3Uri.parse(text)
    except ValueError as error:
        raise ValidationError(f"Invalid S3 URI in {member}: '{text}'. It must look like s3://bucket/prefix.") from error


def channels(parameters: dict[str, Any]) -> tuple[ChannelSource, ...]:
    """The channels of the request. Raises ValidationException for a source that is not in S3."""
    return tuple(_channel(entry, parameters) for entry in parameters.get("InputDataConfig", []))


def _channel(entry: dict[str, Any], parameters: dict[str, Any]) -> ChannelSource:
    source = entry["DataSource"].get("S3DataSource")
    if source is None:
        raise ValidationError(f"The data source of channel {entry['ChannelName']} must be an S3DataSource.")
    return ChannelSource(
        ChannelConfig(
            name=entry["ChannelName"],
            content_type=entry.get("ContentType"),
            input_mode=entry.get("InputMode") or parameters["AlgorithmSpecification"]["TrainingInputMode"],
            distribution=source.get("S3DataDistributionType", "FullyReplicated"),
            record_wrapper=entry.get("RecordWrapperType", "None"),
        ),
        s3_uri(source["S3Uri"], f"channel {entry['ChannelName']}"),
    )
