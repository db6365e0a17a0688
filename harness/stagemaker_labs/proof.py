"""For authors' tests: what the harness says of a lab when a given file is the learner's.

The lab runs as it does for a learner, by `pytest` in a process of its own, on the stage that `env` names
(STAGEMAKER_STATE, or STAGEMAKER_STAGE_COMMAND), in a work folder that the test owns.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagemaker_labs import verdict
from stagemaker_labs.course import COURSE_VARIABLE
from stagemaker_labs.verdict import Verdict
from stagemaker_labs.workspace import WORK_VARIABLE

PROOF_LIMIT = 300.0
"""Seconds after which a run counts as hanging."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One run: the exit code, all that was printed, and the verdict; None when the run gave none."""

    exit_code: int
    output: str
    verdict: Verdict | None

    def card_text(self, check: str) -> str:
        """All words of the card of `check` (`lab.py` for the run itself), for a test to look for its own words.

        Raises KeyError when there is no such check or it has no card.
        """
        assert self.verdict is not None, self.output
        card = self.verdict.run.card if check == "lab.py" else self.verdict.check(check).card
        if card is None:
            raise KeyError(f"{check} has no card")
        return "\n".join((card.looked_at, card.found, card.expected, card.likely, card.next, *card.detail))


@dataclass(frozen=True, slots=True)
class WrongWork:
    """A file of `author/wrong/`. Its docstring names the check that must fail and words that its card must hold.

    The docstring's lines `check: NAME` and `words: WORDS` say so; `words` may come several times.
    """

    file: Path
    check: str
    words: tuple[str, ...]


def prove(lab: Path, file: Path | None, *, work: Path, env: Mapping[str, str], arguments: Sequence[str] = ()) -> Proof:
    """Run the lab in the folder `lab` with `file` as `lab.py` (None: leave what is in `work`).

    `work` is the work folder and is kept, so that a second call with another file is a second attempt of the same
    learner. `env` is laid over the environment of this process; `arguments` go to pytest.
    """
    work.mkdir(parents=True, exist_ok=True)
    if file is not None:
        shutil.copyfile(file, work / "lab.py")
    with tempfile.TemporaryDirectory(prefix="stagemaker-proof-") as folder:
        kept = Path(folder) / "verdict.json"
        done = _run(
            ["-m", "pytest", str(lab), "--verdict-json", str(kept), "-p", "no:cacheprovider", *arguments],
            lab,
            work,
            env,
        )
        found = verdict.from_json(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    return Proof(done.returncode, done.stdout, found[0] if found else None)


def play(lab: Path, part: str, *, work: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Play `set` or `strike` of the lab's scene on the stage that `env` names."""
    return _run(["-m", "stagemaker_labs.scene", str(lab), part], lab, work, env)


def wrong_works(lab: Path) -> list[WrongWork]:
    """The wrong works of the lab in the folder `lab`, in order. Raises ValueError when a docstring lacks its lines."""
    return [_wrong_work(file) for file in sorted((lab / "author" / "wrong").glob("*.py"))]


def _wrong_work(file: Path) -> WrongWork:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    told: dict[str, list[str]] = {"check": [], "words": []}
    for line in doc.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() in told:
            told[key.strip()].append(value.strip())
    if len(told["check"]) != 1 or not told["words"]:
        raise ValueError(f"{file}: the docstring needs one line `check: NAME` and at least one `words: WORDS`")
    return WrongWork(file, told["check"][0], tuple(told["words"]))


def _run(arguments: Sequence[str], lab: Path, work: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    course = lab.resolve().parent.parent
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    variables = {**inherited, COURSE_VARIABLE: str(course), **env, WORK_VARIABLE: str(work)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=course,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=PROOF_LIMIT,
        check=False,
    )
