"""File mode: a channel's objects become files below `/opt/ml/input/data/<channel>`."""

from __future__ import annotations

import errno
from pathlib import Path, PurePosixPath

from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.spec import ChannelSource, S3Uri


class DownloadError(Exception):
    """The input cannot be had. The text continues `ClientError: Data download failed:`."""


def relative_path(key: str, prefix: str) -> PurePosixPath:
    """The path of `key` inside the channel's folder.

    A prefix that names a folder is cut off whole; one that ends inside a name is cut after its last
    slash, so that `s3://b/data/tr` brings `data/train.csv` as `train.csv`.
    Raises DownloadError for a key that cannot be a path inside the folder.
    """
    rest = key[len(prefix) :]
    is_folder = rest.startswith("/") and prefix and not prefix.endswith("/")
    relative = rest[1:] if is_folder else key[prefix.rfind("/") + 1 :]
    path = PurePosixPath(relative)
    if not relative or path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise DownloadError(f"Failed to download data. The key {key!r} cannot be a file below the channel's folder")
    return path


def download_channel(objects: ObjectClient, channel: ChannelSource, folder: Path) -> None:
    """Copy every object under the channel's prefix into `folder`. Raises DownloadError."""
    bucket, prefix = channel.source.bucket, channel.source.key
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for entry in objects.list(bucket, prefix):
            # The console makes "folders" as empty objects that end in a slash: they hold no data.
            if entry.key.endswith("/") and entry.size == 0:
                continue
            objects.download(S3Uri(bucket, entry.key), folder / relative_path(entry.key, prefix))
    except ObjectsError as error:
        raise DownloadError(f"Failed to download data. {error.message} for s3://{bucket}/{prefix}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DownloadError("Failed to download data. Please ensure that there is enough disk space") from error
        raise DownloadError(f"Failed to download data. {error.strerror or error} for s3://{bucket}/{prefix}") from error
