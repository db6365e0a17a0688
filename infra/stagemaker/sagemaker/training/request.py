"""CreateTrainingJob: what of it is honoured, and what can be checked before the job exists."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from stagemaker.contract.layout import OPT_ML
from stagemaker.jobs import namespace
from stagemaker.jobs.spec import S3Uri
from stagemaker.sagemaker.honoured import HONOURED, Entry, Honoured, Only, Recorded, Refused
from stagemaker.wire.errors import NotHonouredError, ValidationError

_ONE_GROUP = "all hosts of a job are of one type; give InstanceType and InstanceCount"

HONOURED_MEMBERS: dict[str, Entry] = {
    "TrainingJobName": HONOURED,
    "HyperParameters": HONOURED,
    "AlgorithmSpecification": {
        "TrainingImage": HONOURED,
        "TrainingInputMode": HONOURED,
        "MetricDefinitions": HONOURED,
        "EnableSageMakerMetricsTimeSeries": Recorded("no time series in Studio; CloudWatch has every value"),
        "AlgorithmName": Refused("there is no algorithm resource or Marketplace here; give TrainingImage"),
        "ContainerEntrypoint": HONOURED,
        "ContainerArguments": HONOURED,
        "TrainingImageConfig": Refused("no image is pulled from a registry, private or not"),
    },
    "RoleArn": HONOURED,
    "InputDataConfig": {
        "ChannelName": HONOURED,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": Only(
                    ("S3Prefix", "ManifestFile", "AugmentedManifestFile"), "the other types are for models of hubs"
                ),
                "S3Uri": HONOURED,
                "S3DataDistributionType": HONOURED,
                "AttributeNames": HONOURED,
                "InstanceGroupNames": Refused(_ONE_GROUP),
                "ModelAccessConfig": Refused("there is no hub of models here"),
                "HubAccessConfig": Refused("there is no hub of models here"),
            },
            "FileSystemDataSource": Honoured(
                "the folder `file-systems/<FileSystemId>` of the state folder stands for the file system, whatever its "
                "type; refused where no mount namespaces can be made"
            ),
            "DatasetSource": Refused("there are no AI registry data sets here; give an S3DataSource"),
        },
        "ContentType": HONOURED,
        "CompressionType": HONOURED,
        "RecordWrapperType": HONOURED,
        "InputMode": HONOURED,
        "ShuffleConfig": HONOURED,
    },
    "OutputDataConfig": {
        "S3OutputPath": HONOURED,
        "KmsKeyId": Honoured(
            "S3 is asked to use the key, which must exist; the role's permission to use it is not asked, and the bytes "
            "lie on this machine as they are"
        ),
        "CompressionType": HONOURED,
    },
    "ResourceConfig": {
        "InstanceType": HONOURED,
        "InstanceCount": HONOURED,
        "VolumeSizeInGB": HONOURED,
        "KeepAlivePeriodInSeconds": HONOURED,
        "VolumeKmsKeyId": Recorded("the volume is a folder of this machine, encrypted only if its disk is"),
        "InstanceGroups": Refused(_ONE_GROUP),
        "TrainingPlanArn": Refused("there is no reserved capacity here"),
        "InstancePlacementConfig": Refused("there are no UltraServers here"),
        "InstancePreferences": Refused("there is no other capacity to choose from here; give InstanceType"),
        "SelectedInstanceType": Refused("what was selected is told by Describe, not asked for"),
        "SelectedInstanceCount": Refused("what was selected is told by Describe, not asked for"),
    },
    "VpcConfig": Recorded(
        "the container is on this machine's network; subnets and security groups are not looked up and guard nothing"
    ),
    "StoppingCondition": {
        "MaxRuntimeInSeconds": HONOURED,
        "MaxWaitTimeInSeconds": HONOURED,
        "MaxPendingTimeInSeconds": Refused("a job waits for this machine's cores for as long as it takes"),
    },
    "Tags": HONOURED,
    "Environment": HONOURED,
    "CheckpointConfig": HONOURED,
    "RetryStrategy": HONOURED,
    "EnableNetworkIsolation": HONOURED,
    "EnableInterContainerTrafficEncryption": Recorded("hosts talk over the loopback interface, unencrypted"),
    "EnableManagedSpotTraining": HONOURED,
    "DebugHookConfig": Recorded("no tensors are saved"),
    "ProfilerConfig": Recorded("no profiler runs"),
    "DebugRuleConfigurations": Refused("no rule is evaluated here"),
    "ProfilerRuleConfigurations": Refused("no rule is evaluated here"),
    "TensorBoardOutputConfig": Refused("no TensorBoard data are collected; write them to /opt/ml/output/data"),
    "ExperimentConfig": Refused("there are no experiments here"),
    "RemoteDebugConfig": Refused("there is no Session Manager here"),
    "InfraCheckConfig": Refused("there are no accelerators to check here"),
    "SessionChainingConfig": Refused("session tags are not passed on to the container's role"),
    "ServerlessJobConfig": Refused("there are no models to customise here; give a training image"),
    "MlflowConfig": Refused("there is no MLflow tracking server here"),
    "ModelPackageConfig": Refused("there are no models to customise here; give a training image"),
}

UPDATE_MEMBERS: dict[str, Entry] = {
    "TrainingJobName": HONOURED,
    "ResourceConfig": {"KeepAlivePeriodInSeconds": HONOURED},
}
"""Of UpdateTrainingJob."""

DEFAULT_CHECKPOINTS = f"{OPT_ML}/checkpoints"

DEFAULT_MAX_RUNTIME = 86_400
"""Seconds; SageMaker's default of StoppingCondition.MaxRuntimeInSeconds."""


def check(parameters: dict[str, Any]) -> None:
    """The rules that the API model does not hold. Raises ValidationException."""
    algorithm = parameters.get("AlgorithmSpecification")
    if not algorithm or "TrainingImage" not in algorithm:
        raise ValidationError(
            "AlgorithmSpecification must name exactly one of TrainingImage and AlgorithmName, and neither is given."
        )
    resources = parameters.get("ResourceConfig") or {}
    if not {"InstanceType", "InstanceCount"} <= resources.keys():
        raise ValidationError("ResourceConfig with InstanceType and InstanceCount is required for a training image.")
    if resources["InstanceCount"] < 1:
        raise ValidationError("InstanceCount must be at least 1.")
    _check_isolation(parameters)
    _check_spot(parameters)
    _check_checkpoints(parameters)
    names = [channel["ChannelName"] for channel in parameters.get("InputDataConfig", [])]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValidationError(f"Channel names must be unique within a training job: {twice} is given twice.")


def _check_isolation(parameters: dict[str, Any]) -> None:
    if parameters.get("EnableNetworkIsolation"):
        where = "EnableNetworkIsolation = True"
        if parameters["ResourceConfig"]["InstanceCount"] > 1:
            raise NotHonouredError(where, "isolated hosts could not reach one another here")
        if not namespace.available():
            raise NotHonouredError(where, "this machine does not let us make network namespaces")


def _check_spot(parameters: dict[str, Any]) -> None:
    """MaxWaitTimeInSeconds belongs to spot jobs, which need it."""
    stopping = parameters.get("StoppingCondition", {})
    if parameters.get("EnableManagedSpotTraining") and parameters["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
        raise ValidationError("KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is set to true")
    wait = stopping.get("MaxWaitTimeInSeconds")
    if not parameters.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise ValidationError(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
            )
        return
    if wait is None:
        raise ValidationError("MaxWaitTimeInSeconds is required when EnableManagedSpotTraining is set to true.")
    if wait < stopping.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME):
        raise ValidationError("Invalid MaxWaitTimeInSeconds. It must be equal to or greater than MaxRuntimeInSeconds")


def _check_checkpoints(parameters: dict[str, Any]) -> None:
    config = parameters.get("CheckpointConfig")
    if config is None:
        return
    path = PurePosixPath(config.get("LocalPath", DEFAULT_CHECKPOINTS))
    reserved = any(path.is_relative_to(f"{OPT_ML}/{name}") for name in ("input", "model", "output", "code"))
    if not path.is_relative_to(OPT_ML) or path == PurePosixPath(OPT_ML) or ".." in path.parts or reserved:
        raise NotHonouredError(
            f"CheckpointConfig.LocalPath = '{path}'", f"it must be a folder of its own below {OPT_ML}"
        )


def s3_uri(text: str, member: str) -> S3Uri:
    """An S3 address given by the user. Raises ValidationException."""
    try:
        return S3Uri.parse(text)
    except ValueError as error:
        raise ValidationError(f"Invalid S3 URI in {member}: '{text}'. It must look like s3://bucket/prefix.") from error
