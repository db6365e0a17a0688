"""The course: the folder that holds `labs/` and `datasets/`, and how a learner's word becomes a lab."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stagemaker_labs import lab as labs
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Card, Problem

COURSE_VARIABLE = "STAGEMAKER_COURSE"
PACKAGED = Path(__file__).parent / "course_files"
"""Where a wheel keeps the labs and the data."""


@dataclass(frozen=True, slots=True)
class Course:
    """`root` holds `labs/` and `datasets/`. `packaged`: it came with a wheel, so nothing is written into it."""

    root: Path
    packaged: bool

    def folders(self) -> Iterator[Path]:
        """The folders of the labs, in order."""
        for folder in sorted((self.root / "labs").iterdir()):
            if labs.is_lab(folder):
                yield folder

    def labs(self) -> list[Lab]:
        """All labs, in order. Raises Problem when one cannot be read."""
        return [labs.read(folder) for folder in self.folders()]

    def find(self, word: str) -> Lab:
        """The lab that `word` names: `3`, `03`, `builtin-xgboost`, `labs/03` or a path.

        Raises Problem, with the nearest name, when there is none.
        """
        name = Path(word).name
        folders = list(self.folders())
        for folder in folders:
            if name in _names_of(folder):
                return labs.read(folder)
        raise _no_such_lab(word, self, folders)


def of_folder(folder: Path) -> Course:
    """The course that a lab's folder belongs to."""
    root = folder.resolve().parent.parent
    return Course(root, packaged=root == PACKAGED.resolve())


def locate(start: Path | None = None) -> Course:
    """The course around `start` (the current folder), else that of STAGEMAKER_COURSE, else the packaged one.

    Raises Problem when there is none.
    """
    start = start or Path.cwd()
    for folder in (start, *start.parents):
        if _holds_labs(folder):
            return Course(folder, packaged=False)
    named = os.environ.get(COURSE_VARIABLE)
    if named:
        root = Path(named).expanduser().resolve()
        if not _holds_labs(root):
            raise Problem(
                "no course is there",
                Card(f"{COURSE_VARIABLE}={named}", "no labs/*/lab.toml", "the root of a clone"),
            )
        return Course(root, packaged=False)
    if _holds_labs(PACKAGED):
        return Course(PACKAGED, packaged=True)
    raise Problem(
        "no course was found",
        Card(
            looked_at=f"{start} and the folders above it",
            found="no labs/*/lab.toml",
            expected="a clone of the repository",
            next=f"change to the clone, or set {COURSE_VARIABLE} to its path",
        ),
    )


def resolve(word: str, start: Path | None = None) -> Lab:
    """The lab that `word` names, seen from `start`: a path in a lab's folder, or a name in the course.

    Raises Problem when there is no such lab or no course.
    """
    start = start or Path.cwd()
    path = (start / word).resolve()
    if path.exists():
        for folder in (path, *path.parents):
            if labs.is_lab(folder):
                return labs.read(folder)
    return locate(start).find(word)


def here(start: Path | None = None) -> Lab:
    """The lab whose folder is `start` (the current folder) or one above it. Raises Problem when there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if labs.is_lab(folder):
            return labs.read(folder)
    found = locate(start)
    numbers = ", ".join(lab.number for lab in found.labs())
    raise Problem(
        "no lab was named, and this is not the folder of one",
        Card(looked_at=str(start), found="no lab.toml", expected=f"the number of a lab: {numbers}"),
    )


def _names_of(folder: Path) -> set[str]:
    """All that a learner may call the lab in `folder`."""
    named = labs.FOLDER_NAME.fullmatch(folder.name)
    if named is None:
        return {folder.name}
    number = named["number"]
    return {folder.name, named["slug"], number, str(int(number)), number.zfill(3)}


def _no_such_lab(word: str, course: Course, folders: list[Path]) -> Problem:
    names = [folder.name for folder in folders]
    given = Path(word).name or word
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    return Problem(
        f"no lab is called {given}",
        Card(
            looked_at=os.path.relpath(course.root / "labs"),
            found=", ".join(names),
            expected=f"a lab called {given}",
            likely=f"you mean {near[0]}" if near else "",
            next="stagemaker map lists the labs",
        ),
    )


def _holds_labs(folder: Path) -> bool:
    return any(folder.glob("labs/*/" + labs.LAB_FILE))
