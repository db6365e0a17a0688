"""The learner's file in a process of its own, without pytest around it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stagemaker_labs import lab, process, run
from stagemaker_labs.verdict import Outcome, Run
from stagemaker_labs.workspace import Workspace

RunSource = Callable[[str], Run]


@pytest.fixture
def workspace(course: Path) -> Workspace:
    """A fresh work folder of lab 01."""
    made = Workspace(lab.read(course / "labs" / "01-toy"), course / "labs" / "01-toy" / "work")
    assert made.create()
    return made


@pytest.fixture
def run_source(workspace: Workspace) -> RunSource:
    """Run a source as work/lab.py, with a target that is gone for it to lose."""

    def do(source: str) -> Run:
        workspace.file.write_text(source)
        variables = {"PATH": os.environ["PATH"], "LAB_RUN": "r1", "LAB_DATA": str(workspace.data)}
        return run.run_file(workspace, variables, tick=lambda _: None, is_target_there=lambda: False)

    return do


@pytest.mark.parametrize(
    ("source", "looked_at", "found", "next_step"),
    [
        ("import sys\nsys.exit(4)\n", "work/lab.py, line 2", "it left with exit code 4", "go on at line 2"),
        ("raise SystemExit('to do')", "work/lab.py, line 1", "it left with: to do", "go on at line 1"),
        ("import os\nos._exit(3)", "work/lab.py", "it ended itself with exit code 3", "look for what ends it"),
        ("import os\nos.kill(os.getpid(), 9)", "work/lab.py", "it was ended by SIGKILL", "look at what it did last"),
        ("open('no')", "work/lab.py, line 1", "FileNotFoundError: [Errno 2] No such file or directory: 'no'", "mend"),
        ("input()", "work/lab.py, line 1", "EOFError: EOF when reading a line", "mend line 1"),
        ("x = '\0'", "work/lab.py", "source code string cannot contain null bytes", "mend"),
    ],
)
def test_how_it_can_stop(run_source: RunSource, source: str, looked_at: str, found: str, next_step: str) -> None:
    """An exit, a message, a signal, an exception: each is a failure with a card that names the place."""
    result = run_source(source)
    assert result.outcome is Outcome.FAILED
    assert result.card is not None
    assert result.card.looked_at.startswith(looked_at)
    assert found in result.card.found
    assert result.card.next.startswith(next_step)
    assert result.card.next.endswith(", then: pytest labs/01")


@pytest.mark.parametrize("source", ["x = 1", "import sys\nsys.exit()", "raise SystemExit(0)"])
def test_how_it_can_end_well(run_source: RunSource, source: str) -> None:
    """The end of the file, and leaving without a code or with 0."""
    assert run_source(source).outcome is Outcome.PASSED


def test_a_mistake_in_a_file_beside_it(run_source: RunSource, workspace: Workspace) -> None:
    """The card names the other file, and the calls that led there, without the workbench's own."""
    (workspace.folder / "train.py").write_text("def fit():\n    return {}['auc']\n")
    card = run_source("import train\n\ntrain.fit()\n").card
    assert card is not None
    assert card.looked_at == "work/train.py, line 2, in fit"
    assert card.detail == ("lab.py:3    train.fit()", "train.py:2  return {}['auc']")
    (workspace.folder / "train.py").write_text("def fit(:\n")
    card = run_source("import train\n").card
    assert card is not None
    assert card.found.startswith("SyntaxError")


def test_hints_at_the_cause(run_source: RunSource) -> None:
    """A missing package and codes of AWS's have their usual cause beside them; an unknown error has none."""
    refused = (
        "class ClientError(Exception):\n    response = {'Error': {'Code': 'NoSuchBucket'}}\n"
        "raise ClientError('An error occurred')\n"
    )
    likely = [run_source(source).card.likely for source in ("import nothere", refused, "1/0")]  # type: ignore[union-attr]  # all fail
    assert likely[0].startswith("the package nothere is not installed here")
    assert likely[1].startswith("the bucket was not made yet")
    assert likely[2] == ""


def test_a_lost_connection_when_the_target_is_gone(run_source: RunSource) -> None:
    """It is no failure of the file's."""
    assert run_source("raise ConnectionError('refused')").outcome is Outcome.ERROR


def test_a_deep_recursion_is_cut(run_source: RunSource) -> None:
    """A thousand frames make a short card."""
    card = run_source("def f(n):\n    return f(n + 1)\n\nf(0)\n").card
    assert card is not None
    assert len(card.detail) == run.SHOWN_FRAMES + 1
    assert card.detail[0].endswith("calls before")


def test_processes_of_multiprocessing_work(run_source: RunSource) -> None:
    """Its children find the file as their main module, and do not count as left behind."""
    result = run_source(
        "import multiprocessing\n\ndef double(n):\n    return 2 * n\n\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(double, [1, 2]))\n"
    )
    assert result.outcome is Outcome.PASSED
    assert result.output == ("[2, 4]",)
    assert "behind" not in result.note


def test_output_is_in_order_and_as_utf_8(run_source: RunSource, workspace: Workspace) -> None:
    """Both streams come in the order in which they were written, whatever the locale; controls are not shown."""
    result = run_source("import sys\nprint('café')\nprint('error', file=sys.stderr)\nprint('\\x1b]0;title\\x07end')\n")
    assert result.output == ("café", "error", "end")
    assert (workspace.hidden / "output.txt").read_text(encoding="utf-8").startswith("café\nerror\n")


def test_the_output_file_keeps_both_ends(tmp_path: Path) -> None:
    """What is left out of the middle is counted, in bytes; every line is counted, the unfinished last one too."""
    end = process.KEPT_AT_EACH_END
    output = process.Output(tmp_path / "out")
    output.write(b"a" * end + b"\n")
    for _ in range(3 * end // 1024):
        output.write(b"b" * 1023 + b"\n")
    output.write(b"last")
    output.close()
    kept = (tmp_path / "out").read_bytes()
    head, _, tail = kept.partition(b"\n... ")
    left_out = int(tail.split(b" ", 1)[0].replace(b",", b""))
    assert head == b"a" * end
    assert tail.endswith(b"\nlast")
    shown = tail.split(b"...\n", 1)[1]
    assert end + left_out + len(shown) == end + 1 + 3 * end + 4
    assert output.lines == 1 + 3 * end // 1024 + 1


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    """OSError, and nothing waits for ever."""
    with pytest.raises(OSError, match="no-such-program"):
        process.run(
            [str(tmp_path / "no-such-program")],
            folder=tmp_path,
            variables={"LAB_RUN": "r"},
            limit=1,
            output=tmp_path / "out",
            marks=("LAB_RUN",),
            tick=lambda _: None,
        )


def test_an_interrupt_ends_the_process(tmp_path: Path) -> None:
    """When the wait is broken off, nothing is left running."""

    def interrupt(passed: float) -> None:
        if passed > 0.3:
            raise KeyboardInterrupt

    (tmp_path / "pid.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    with pytest.raises(KeyboardInterrupt):
        process.run(
            [sys.executable, "-S", "pid.py"],
            folder=tmp_path,
            variables={"LAB_RUN": "r"},
            limit=60,
            output=tmp_path / "out",
            marks=("LAB_RUN",),
            tick=interrupt,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
