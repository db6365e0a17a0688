"""From a CreateTrainingJob request to what the runner is told, and to what Describe answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

from stagemaker.jobs import namespace
from stagemaker.jobs.spec import SCRIPT_MODE, Checkpoints, MetricDefinition, Program, TrainingSpec
from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.sagemaker.training import transitions
from stagemaker.sagemaker.training.channels import channels
from stagemaker.sagemaker.training.file_systems import file_system_channels
from stagemaker.sagemaker.training.request import DEFAULT_CHECKPOINTS, DEFAULT_MAX_RUNTIME, s3_uri
from stagemaker.wire.errors import ValidationError

_GIB = 1 << 30
_DEFAULT_VOLUME_GB = 30
"""What a request without VolumeSizeInGB gets here; AWS's types with local disks bring their own."""


class Images(Protocol):
    """The images that this stage can run."""

    def program(self, image: str) -> Program:
        """What runs for `image`; a Program with a `problem` when there is none."""
        ...

    def metric_definitions(self, image: str) -> tuple[MetricDefinition, ...] | None:
        """The definitions that the service itself adds; None when `image` is no algorithm of AWS's."""
        ...


def training_spec(
    parameters: dict[str, Any],
    images: Images,
    *,
    arn: str,
    region: str,
    stage_file: Path,
    file_systems: Path,
    threads: int,
    stop_grace: float,
) -> TrainingSpec:
    """What a runner needs to know. Raises ValidationException."""
    stopping, resources = parameters.get("StoppingCondition", {}), parameters["ResourceConfig"]
    output = parameters["OutputDataConfig"]
    return TrainingSpec(
        name=parameters["TrainingJobName"],
        arn=arn,
        region=region,
        program=_program(parameters["AlgorithmSpecification"], images),
        arguments=_arguments(parameters["AlgorithmSpecification"]),
        hyperparameters=parameters.get("HyperParameters", {}),
        channels=channels(parameters),
        file_systems=file_system_channels(parameters, file_systems),
        output=s3_uri(output["S3OutputPath"], "S3OutputPath"),
        output_compression=output.get("CompressionType", "GZIP"),
        kms_key=output.get("KmsKeyId") or None,
        checkpoints=_checkpoints(parameters),
        environment=parameters.get("Environment", {}),
        metrics=_metrics(parameters, images),
        instance_type=resources["InstanceType"],
        instance_count=resources["InstanceCount"],
        memory_bytes=known.memory_bytes if (known := instance_types().get(resources["InstanceType"])) else None,
        volume_bytes=(resources.get("VolumeSizeInGB") or _DEFAULT_VOLUME_GB) * _GIB,
        spot=parameters.get("EnableManagedSpotTraining", False),
        retries=parameters.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0),
        created=round(time.time(), 3),  # the API's precision, so that a filter by a time that was shown is exact
        namespaced=namespace.available(),
        isolated=parameters.get("EnableNetworkIsolation", False),
        max_runtime=stopping.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME),
        max_wait=stopping.get("MaxWaitTimeInSeconds"),
        stop_grace=stop_grace,
        threads=threads,
        stage_file=stage_file,
    )


def training_document(parameters: dict[str, Any], spec: TrainingSpec) -> Document:
    """What Describe answers for a job that was just created: the request, completed with defaults."""
    document = {name: value for name, value in parameters.items() if name != "Tags"}
    algorithm = {"EnableSageMakerMetricsTimeSeries": False, **parameters["AlgorithmSpecification"]}
    if spec.metrics:
        algorithm["MetricDefinitions"] = [{"Name": metric.name, "Regex": metric.regex} for metric in spec.metrics]
    document |= {
        "TrainingJobArn": spec.arn,
        "TrainingJobStatus": "InProgress",
        "AlgorithmSpecification": algorithm,
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **parameters["OutputDataConfig"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.max_runtime, **parameters.get("StoppingCondition", {})},
        "EnableNetworkIsolation": parameters.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": parameters.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": spec.spot,
        "CreationTime": spec.created,
        "LastModifiedTime": spec.created,
    }
    if spec.checkpoints is not None:
        document["CheckpointConfig"] = {"LocalPath": spec.checkpoints.local_path, **parameters["CheckpointConfig"]}
    transitions.enter(document, "Starting", "Starting the training job", spec.created)
    return document


def _program(algorithm: dict[str, Any], images: Images) -> Program:
    """The image's program, or ContainerEntrypoint in its place: a program of the user's, whoever made the image."""
    program = images.program(algorithm["TrainingImage"])
    entrypoint = algorithm.get("ContainerEntrypoint")
    if entrypoint and program.problem is None:
        return Program(tuple(entrypoint), program.environment)
    return program


def _arguments(algorithm: dict[str, Any]) -> tuple[str, ...]:
    """ContainerArguments, else the word `train`, which an entrypoint of the user's is not given."""
    default = () if algorithm.get("ContainerEntrypoint") else ("train",)
    return tuple(algorithm.get("ContainerArguments", default))


def _checkpoints(parameters: dict[str, Any]) -> Checkpoints | None:
    config = parameters.get("CheckpointConfig")
    if config is None:
        return None
    target = s3_uri(config["S3Uri"], "CheckpointConfig.S3Uri")
    return Checkpoints(target, config.get("LocalPath", DEFAULT_CHECKPOINTS))


def _metrics(parameters: dict[str, Any], images: Images) -> tuple[MetricDefinition, ...]:
    """The service's for an algorithm of AWS's, the user's for a program of the user's."""
    algorithm = parameters["AlgorithmSpecification"]
    own = images.metric_definitions(algorithm["TrainingImage"])
    is_script = SCRIPT_MODE in parameters.get("HyperParameters", {}) or "ContainerEntrypoint" in algorithm
    given = tuple(_metric(entry["Name"], entry["Regex"]) for entry in algorithm.get("MetricDefinitions", []))
    if own is None or (is_script and given):
        return given
    if given:
        raise ValidationError(
            "You can't override the metric definitions for Amazon SageMaker algorithms. "
            "Please retry the request without specifying metric definitions."
        )
    return own


def _metric(name: str, expression: str) -> MetricDefinition:
    """A definition that can find something. Raises ValidationException for one that never could."""
    import regex  # 10 ms, for jobs that define metrics

    try:
        groups = regex.compile(expression).groups
    except regex.error as error:
        raise ValidationError(f"The Regex of metric {name} is no regular expression: {error}: {expression}") from error
    if not groups:
        raise ValidationError(f"The Regex of metric {name} has no capture group for the value: {expression}")
    return MetricDefinition(name, expression)
