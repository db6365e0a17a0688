"""The state folder: its version, its one owner, the address of the stage that runs on it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE_VERSION = 1
STATE_VARIABLE = "STAGEMAKER_STATE"
EMBEDDED = "embedded"
"""The backing of a folder that does not say which."""


class StateError(Exception):
    """The state folder cannot be used. The message is for the person at the terminal."""


def default_state(backing: str = EMBEDDED) -> Path:
    """`STAGEMAKER_STATE`, or `.stagemaker` in the home folder; another one there for another backing."""
    name = ".stagemaker" if backing == EMBEDDED else f".stagemaker-{backing}"
    return Path(os.environ.get(STATE_VARIABLE) or Path.home() / name).absolute()


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The files of one account."""

    root: Path

    @property
    def version(self) -> Path:
        """Which layout the folder has, and the account's id."""
        return self.root / "version.json"

    @property
    def lock(self) -> Path:
        """Held by the stage that runs on the folder."""
        return self.root / "stage.lock"

    @property
    def stage_file(self) -> Path:
        """The running stage's addresses and pid. Jobs read it to find the stage again."""
        return self.root / "stage.json"

    @property
    def stage_log(self) -> Path:
        """What a stage in the background prints."""
        return self.root / "stage.log"

    @property
    def keys(self) -> Path:
        """The administrator's and the learner's keys."""
        return self.root / "keys.json"

    @property
    def database(self) -> Path:
        """SQLite: all of our own services."""
        return self.root / "stage.db"

    @property
    def backing(self) -> Path:
        """The embedded backing's files."""
        return self.root / "backing"

    @property
    def client(self) -> Path:
        """What clients are led to: an empty AWS configuration, and whom to trust behind the proxy."""
        return self.root / "client"

    @property
    def jobs(self) -> Path:
        """One folder a training job."""
        return self.root / "jobs"

    @property
    def transform_jobs(self) -> Path:
        """One folder a transform job."""
        return self.root / "transform-jobs"

    @property
    def endpoints(self) -> Path:
        """One folder an instance of an endpoint."""
        return self.root / "endpoints"

    @property
    def file_systems(self) -> Path:
        """The owner's folders that stand for EFS and FSx file systems, by their ids; usually not there."""
        return self.root / "file-systems"

    @property
    def quotas(self) -> Path:
        """Service quotas that somebody has set; usually not there."""
        return self.root / "quotas.json"

    def prepare(self) -> None:
        """Make the folder, or check that this version can use it. Raises StateError.

        A folder that holds something else is left alone: it would be closed to everybody else, and mixed up.
        """
        try:
            if not self.version.exists():
                if self.root.exists() and any(self.root.iterdir()):
                    raise StateError(
                        f"{self.root} is no state folder: it is not empty and has no {self.version.name}.\n"
                        "Choose another folder with --state."
                    )
                self.root.mkdir(parents=True, exist_ok=True)
                self.root.chmod(0o700)
                _write_json(self.version, {"version": STATE_VERSION, "id": _new_id()})
            found = self._read_version()["version"]
        except OSError as error:
            raise StateError(f"cannot use the state folder {self.root}: {error.strerror}") from error
        if found > STATE_VERSION:
            raise StateError(
                f"{self.root} was written by a newer Stagemaker "
                f"(state version {found}, this one knows {STATE_VERSION}).\n"
                "Upgrade Stagemaker, or choose another folder with --state."
            )

    def _read_version(self) -> dict[str, Any]:
        """What the version file says. Raises StateError, OSError."""
        try:
            document = json.loads(self.version.read_text())
        except ValueError:
            document = None
        match document:
            case {"version": int(), "id": str()}:
                return dict(document)
        raise StateError(f"{self.version} is damaged: it should hold the version of the state folder and its id")

    @property
    def id(self) -> str:
        """Tells this account from one in another folder, or from one made anew in the same place."""
        return str(self._read_version()["id"])

    def renew_id(self) -> None:
        """After a reset it is another account to whoever remembers what it held."""
        _write_json(self.version, {"version": STATE_VERSION, "id": _new_id(), "backing": self.backing_kind})

    @property
    def backing_kind(self) -> str:
        """The backing on which the account is."""
        return str(json.loads(self.version.read_text()).get("backing", EMBEDDED))

    def bind(self, backing: str) -> None:
        """The account is on `backing` from its first start on: half of it is there. Raises StateError for another."""
        document = json.loads(self.version.read_text())
        if not self.database.exists():
            _write_json(self.version, {**document, "backing": backing})
        elif backing != self.backing_kind:
            raise StateError(
                f"{self.root} holds an account on the {self.backing_kind} backing, not on {backing}. "
                "Choose another folder with --state."
            )

    def take(self) -> int:
        """Own the folder for as long as the returned descriptor is open. Raises StateError."""
        handle = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            running = self.running()
            where = f" at {running['endpoint']} (process {running['pid']})" if running else ""
            raise StateError(f"a stage already runs on {self.root}{where}. Two cannot share one folder.") from error
        # The address of a stage that was killed: until this one has said its own, nobody should believe it.
        self.stage_file.unlink(missing_ok=True)
        return handle

    def announce(self, endpoint: str, *, proxy: str, backing_url: str | None, options: Mapping[str, Any]) -> None:
        """Write the running stage's addresses, and the options that it was started with."""
        backing = {"backing": self.backing_kind, **({"backing_url": backing_url} if backing_url else {})}
        told = {"endpoint": endpoint, "proxy": proxy, "pid": os.getpid(), "options": dict(options), **backing}
        _write_json(self.stage_file, told)

    def running(self) -> dict[str, Any] | None:
        """The addresses and pid of the stage that runs on the folder, or None."""
        with contextlib.suppress(OSError, ValueError):
            handle = os.open(self.lock, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                document: dict[str, Any] = json.loads(self.stage_file.read_text())
                return document
            finally:
                os.close(handle)
        return None


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _write_json(file: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(document))
    temporary.replace(file)
