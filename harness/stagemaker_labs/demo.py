"""`make demo`: a lab's reference, run and judged on a stage that is gone afterwards.

`python -m stagemaker_labs.demo LAB [--file FILE] [pytest's options]`. Nothing of the learner's is touched: state,
work folder and port are the demo's own.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stagemaker_labs import course, render, stage
from stagemaker_labs.problem import Problem
from stagemaker_labs.verdict import COULD_NOT_CHECK_EXIT, PASSED_EXIT
from stagemaker_labs.workspace import WORK_VARIABLE

STATE_VARIABLE = "STAGEMAKER_STATE"


def main(words: Sequence[str]) -> int:
    """Run a lab, with its reference or another file as lab.py; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m stagemaker_labs.demo", description=main.__doc__)
    parser.add_argument("lab")
    parser.add_argument("--file", type=Path, help="what to run instead of the reference")
    told, options = parser.parse_known_args(words)
    try:
        lab = course.resolve(told.lab)
        stage.require()
    except Problem as problem:
        render.show_problem(problem)
        return COULD_NOT_CHECK_EXIT
    with tempfile.TemporaryDirectory(prefix="stagemaker-demo-") as folder:
        work = Path(folder) / "work"
        work.mkdir()
        file: Path = told.file or lab.solution
        shutil.copyfile(file, work / "lab.py")
        environment = {**os.environ, STATE_VARIABLE: str(Path(folder) / "state"), WORK_VARIABLE: str(work)}
        _say("starting a stage of its own ...")
        up = [*stage.command(), "up", "--port", "0"]
        if subprocess.run(up, env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            return COULD_NOT_CHECK_EXIT
        try:
            what = "the reference" if told.file is None else file.name
            _say(f"running {what} of lab {lab.number} and judging what it made in the account ...")
            command = [sys.executable, "-m", "pytest", str(lab.folder), "-p", "no:cacheprovider", *options]
            code = subprocess.run(command, env=environment, check=False).returncode
        finally:
            subprocess.run([*stage.command(), "down"], env=environment, stdout=subprocess.DEVNULL, check=False)
    if told.file is None and code == PASSED_EXIT:
        _say(f"\nThat was the reference. To work on the lab yourself:\n    {next_step(lab.number)}")
    return code


def next_step(number: str) -> str:
    """The commands that begin the lab, typed where the demo was: a newcomer's shell does not know the environment."""
    begin = f"stagemaker start {number}"
    if shutil.which("stagemaker"):
        return begin
    return f". {shlex.quote(os.path.relpath(sys.prefix))}/bin/activate && {begin}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the demo's own words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
