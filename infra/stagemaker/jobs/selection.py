"""Which objects a channel stands for, and which of them a host gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.spec import ChannelSource, S3Uri

Item = TypeVar("Item")

SHARDED = "ShardedByS3Key"
_LARGEST_MANIFEST = 64 * 1024 * 1024
"""Bytes of a manifest that are read; a list of a million keys stays below."""


class DownloadError(Exception):
    """The input cannot be had. The text continues `ClientError: Data download failed:`."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Failed to download data. {detail}")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Selected:
    """An object of a channel and its path below the channel's folder. `size` is None where no list tells it."""

    uri: S3Uri
    path: PurePosixPath
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Host `index` of `hosts`, from 0."""

    index: int
    hosts: int


def selected(objects: ObjectClient, channel: ChannelSource, share: Share, epoch: int = 0) -> Sequence[Selected]:
    """The objects that one host reads in one epoch, in their order. Raises DownloadError, ObjectsError.

    Keys are dealt out in turn to the hosts when the channel is sharded. A ShuffleConfig changes the
    order with each epoch, and before the dealing, so that a host then sees other objects too.
    """
    found = list(_manifest(objects, channel) if channel.data_type == "ManifestFile" else _prefix(objects, channel))
    return dealt(shuffled(found, channel, epoch), channel, share)


def shuffled(items: Sequence[Item], channel: ChannelSource, epoch: int) -> Sequence[Item]:
    """`items` in the order of this epoch: theirs, unless the channel has a ShuffleConfig."""
    if channel.shuffle_seed is None:
        return items
    import random  # 8 ms, and few jobs shuffle

    # Every host draws the same order, or objects would be dealt out twice.
    return random.Random(f"{channel.shuffle_seed}/{epoch}").sample(items, len(items))  # noqa: S311 - no secret


def dealt(items: Sequence[Item], channel: ChannelSource, share: Share) -> Sequence[Item]:
    """The host's part of `items`: all of them, or every n-th."""
    return items[share.index :: share.hosts] if channel.config.distribution == SHARDED else items


def read_whole(objects: ObjectClient, uri: S3Uri) -> bytes:
    """A small object. Raises DownloadError when it is not small, ObjectsError."""
    data = objects.open(uri).read(_LARGEST_MANIFEST + 1)
    if len(data) > _LARGEST_MANIFEST:
        objects.close()
        raise DownloadError(f"The manifest {uri} is larger than {_LARGEST_MANIFEST} bytes")
    return data


def relative_path(key: str, prefix: str) -> PurePosixPath:
    """The path of `key` inside the channel's folder.

    A prefix that names a folder is cut off whole; one that ends inside a name is cut after its last
    slash, so that `s3://b/data/tr` brings `data/train.csv` as `train.csv`.
    Raises DownloadError for a key that cannot be a path inside the folder.
    """
    rest = key[len(prefix) :]
    is_folder = rest.startswith("/") and prefix and not prefix.endswith("/")
    return _checked(rest[1:] if is_folder else key[prefix.rfind("/") + 1 :], key)


def _checked(relative: str, key: str) -> PurePosixPath:
    path = PurePosixPath(relative)
    if not relative or path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise DownloadError(f"The key {key!r} cannot be a file below the channel's folder")
    return path


def _prefix(objects: ObjectClient, channel: ChannelSource) -> Iterator[Selected]:
    bucket, prefix = channel.source.bucket, channel.source.key
    for entry in objects.list(bucket, prefix):
        # The console makes "folders" as empty objects that end in a slash: they hold no data.
        if not (entry.key.endswith("/") and entry.size == 0):
            yield Selected(S3Uri(bucket, entry.key), relative_path(entry.key, prefix), entry.size)


def _manifest(objects: ObjectClient, channel: ChannelSource) -> Iterator[Selected]:
    prefix, entries = manifest_entries(objects, channel.source)
    for entry in entries:
        yield Selected(S3Uri(prefix.bucket, prefix.key + entry), _checked(entry.lstrip("/"), entry))


def manifest_entries(objects: ObjectClient, uri: S3Uri) -> tuple[S3Uri, Sequence[str]]:
    """The prefix and the entries of a manifest: a key is the one and the other, as they stand.

    A manifest is `[{"prefix": "s3://bucket/some/"}, "relative/key", ...]`. Raises DownloadError, ObjectsError.
    """
    match _json(read_whole(objects, uri), uri):
        case [{"prefix": str(text)}, *entries] if all(isinstance(entry, str) for entry in entries):
            pass
        case _:
            raise DownloadError(f'The manifest {uri} must be a JSON list: first {{"prefix": "s3://..."}}, then keys')
    try:
        return S3Uri.parse(text), entries
    except ValueError as error:
        raise DownloadError(f"The manifest {uri} has a prefix that is no S3 URI: {text}") from error


def _json(data: bytes, uri: S3Uri) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise DownloadError(f"The manifest {uri} is not JSON: {error}") from error
