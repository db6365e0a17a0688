"""A course of two toy labs, a stage that only pretends, and a learner who types commands."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SNAPSHOTS = HERE / "snapshots"
UNTOLD = ("AWS_", "STAGEMAKER_", "LAB_", "PYTEST_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "LC_", "LANG")
"""Variables of the shell that runs the tests which must not decide what they see."""


@dataclass(frozen=True)
class Typed:
    """What came of a command: its exit code and all that it printed."""

    code: int
    out: str


@dataclass
class Learner:
    """Someone at a shell in the course's folder."""

    course: Path
    state: Path
    zygote: subprocess.Popen[str]
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> Path:
        """The folder that stands in for the account."""
        return self.state / "account"

    @property
    def work(self) -> Path:
        """The work folder of lab 01."""
        return self.course / "labs" / "01-toy" / "work"

    def environment(self) -> dict[str, str]:
        """The shell's variables."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(UNTOLD)}
        stage = f"{sys.executable} -I -S {HERE / 'fake_stage.py'}"
        return {
            **kept,
            "LC_ALL": "C.UTF-8",
            # Only our plugin: loading the others of this environment would take most of the time.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p stagemaker_labs.plugin",
            "USER": "ann",
            "LOGNAME": "ann",
            "STAGEMAKER_STATE": str(self.state),
            "STAGEMAKER_STAGE_COMMAND": stage,
            **self.variables,
        }

    def types(self, *words: str, here: str = ".", fresh: bool = False) -> Typed:
        """Run `pytest ...` or `stagemaker ...` in the folder `here` of the course.

        `fresh`: in a new interpreter, where what is loaded, or which variables Python itself reads, matters.
        """
        module = {"pytest": "pytest", "stagemaker": "stagemaker_labs.cli"}[words[0]]
        if not fresh:
            return self._forked(module, words[1:], self.course / here)
        done = subprocess.run(
            [sys.executable, "-m", module, *words[1:]],
            cwd=self.course / here,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Typed(done.returncode, done.stdout)

    def _forked(self, module: str, words: Sequence[str], folder: Path) -> Typed:
        assert self.zygote.stdin
        assert self.zygote.stdout
        out = self.state / "out"
        told = {"module": module, "words": words, "folder": str(folder), "variables": self.environment()}
        self.zygote.stdin.write(json.dumps({**told, "out": str(out)}) + "\n")
        self.zygote.stdin.flush()
        return Typed(int(self.zygote.stdout.readline()), out.read_text(encoding="utf-8"))

    def writes(self, source: str) -> None:
        """Put `source` into work/lab.py of lab 01."""
        self.work.mkdir(exist_ok=True)
        (self.work / "lab.py").write_text(source)

    def copies(self, name: str) -> None:
        """Put a file of the author's into work/lab.py of lab 01."""
        self.writes((self.course / "labs" / "01-toy" / "author" / name).read_text())

    def with_variables(self, variables: Mapping[str, str]) -> Learner:
        """The same learner in another shell."""
        return dataclasses.replace(self, variables={**self.variables, **variables})


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of something that listens and never answers: enough to be taken for a stage that is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of the toy course. Its Python files are kept as text, since they are no modules of ours."""
    root = tmp_path / "course"
    shutil.copytree(HERE / "course", root)
    for file in root.rglob("*.py.txt"):
        file.rename(file.with_suffix(""))
    return root


@pytest.fixture(scope="session")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """The interpreter that commands are forked from."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "zygote.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.communicate(timeout=10)


@pytest.fixture
def learner(course: Path, tmp_path: Path, address: str, zygote: subprocess.Popen[str]) -> Learner:
    """A learner whose stage runs."""
    state = tmp_path / "state"
    (state / "account").mkdir(parents=True)
    (state / "id").write_text("first")
    for name in ("address", "running"):
        (state / name).write_text(address)
    return Learner(course, state, zygote)


Same = Callable[[str, str], None]


@pytest.fixture
def same_as_kept(tmp_path: Path) -> Same:
    """Compare a screen with the one kept in snapshots/NAME.txt; SNAPSHOTS=write keeps the new one instead."""

    def compare(name: str, screen: str) -> None:
        seen = normal(screen, tmp_path)
        assert all(len(line) <= 80 for line in seen.splitlines()), "wider than 80 columns"
        file = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("SNAPSHOTS") == "write":
            file.write_text(seen, encoding="utf-8")
        assert seen == file.read_text(encoding="utf-8")

    return compare


def normal(screen: str, folder: Path) -> str:
    """A screen without what differs from run to run: times, ports, temporary folders."""
    screen = screen.replace(str(folder), "/tmp")  # noqa: S108  a name on a screen, no folder
    screen = re.sub(r"\b\d+(\.\d)? s\b", "N s", screen)
    screen = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:4566", screen)
    return re.sub(r"at \d\d:\d\d:", "at HH:MM:", screen)
