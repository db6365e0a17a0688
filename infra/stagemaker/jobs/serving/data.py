"""Model data: from S3 into a container's `/opt/ml/model`."""

from __future__ import annotations

import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.selection import DownloadError, relative_path
from stagemaker.jobs.serving.spec import ModelData
from stagemaker.jobs.spec import S3Uri

_PIECE = 1024 * 1024
_MOST_MEMBERS = 100_000
"""Files of one archive: each costs an inode whatever its size."""


class ModelDataError(Exception):
    """The model data cannot be had. The text is for the log; the service's words for it are the caller's."""


class ArchiveError(ModelDataError):
    """What was downloaded is no archive that can be unpacked."""


class Budget:
    """The seconds and bytes that the model data of an instance may still take."""

    def __init__(self, seconds: float, space: int, proceed: Callable[[], None]) -> None:
        self._deadline = time.monotonic() + seconds
        self._space = space
        self._proceed = proceed

    def spend(self, size: int) -> None:
        """Take `size` bytes. Raises ModelDataError, and whatever `proceed` raises."""
        self._proceed()
        if time.monotonic() > self._deadline:
            raise ModelDataError("the download took longer than ModelDataDownloadTimeoutInSeconds")
        if size > self._space:
            raise ModelDataError("the model data is larger than the instance's volume")
        self._space -= size

    def give_back(self, size: int) -> None:
        """Bytes that were removed again."""
        self._space += size


def fetch_model_data(objects: ObjectClient, data: ModelData, folder: Path, budget: Budget) -> None:
    """Fill `folder`. Raises ModelDataError (ArchiveError for what is no tar.gz)."""
    try:
        if data.is_prefix:
            _fetch_prefix(objects, data.source, folder, budget)
        elif data.is_archive:
            archive = folder.parent / "model.tar.gz"
            try:
                size = _download(objects, data.source, archive, budget)
                unpack(archive, folder, budget)
                budget.give_back(size)
            finally:
                archive.unlink(missing_ok=True)
        else:
            _download(objects, data.source, folder / Path(data.source.key).name, budget)
    except (ObjectsError, DownloadError, OSError) as error:
        raise ModelDataError(str(error)) from error


def unpack(archive: Path, folder: Path, budget: Budget) -> None:
    """Unpack a tar.gz into `folder`. Raises ArchiveError, ModelDataError, OSError.

    The `data` filter of the standard library refuses what would land outside the folder, links that lead
    out of it, and devices.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for number, member in enumerate(tar):
                if number >= _MOST_MEMBERS:
                    raise ArchiveError(f"the archive holds more than {_MOST_MEMBERS} files")
                budget.spend(member.size)
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, UnicodeError, ValueError) as error:
        raise ArchiveError(str(error)) from error
    except OSError as error:
        if error.errno is None:  # gzip's BadGzipFile is an OSError without a number
            raise ArchiveError(str(error)) from error
        raise


def _fetch_prefix(objects: ObjectClient, source: S3Uri, folder: Path, budget: Budget) -> None:
    found = [entry for entry in objects.list(source.bucket, source.key) if not entry.key.endswith("/")]
    if not found:
        raise ModelDataError(f"there is no object below {source}")
    for entry in found:
        _download(objects, S3Uri(source.bucket, entry.key), folder / relative_path(entry.key, source.key), budget)


def _download(objects: ObjectClient, source: S3Uri, file: Path, budget: Budget) -> int:
    """The object's size."""
    size = 0
    stream = objects.open(source)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as target:
            while piece := stream.read(_PIECE):
                budget.spend(len(piece))
                size += target.write(piece)
    except BaseException:
        objects.close()  # the rest of the object is still in the connection
        raise
    return size
