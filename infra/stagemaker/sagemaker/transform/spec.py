"""From a CreateTransformJob request to what the runner is told, and to what Describe answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from stagemaker.jobs.transform.spec import Input, Output, Processing, Split, Strategy, TransformSpec
from stagemaker.sagemaker.documents import Document
from stagemaker.sagemaker.hosting.model_spec import ServingImages, instance_spec
from stagemaker.sagemaker.training.request import s3_uri

DEFAULT_TIMEOUT_SECONDS, DEFAULT_RETRIES = 600, 3


def transform_spec(
    parameters: dict[str, Any],
    model: Document,
    images: ServingImages,
    *,
    arn: str,
    region: str,
    stage_file: Path,
    threads: int,
    stop_grace: float,
) -> TransformSpec:
    """What a runner needs to know. Raises ValidationException."""
    given, output = parameters["TransformInput"], parameters["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    client, processing = parameters.get("ModelClientConfig", {}), parameters.get("DataProcessing", {})
    capture, strategy = parameters.get("DataCaptureConfig"), parameters.get("BatchStrategy")
    return TransformSpec(
        name=parameters["TransformJobName"],
        arn=arn,
        region=region,
        input=Input(
            s3_uri(source["S3Uri"], "TransformInput"),
            data_type=source["S3DataType"],
            content_type=given.get("ContentType", ""),
            gzip=given.get("CompressionType") == "Gzip",
            split=Split(given.get("SplitType", "None")),
        ),
        output=Output(
            s3_uri(output["S3OutputPath"], "S3OutputPath"),
            accept=output.get("Accept", ""),
            by_line=output.get("AssembleWith") == "Line",
        ),
        processing=Processing(
            processing.get("InputFilter", "$"),
            processing.get("OutputFilter", "$"),
            join=processing.get("JoinSource") == "Input",
        ),
        strategy=Strategy(strategy) if strategy else None,
        max_payload_mb=parameters.get("MaxPayloadInMB"),
        max_concurrent=parameters.get("MaxConcurrentTransforms") or None,  # 0 is the container's to say, too
        invocation_timeout=client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS),
        invocation_retries=client.get("InvocationsMaxRetries", DEFAULT_RETRIES),
        capture=s3_uri(capture["DestinationS3Uri"], "DataCaptureConfig") if capture else None,
        instance_count=parameters["TransformResources"]["InstanceCount"],
        instance=instance_spec(
            model,
            images,
            region=region,
            stage_file=stage_file,
            instance_type=parameters["TransformResources"]["InstanceType"],
            variables={**parameters.get("Environment", {}), **batch_variables(parameters)},
            threads=threads,
        ),
        stop_grace=stop_grace,
    )


def batch_variables(parameters: dict[str, Any]) -> dict[str, str]:
    """The variables by which a container knows a transform job: SAGEMAKER_BATCH, and what the request sets."""
    variables = {"SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in parameters:
        variables["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(parameters["MaxPayloadInMB"])
    if "BatchStrategy" in parameters:
        variables["SAGEMAKER_BATCH_STRATEGY"] = Strategy(parameters["BatchStrategy"]).in_container
    if "MaxConcurrentTransforms" in parameters:
        variables["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(parameters["MaxConcurrentTransforms"])
    return variables


def transform_document(parameters: dict[str, Any], arn: str) -> Document:
    """What Describe answers for a job that was just created: the request, completed with defaults."""
    now = round(time.time(), 3)  # the API's precision, so that a filter by a time that was shown is exact
    defaults = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    return {
        **{name: value for name, value in parameters.items() if name != "Tags"},
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **parameters["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", "KmsKeyId": "", **parameters["TransformOutput"]},
        "DataProcessing": {**defaults, **parameters.get("DataProcessing", {})},
        "CreationTime": now,
        "LastModifiedTime": now,
    }
