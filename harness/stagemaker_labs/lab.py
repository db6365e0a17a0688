"""A lab as its folder describes it: `lab.toml`, read once and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagemaker_labs.problem import Card, Problem

LAB_FILE = "lab.toml"
FOLDER_NAME = re.compile(r"(?P<number>\d{2,3})-(?P<slug>[a-z0-9][a-z0-9-]*)")
DEFAULT_TIME_LIMIT = 120.0
HELD_BACK_PREFIX = "heldback"
"""Files of a data set whose names start so are never given to a learner, whether or not a lab names them."""


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab. `folder` is `labs/NN-slug`, `datasets` the folder that holds all data sets.

    `cost_on_aws` is in US dollars, `minutes` what a learner should plan for, `time_limit` the seconds that
    `work/lab.py` may run. `exams` maps an exam's code to the tasks it covers, `fidelity` a target's name to one
    line on how faithful it is, `differences` a target's name to what is otherwise there than on `local`, `held_back`
    a name to a file below `datasets`.
    """

    folder: Path
    datasets: Path
    number: str
    slug: str
    title: str
    minutes: int
    cost_on_aws: float
    tasks: tuple[str, ...]
    hints: tuple[str, ...]
    services: tuple[str, ...] = ()
    exams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fidelity: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    held_back: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = DEFAULT_TIME_LIMIT

    @property
    def guide(self) -> Path:
        """What `stagemaker start` prints."""
        return self.folder / "README.md"

    @property
    def starter(self) -> Path:
        """What becomes `work/lab.py`."""
        return self.folder / "starter.py"

    @property
    def checks(self) -> Path:
        """The pytest functions that judge the account."""
        return self.folder / "checks.py"

    @property
    def scene(self) -> Path:
        """What sets the account up beforehand; many labs have none."""
        return self.folder / "scene.py"

    @property
    def solution(self) -> Path:
        """The reference in boto3."""
        return self.folder / "author" / "solution.py"

    def held_back_file(self, name: str) -> Path:
        """The held-back file called `name` in `lab.toml`. Raises KeyError, or Problem when the file is missing."""
        file = self.datasets / self.held_back[name]
        if not file.is_file():
            raise Problem("the lab's data are not complete", Card(str(file), "no such file", "the held-back rows"))
        return file


KEYS: Mapping[str, type | tuple[type, ...]] = {
    "title": str,
    "minutes": int,
    "cost_on_aws": (int, float),
    "tasks": list,
    "hints": list,
    "services": list,
    "exams": dict,
    "fidelity": dict,
    "differences": dict,
    "data": list,
    "held_back": dict,
    "time_limit": (int, float),
}
REQUIRED = ("title", "minutes", "cost_on_aws", "tasks", "hints")


def is_lab(folder: Path) -> bool:
    """Whether `folder` is the folder of a lab."""
    return (folder / LAB_FILE).is_file()


def read(folder: Path) -> Lab:
    """The lab in `folder`. Raises Problem when its `lab.toml` cannot be used, naming the line or the key."""
    file = folder / LAB_FILE
    named = FOLDER_NAME.fullmatch(folder.name)
    if named is None:
        raise _unusable(file, f"the folder is called {folder.name}", "a name such as 03-builtin-xgboost")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise _unusable(file, str(error), "a file in TOML") from error
    _check_keys(file, table)
    return Lab(
        folder=folder,
        datasets=folder.parent.parent / "datasets",
        number=named["number"],
        slug=named["slug"],
        title=table["title"],
        minutes=table["minutes"],
        cost_on_aws=float(table["cost_on_aws"]),
        tasks=_texts(file, "tasks", table["tasks"]),
        hints=_texts(file, "hints", table["hints"]),
        services=_texts(file, "services", table.get("services", [])),
        exams={exam: _texts(file, f"exams.{exam}", tasks) for exam, tasks in table.get("exams", {}).items()},
        fidelity=_text_table(file, "fidelity", table.get("fidelity", {})),
        differences={
            target: _texts(file, f"differences.{target}", each) for target, each in table.get("differences", {}).items()
        },
        data=_texts(file, "data", table.get("data", [])),
        held_back=_text_table(file, "held_back", table.get("held_back", {})),
        time_limit=float(table.get("time_limit", DEFAULT_TIME_LIMIT)),
    )


def _check_keys(file: Path, table: Mapping[str, Any]) -> None:
    """Refuse a key that is missing, unknown or of another type: a typing error must not pass for a default."""
    for key in REQUIRED:
        if key not in table:
            raise _unusable(file, f"no `{key}`", f"all of {', '.join(REQUIRED)}")
    for key, value in table.items():
        if key not in KEYS:
            raise _unusable(file, f"an unknown key `{key}`", f"keys among {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise _unusable(file, f"`{key}` is {value!r}", f"another type for `{key}`")


def _texts(file: Path, key: str, values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _unusable(file, f"`{key}` is {values!r}", "a list of texts")
    return tuple(values)


def _text_table(file: Path, key: str, values: Mapping[str, Any]) -> Mapping[str, str]:
    if not all(isinstance(value, str) for value in values.values()):
        raise _unusable(file, f"`{key}` is {values!r}", "a table of texts")
    return dict(values)


def _unusable(file: Path, found: str, expected: str) -> Problem:
    return Problem(f"{file.parent.name} cannot be used as a lab", Card(str(file), found, expected))
