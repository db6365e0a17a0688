"""Has anything changed since the file last ran? A manifest of the work folder, the data and the target."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IGNORED_FOLDERS = frozenset({"__pycache__", ".ipynb_checkpoints", ".git"})
IGNORED_FILES = frozenset({".env", ".DS_Store"})

TRUST_TIMES_FROM = 4 * 1024 * 1024
"""Bytes from which a file with the same size and time as before is not read again: hashing 1 GB takes seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its size, modification time (ns) and SHA-256."""

    size: int
    time: int
    sha256: str


Manifest = Mapping[str, Entry]


def manifest(folder: Path, known: Manifest | None = None, *, skip: str = "") -> Manifest:
    """Every file under `folder` by its relative path. `known` saves reading large files that have the same times.

    `skip` names a folder directly under `folder` that does not count. A file that vanishes meanwhile does not count.
    """
    found = {}
    for file in _files(folder, skip):
        name = file.relative_to(folder).as_posix()
        try:
            found[name] = _entry(file, (known or {}).get(name))
        except OSError:
            continue
    return found


def changed(before: Manifest, now: Manifest) -> list[str]:
    """The names that were added, removed or altered, in order."""
    names = before.keys() | now.keys()
    return sorted(name for name in names if _content(before, name) != _content(now, name))


def after_run(before: Manifest, after: Manifest) -> Manifest:
    """What counts as the state in which a file ran, from the manifests around the run.

    What the run wrote belongs to it, so that it does not look like a change of the learner's; but Python files count
    as they were at the start, since an editor may have saved a new version while the old one ran.
    """
    return {name: before.get(name, entry) if name.endswith(".py") else entry for name, entry in after.items()}


def _content(entries: Manifest, name: str) -> str | None:
    entry = entries.get(name)
    return entry.sha256 if entry else None


def _files(folder: Path, skip: str) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in IGNORED_FOLDERS and not (Path(top) == folder and name == skip)
        )
        for name in files:
            if name not in IGNORED_FILES and (Path(top) / name).is_file():
                yield Path(top) / name


def _entry(file: Path, known: Entry | None) -> Entry:
    stat = file.stat()
    if known and stat.st_size >= TRUST_TIMES_FROM and (known.size, known.time) == (stat.st_size, stat.st_mtime_ns):
        return known
    with file.open("rb") as content:
        return Entry(stat.st_size, stat.st_mtime_ns, hashlib.file_digest(content, "sha256").hexdigest())
