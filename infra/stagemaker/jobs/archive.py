"""`model.tar.gz` and `output.tar.gz`: the contents of a folder, at the top level of the archive."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> bool:
    """Write the contents of `folder` to `archive`. False, and no archive, when there are none.

    Symbolic links are not followed: one could lead out of the job's folder. A link to a file inside
    the folder is stored as that file.
    """
    members = sorted(path for path in folder.rglob("*") if path.is_file() and _inside(path, folder))
    if not members:
        return False
    # Level 1: a booster's bytes hardly shrink further, and the default level costs three times more.
    with gzip.GzipFile(archive, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        tar.dereference = True
        for path in members:
            tar.add(path, arcname=str(path.relative_to(folder)), recursive=False)
    return True


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
