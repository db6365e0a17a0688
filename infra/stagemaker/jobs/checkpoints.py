"""Checkpoints, kept in S3 while the job runs and brought back when it starts again."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from stagemaker.jobs.artifacts import members
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.selection import relative_path
from stagemaker.jobs.spec import S3Uri

PERIOD_SECONDS = 2.0
_MARKERS = (".sagemaker-uploading", ".sagemaker-uploaded", ".sagemaker-ignore")
"""Files of AWS's own agent, which are never copied."""

_Version = tuple[int, int]


class CheckpointSync(threading.Thread):
    """Copies the files of `folder` below `target` as they come and change. Nothing is deleted in S3."""

    def __init__(self, objects: ObjectClient, target: S3Uri, folder: Path) -> None:
        super().__init__(daemon=True, name="checkpoints")
        self._objects = objects
        self._target = target
        self._folder = folder
        self._place = os.path.realpath(folder)
        self._over = threading.Event()
        self._uploaded: dict[str, _Version] = {}
        self._seen: dict[str, _Version] = {}

    def restore(self) -> None:
        """Bring back what earlier runs have left. Raises DownloadError, ObjectsError, OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        prefix = self._target.join("").key
        for entry in self._objects.list(self._target.bucket, prefix):
            if entry.key.endswith("/"):
                continue
            path = relative_path(entry.key, prefix)
            self._objects.download(S3Uri(self._target.bucket, entry.key), self._folder / path)
            self._uploaded[str(path)] = _version(self._folder / path)

    def run(self) -> None:
        """Until `finish`: what has not changed since the last look is whole, and is copied."""
        while not self._over.wait(PERIOD_SECONDS):
            current = self._current()
            # What S3 or the disk refuses now is tried again; `finish` says what could not be done at all.
            with suppress(ObjectsError, OSError):
                self._upload({name: at for name, at in current.items() if self._seen.get(name) == at})
            self._seen = current

    def finish(self) -> None:
        """Copy all that is left, after the program's end. Raises ObjectsError, OSError."""
        self._over.set()
        self.join()
        self._upload(self._current())

    def _current(self) -> dict[str, _Version]:
        found: dict[str, _Version] = {}
        if os.path.realpath(self._folder) != self._place:  # the program has put a link in its place
            return found
        for name, path in members([self._folder]).items():
            if not name.endswith(_MARKERS):
                with suppress(FileNotFoundError):
                    found[name] = _version(path)
        return found

    def _upload(self, files: dict[str, _Version]) -> None:
        for name, version in files.items():
            if self._uploaded.get(name) != version:
                with suppress(FileNotFoundError):  # replaced or removed by the program meanwhile
                    self._objects.upload(self._folder / name, self._target.join(name))
                    self._uploaded[name] = version


def _version(path: Path) -> _Version:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
