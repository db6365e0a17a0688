"""CreateTransformJob: what of it is honoured, and what can be checked before the job exists."""

from __future__ import annotations

from typing import Any

from stagemaker.jobs.transform.json_path import JsonPath, JsonPathError
from stagemaker.jobs.transform.processing import Format
from stagemaker.jobs.transform.settings import MOST_MEGABYTES
from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Recorded, Refused
from stagemaker.wire.errors import ValidationError

_NO_KEY = Only(("",), "nothing is encrypted with a key of yours")

HONOURED_MEMBERS: dict[str, Entry] = {
    "TransformJobName": HONOURED,
    "ModelName": HONOURED,
    "MaxConcurrentTransforms": HONOURED,
    "ModelClientConfig": {"InvocationsTimeoutInSeconds": HONOURED, "InvocationsMaxRetries": HONOURED},
    "MaxPayloadInMB": HONOURED,
    "BatchStrategy": HONOURED,
    "Environment": HONOURED,
    "TransformInput": {
        "DataSource": {
            "S3DataSource": {
                "S3DataType": Only(("S3Prefix", "ManifestFile"), "AWS's guide knows no other for batch transform"),
                "S3Uri": HONOURED,
            }
        },
        "ContentType": HONOURED,
        "CompressionType": HONOURED,
        "SplitType": HONOURED,
    },
    "TransformOutput": {
        "S3OutputPath": HONOURED,
        "Accept": HONOURED,
        "AssembleWith": HONOURED,
        "KmsKeyId": _NO_KEY,
    },
    "DataCaptureConfig": {
        "DestinationS3Uri": HONOURED,
        "KmsKeyId": _NO_KEY,
        "GenerateInferenceId": Only((False,), "the ids are not appended to the output"),
    },
    "TransformResources": {
        "InstanceType": HONOURED,
        "InstanceCount": HONOURED,
        "VolumeKmsKeyId": _NO_KEY,
        "TransformAmiVersion": Recorded("no machine image is started"),
    },
    "DataProcessing": {"InputFilter": HONOURED, "OutputFilter": HONOURED, "JoinSource": HONOURED},
    "Tags": HONOURED,
    "ExperimentConfig": Refused("there are no experiments"),
}


def check(parameters: dict[str, Any]) -> None:
    """The rules that the API model does not hold; where AWS's words are not known, they are ours.

    Raises ValidationException.
    """
    payload, concurrent = parameters.get("MaxPayloadInMB"), parameters.get("MaxConcurrentTransforms")
    if payload is not None:
        _check_payload(payload, concurrent or 1)
        if payload == 0 and parameters["TransformInput"].get("SplitType", "None") != "None":
            raise ValidationError("MaxPayloadInMB 0 sends each object whole: SplitType must be None.")
    _check_processing(parameters)


def _check_payload(payload: int, concurrent: int) -> None:
    if payload > MOST_MEGABYTES:
        raise ValidationError(f"MaxPayloadInMB must be less than or equal to {MOST_MEGABYTES}, and is {payload}.")
    if payload * concurrent > MOST_MEGABYTES:
        raise ValidationError(
            f"MaxConcurrentTransforms * MaxPayloadInMB must be less than or equal to {MOST_MEGABYTES}, "
            f"and is {concurrent} * {payload}."
        )


def _check_processing(parameters: dict[str, Any]) -> None:
    """Records are looked into in CSV and JSON alone, and a join wants a record a line on both sides."""
    processing = parameters.get("DataProcessing", {})
    for member in ("InputFilter", "OutputFilter"):
        try:
            JsonPath.parse(processing.get(member, "$"))
        except JsonPathError as error:
            raise ValidationError(f"Invalid JSONPath in DataProcessing.{member}: {error}.") from error
    joins = processing.get("JoinSource", "None") == "Input"
    if not joins and {processing.get(member, "$") for member in ("InputFilter", "OutputFilter")} == {"$"}:
        return
    given, output = parameters["TransformInput"], parameters["TransformOutput"]
    form = Format.of(given.get("ContentType", ""))
    if form is None:
        raise ValidationError(
            "DataProcessing needs the ContentType text/csv, application/json or application/jsonlines, "
            f"not '{given.get('ContentType', '')}'."
        )
    split = given.get("SplitType", "None")
    if split not in ({"Line", "None"} if form is Format.JSON else {"Line"}):
        raise ValidationError(f"DataProcessing of {form.value} needs SplitType Line, not {split}.")
    if joins and split == "Line" and output.get("AssembleWith", "None") != "Line":
        raise ValidationError("JoinSource Input needs AssembleWith Line.")
    accept = Format.of(output.get("Accept", ""))
    if joins and accept is not None and accept.is_json != form.is_json:
        raise ValidationError(f"JoinSource Input joins records of one format, not {form.value} with {accept.value}.")
    if parameters.get("MaxPayloadInMB") == 0:
        raise ValidationError("DataProcessing needs whole records: MaxPayloadInMB must not be 0.")
