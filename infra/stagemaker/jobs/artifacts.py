"""What the containers left: `model.tar.gz`, `output.tar.gz`, or the files themselves."""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.spec import S3Uri


def members(folders: Sequence[Path]) -> Mapping[str, Path]:
    """The files of the hosts' folders by their relative path, sorted; of two with one path the last host's counts.

    Symbolic links are not followed: one could lead out of the job's folder. A link to a file inside
    the folder stands for that file.
    """
    found = {str(path.relative_to(folder)): path for folder in folders for path in _files(folder)}
    return dict(sorted(found.items()))


def open_up(folder: Path) -> None:
    """Let us read what a program has closed to its owner: on AWS too, closed files belong to the artifact."""
    if not folder.is_symlink():
        _allow(folder, stat.S_IRWXU)
    for root, folders, files in os.walk(folder):  # from the top, so that a folder is open before it is entered
        for names, wanted in ((folders, stat.S_IRWXU), (files, stat.S_IRUSR)):
            for name in names:
                if not (path := Path(root, name)).is_symlink():
                    _allow(path, wanted)


def _allow(path: Path, wanted: int) -> None:
    with contextlib.suppress(OSError):  # gone, or not ours
        if (mode := path.stat().st_mode) & wanted != wanted:
            path.chmod(stat.S_IMODE(mode) | wanted)


def pack(folders: Sequence[Path], archive: Path) -> bool:
    """Write the contents of `folders` to the top of `archive`. False, and no archive, when there are none."""
    found = members(folders)
    if not found:
        return False
    # Level 1: a booster's bytes hardly shrink further, and the default level costs three times more.
    with gzip.GzipFile(archive, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        tar.dereference = True
        for name, path in found.items():
            tar.add(path, arcname=name, recursive=False)
    return True


def upload_packed(
    objects: ObjectClient, folders: Sequence[Path], archive: Path, target: S3Uri, *, kms_key: str | None = None
) -> bool:
    """Put the contents of `folders` as one archive; whether there were any. Raises ObjectsError, OSError."""
    if not pack(folders, archive):
        return False
    objects.upload(archive, target, kms_key=kms_key)
    return True


def upload_files(objects: ObjectClient, folders: Sequence[Path], target: S3Uri, *, kms_key: str | None = None) -> bool:
    """Put each file of `folders` below `target`; whether there were any. Raises ObjectsError, OSError."""
    found = members(folders)
    for name, path in found.items():
        objects.upload(path, target.join(name), kms_key=kms_key)
    return bool(found)


def _files(folder: Path) -> Iterator[Path]:
    root = os.path.realpath(folder)  # not Path.resolve, which raises for links that go round in a circle
    return (p for p in folder.rglob("*") if p.is_file() and Path(os.path.realpath(p)).is_relative_to(root))
