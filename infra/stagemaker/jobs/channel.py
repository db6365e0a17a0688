"""File and FastFile mode: a channel's objects become files below `/opt/ml/input/data/<channel>`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.selection import DownloadError, Share, selected
from stagemaker.jobs.spec import ChannelSource

_READ_ONLY_FILE, _READ_ONLY_FOLDER = 0o444, 0o555
_DISK_FULL = "Please ensure that there is enough disk space"


def download_channel(
    objects: ObjectClient,
    channel: ChannelSource,
    share: Share,
    folder: Path,
    *,
    space: int,
    proceed: Callable[[], None],
) -> int:
    """Copy the host's share of the channel into `folder`; the bytes that it took.

    `space` is what the volume still holds, in bytes. `proceed` is called between objects, and may raise to
    stop. FastFile mode is the same copy, made read-only as AWS's view is. Raises DownloadError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    with download_errors(channel):
        for entry in selected(objects, channel, share):
            proceed()
            if taken + (entry.size or 0) > space:
                raise DownloadError(_DISK_FULL)
            file = folder / entry.path
            objects.download(entry.uri, file)
            taken += file.stat().st_size
    if channel.config.input_mode == "FastFile":
        _make_read_only(folder)
    return taken


@contextmanager
def download_errors(channel: ChannelSource) -> Iterator[None]:
    """Turn what S3 and the disk refuse into DownloadError."""
    try:
        yield
    except ObjectsError as error:
        raise DownloadError(f"{error.message} for {channel.source}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DownloadError(_DISK_FULL) from error
        raise DownloadError(f"{error.strerror or error} for {channel.source}") from error


def _make_read_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(_READ_ONLY_FOLDER if path.is_dir() else _READ_ONLY_FILE)
    folder.chmod(_READ_ONLY_FOLDER)
