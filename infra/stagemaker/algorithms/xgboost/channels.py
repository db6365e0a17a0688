"""The channels of a training job: which ones, in which form."""

from __future__ import annotations

from collections.abc import Mapping

from stagemaker.algorithms.xgboost import content_types
from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.errors import AlgorithmError, UserError
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.training import ChannelConfig

TRAIN = "train"
VALIDATION = "validation"
CODE = "code"

_DATA_CHANNELS = (TRAIN, VALIDATION)
_DISTRIBUTIONS = ("FullyReplicated", "ShardedByS3Key")
# What AWS calls each format where it says that pipes are gone. libsvm never had them.
_PIPED = {ContentType.CSV: "CSV", ContentType.PARQUET: "Parquet", ContentType.RECORDIO_PROTOBUF: "RecordIO-Protobuf"}


def validate_channels(channels: Mapping[str, ChannelConfig], version: Version) -> ContentType:
    """The format of the data, which is that of the train channel for all channels.

    Raises UserError for a missing or unknown channel and for a combination of content type, input
    mode and distribution that AWS does not declare. The whole ContentType string is compared, so
    that `text/csv; charset=utf-8` is refused, as by AWS's source. FastFile counts as File.
    """
    if TRAIN not in channels:
        raise UserError(f"Missing required channel: {TRAIN}")
    for name, channel in channels.items():
        if name not in {*_DATA_CHANNELS, CODE}:
            raise UserError(f"Extraneous channel found: {name}")
        if not _is_supported(channel):
            shown = channel.to_json()
            shown.setdefault("ContentType", content_types.DEFAULT)
            raise UserError(f"Channel configuration for '{name}' channel is not supported: {shown}")
    content_type = content_types.parse(channels[TRAIN].content_type)
    if channels[TRAIN].input_mode == "Pipe":
        _refuse_pipe(content_type, version)
    return content_type


def _is_supported(channel: ChannelConfig) -> bool:
    content_type = channel.content_type or content_types.DEFAULT
    mode = "File" if channel.input_mode == "FastFile" else channel.input_mode
    if channel.name == CODE:
        return (content_type, mode, channel.distribution) == ("text/python", "File", "FullyReplicated")
    if content_type not in content_types.ACCEPTED or channel.distribution not in _DISTRIBUTIONS:
        return False
    return mode == "File" or (mode == "Pipe" and content_types.parse(content_type) in _PIPED)


def _refuse_pipe(content_type: ContentType, version: Version) -> None:
    name = _PIPED[content_type]
    if version.had_pipe_mode:
        raise AlgorithmError(
            f"Pipe mode for {name}, which image {version.tag} has on AWS, is not supported here. Use File or FastFile."
        )
    raise UserError(
        f"Pipe mode for {name} is no longer supported. Please use Fast File mode (default) instead. "
        "Set input_mode='File' in your SageMaker Estimator or TrainingInput."
    )
