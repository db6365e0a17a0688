"""The channels of a training job: which ones, in which form."""

from __future__ import annotations

from collections.abc import Mapping

from stagemaker.algorithms.xgboost import content_types
from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.training import ChannelConfig

TRAIN = "train"
VALIDATION = "validation"
CODE = "code"

PIPE = "Pipe"

_DATA_CHANNELS = (TRAIN, VALIDATION)
_DISTRIBUTIONS = ("FullyReplicated", "ShardedByS3Key")
# The formats of 0.72, in File mode only, by its page in the developer guide.
_LEGACY = (ContentType.CSV, ContentType.LIBSVM)
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
        if not _is_supported(channel, version):
            raise _unsupported(channel)
    content_type = content_types.parse(channels[TRAIN].content_type)
    for channel in channels.values():
        if channel.input_mode == PIPE and not version.has_pipe_mode:
            raise no_pipes(content_type)
        # AWS reads all data as the train channel says, and would not find this one's.
        if channel.name != CODE and (channel.input_mode == PIPE) != (channels[TRAIN].input_mode == PIPE):
            raise _unsupported(channel)
    return content_type


def no_pipes(content_type: ContentType) -> UserError:
    """What an image says of a pipe that it does not read."""
    if content_type not in _PIPED:
        return UserError("Pipe mode not supported for LibSVM.")
    return UserError(
        f"Pipe mode for {_PIPED[content_type]} is no longer supported. Please use Fast File mode (default) instead. "
        "Set input_mode='File' in your SageMaker Estimator or TrainingInput."
    )


def _is_supported(channel: ChannelConfig, version: Version) -> bool:
    content_type = channel.content_type or content_types.DEFAULT
    mode = "File" if channel.input_mode == "FastFile" else channel.input_mode
    if channel.name == CODE:
        return (content_type, mode, channel.distribution) == ("text/python", "File", "FullyReplicated")
    if content_type not in content_types.ACCEPTED or channel.distribution not in _DISTRIBUTIONS:
        return False
    parsed = content_types.parse(content_type)
    if version.is_legacy and (mode == PIPE or parsed not in _LEGACY):
        return False
    return mode == "File" or (mode == PIPE and parsed in _PIPED)


def _unsupported(channel: ChannelConfig) -> UserError:
    shown = channel.to_json()
    shown.setdefault("ContentType", content_types.DEFAULT)
    return UserError(f"Channel configuration for '{channel.name}' channel is not supported: {shown}")
