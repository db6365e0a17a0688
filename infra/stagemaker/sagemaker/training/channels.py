"""The channels of a CreateTrainingJob request: which combinations there are, and what they become."""

from __future__ import annotations

from typing import Any

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs.spec import ChannelSource
from stagemaker.sagemaker.training.request import s3_uri
from stagemaker.wire.errors import ValidationError

Entry = dict[str, Any]


def channels(parameters: dict[str, Any]) -> tuple[ChannelSource, ...]:
    """The request's channels of S3. Raises ValidationException for a combination that AWS does not have."""
    default = parameters["AlgorithmSpecification"]["TrainingInputMode"]
    return tuple(
        _channel(entry, entry.get("InputMode") or default)
        for entry in parameters.get("InputDataConfig", [])
        if "FileSystemDataSource" not in entry["DataSource"]
    )


def _channel(entry: Entry, mode: str) -> ChannelSource:
    name = entry["ChannelName"]
    source = entry["DataSource"].get("S3DataSource")
    if source is None:
        raise ValidationError(f"Channel {name} has no data source: give an S3DataSource or a FileSystemDataSource.")
    if problem := _problem(entry, source, mode):
        raise ValidationError(f"Channel {name}: {problem}")
    return ChannelSource(
        ChannelConfig(
            name=name,
            content_type=entry.get("ContentType"),
            input_mode=mode,
            distribution=source.get("S3DataDistributionType", "FullyReplicated"),
            record_wrapper=entry.get("RecordWrapperType", "None"),
        ),
        s3_uri(source["S3Uri"], f"channel {name}"),
        data_type=source["S3DataType"],
        compression=entry.get("CompressionType", "None"),
        shuffle_seed=entry.get("ShuffleConfig", {}).get("Seed"),
        attributes=tuple(source.get("AttributeNames", ())),
    )


def _problem(entry: Entry, source: Entry, mode: str) -> str | None:
    """What the developer guide rules out. The sentences are ours."""
    data_type = source["S3DataType"]
    if problem := name_problem(entry["ChannelName"]):
        return problem
    is_augmented = data_type == "AugmentedManifestFile"
    if is_augmented and mode != "Pipe":
        return "an AugmentedManifestFile is only supported in Pipe mode."
    if is_augmented != bool(source.get("AttributeNames")):
        return "AttributeNames must be given for an AugmentedManifestFile, and for nothing else."
    if is_augmented and entry.get("RecordWrapperType") != "RecordIO":
        return "an AugmentedManifestFile needs RecordWrapperType RecordIO, which tells its attributes apart."
    if mode == "FastFile" and data_type != "S3Prefix":
        return f"FastFile mode supports the S3DataType S3Prefix only, not {data_type}."
    if mode != "Pipe":
        for member in ("CompressionType", "RecordWrapperType"):
            if entry.get(member, "None") != "None":
                return f"{member} {entry[member]} is only supported in Pipe mode, not in {mode} mode."
    return None


def name_problem(name: str) -> str | None:
    """Why a channel cannot have this name, which its folder will have."""
    return "this name cannot be a folder." if name in {".", ".."} else None
