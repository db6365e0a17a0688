"""The learner's own folder of a lab: its files, the data it is given, and the variables that a run sees."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stagemaker_labs import course
from stagemaker_labs.lab import HELD_BACK_PREFIX, Lab
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.targets import Opened

WORK_VARIABLE = "STAGEMAKER_WORK"
OUTSIDE = "labs-work"
"""The folder, in the current one, that holds the work of labs that came with a wheel."""

HIDDEN = ".stagemaker"
"""The workbench's own part of a work folder: data, records, the output of the last run."""

LOCALE_VARIABLES = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+")
NAME_LIMIT = 20
"""Characters of the learner's name in LAB_PREFIX: with lab, account and region a bucket's 63 are not passed."""

NOT_DATA = frozenset({".py", ".toml"})
"""Suffixes of a data set's own machinery, which a learner is not given."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The work folder of one lab. `folder` need not exist yet."""

    lab: Lab
    folder: Path

    @property
    def file(self) -> Path:
        """What the learner edits."""
        return self.folder / "lab.py"

    @property
    def hidden(self) -> Path:
        """Where the workbench keeps its own files."""
        return self.folder / HIDDEN

    @property
    def data(self) -> Path:
        """What LAB_DATA names."""
        return self.hidden / "data"

    @property
    def shown(self) -> str:
        """The work folder as a learner would type it from here; in full when it is far away."""
        near = os.path.relpath(self.folder)
        return str(self.folder) if near.startswith(os.path.join("..", "..")) else near  # noqa: PTH118  a text

    def create(self) -> bool:
        """Make the folder and `lab.py` from the starter. False when there is work in it: it is left as it is."""
        with _writable(self.folder):
            self.hidden.mkdir(parents=True, exist_ok=True)
            if any(entry.name != HIDDEN for entry in self.folder.iterdir()):
                return False
            shutil.copyfile(self.lab.starter, self.file)
        return True

    def is_starter(self) -> bool:
        """Whether `lab.py` is still the starter, byte for byte."""
        return self.file.is_file() and self.file.read_bytes() == self.lab.starter.read_bytes()

    def reset(self) -> Path | None:
        """Move the work aside, to a name with the time; nothing is deleted. None when there was none."""
        if not self.folder.exists():
            return None
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        aside = self.folder.with_name(f"{self.folder.name}.{stamp}")
        count = 1
        while aside.exists():
            count += 1
            aside = self.folder.with_name(f"{self.folder.name}.{stamp}-{count}")
        with _writable(self.folder):
            self.folder.rename(aside)
        return aside

    def lay_out_data(self) -> None:
        """Make LAB_DATA hold copies of the lab's data and nothing else: neither what is held back nor how it was made.

        One folder for each data set. Copies, so that writing to them cannot change the course.
        """
        wanted = {}
        for name in self.lab.data:
            source = self.lab.datasets / name
            if not source.is_dir():
                raise Problem(
                    "the lab's data are not complete", Card(str(source), "no such folder", f"the data `{name}`")
                )
            wanted.update({self.data / name / file.relative_to(source): file for file in self._given(source)})
        with _writable(self.data):
            self.data.mkdir(parents=True, exist_ok=True)
            for file in [file for file in self.data.rglob("*") if file.is_file() and file not in wanted]:
                file.unlink()
            for copy, source in wanted.items():
                _copy_if_changed(source, copy)

    def _given(self, source: Path) -> Iterator[Path]:
        held_back = {(self.lab.datasets / name).resolve() for name in self.lab.held_back.values()}
        for file in sorted(source.rglob("*")):
            machinery = file.suffix in NOT_DATA or file.name.startswith((HELD_BACK_PREFIX, ".", "__"))
            if file.is_file() and not machinery and file.resolve() not in held_back and "__pycache__" not in file.parts:
                yield file

    def variables(self, opened: Opened, run: str) -> dict[str, str]:
        """All variables that the learner's file sees, and nothing else of the shell's."""
        inherited = {name: value for name, value in os.environ.items() if LOCALE_VARIABLES.fullmatch(name)}
        # The environment's own programs first, so that `aws` and `python` are those beside the workbench.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {
            "PATH": path,
            "HOME": str(Path.home()),
            **inherited,
            **opened.environment.variables,
            **self.lab_variables(opened),
            "LAB_RUN": run,
        }

    def lab_variables(self, opened: Opened) -> dict[str, str]:
        """The LAB_ variables that stay the same from run to run."""
        environment = opened.environment
        prefix = self.prefix
        return {
            "LAB_TARGET": opened.target.value,
            "LAB_PREFIX": prefix,
            "LAB_BUCKET": f"{prefix}-{environment.account_id}-{environment.region}",
            "LAB_ROLE_ARN": environment.role_arn,
            "LAB_DATA": str(self.data),
        }

    @property
    def prefix(self) -> str:
        """LAB_PREFIX: what the names begin with that the learner chooses in this lab."""
        return f"{_learner()}-lab{self.lab.number}"

    def write_env_file(self, variables: Mapping[str, str]) -> None:
        """Write `.env` for editors and notebooks, readable by the learner only: it holds keys."""
        kept = {name: value for name, value in variables.items() if name not in {"PATH", "HOME"}}
        lines = [
            "# Written by the workbench at each start and run; loaded by editors. Do not commit it.",
            # Single quotes: within them no loader takes a `$` of a key for a variable.
            *(f"{name}='{value}'" for name, value in kept.items()),
        ]
        file = self.folder / ".env"
        with _writable(file), os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write("\n".join(lines) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second run in it. Raises Problem when one is on its way."""
        with (self.hidden / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Problem(
                    "another run is on its way",
                    Card(
                        looked_at=self.shown,
                        found="another `pytest` is running this lab here",
                        expected="one at a time, since both would change the same account",
                        next="wait for the other one to end",
                    ),
                ) from error
            yield


def of_lab(lab: Lab) -> Workspace:
    """The work folder of `lab`: what STAGEMAKER_WORK names, else beside the lab, else (from a wheel) outside."""
    named = os.environ.get(WORK_VARIABLE)
    if named:
        return Workspace(lab, Path(named).expanduser().resolve())
    if not course.of_folder(lab.folder).packaged:
        return Workspace(lab, lab.folder / "work")
    here = Path.cwd()
    base = next((folder for folder in (here, *here.parents) if (folder / OUTSIDE).is_dir()), here)
    return Workspace(lab, base / OUTSIDE / lab.folder.name)


def new_run(last: str) -> str:
    """A value for LAB_RUN: short, and greater than `last` in time and in sorting even when the clock went back."""
    now = int(time.time() * 10)
    return _base36(max(now, int(last, 36) + 1 if last else 0))


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"


def _learner() -> str:
    """The user's name as a part of AWS names: lower case letters, digits and single hyphens."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container may run a user id that has no name.
        name = ""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_LIMIT].strip("-") or "learner"


def _copy_if_changed(source: Path, copy: Path) -> None:
    if copy.is_file():
        have, want = copy.stat(), source.stat()
        if (have.st_size, have.st_mtime_ns) == (want.st_size, want.st_mtime_ns):
            return
        copy.unlink()
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, copy)
    copy.chmod(0o444)


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Say in a card what the file system refused: a full disk or a folder without permission."""
    try:
        yield
    except OSError as error:
        raise Problem(
            "the work folder cannot be written",
            Card(
                looked_at=str(error.filename or path),
                found=error.strerror or str(error),
                expected="a folder that can be written and a disk with room",
                next="mend that, then the same command again",
            ),
        ) from error
