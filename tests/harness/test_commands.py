"""The course's commands: start, hint, solve, reset, map, and the stage's handed on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stagemaker_labs import cli, demo, stage
from stagemaker_labs.problem import Problem

HARNESS = Path(cli.__file__).parent


def test_start(learner: Any, same_as_kept: Any) -> None:
    """It prints the guide, makes the work folder with data and .env, starts the stage, and says what comes next."""
    (learner.state / "running").unlink()
    seen = learner.types("stagemaker", "start", "01")
    assert seen.code == 0
    assert (learner.work / ".stagemaker" / "data" / "tiny" / "rows.csv").read_text() == "1\n2\n3\n"
    assert "LAB_PREFIX='ann-lab01'" in (learner.work / ".env").read_text()
    same_as_kept("start", seen.out)


def test_start_leaves_work_as_it_is(learner: Any) -> None:
    """A second start changes nothing of the learner's."""
    learner.writes("mine = 1\n")
    seen = learner.types("stagemaker", "start", "toy", "--quiet")
    assert seen.code == 0
    assert "was left as it is" in seen.out
    assert (learner.work / "lab.py").read_text() == "mine = 1\n"


def test_start_without_a_stage(learner: Any) -> None:
    """The work folder is made and the guide printed even when the stage cannot be started."""
    (learner.state / "running").unlink()
    (learner.state / "taken").write_text("port 4566 is taken")
    seen = learner.types("stagemaker", "start", "01")
    assert seen.code == 6
    assert (learner.work / "lab.py").is_file()
    assert "port 4566 is taken" in seen.out


def test_hints_come_one_at_a_time(learner: Any) -> None:
    """One more each time, from a nudge to nearly the answer; the last one stays; --all gives all."""
    said = [learner.types("stagemaker", "hint", "01").out for _ in range(4)]
    assert [text.splitlines()[0] for text in said] == ["hint 1 of 3", "hint 2 of 3", "hint 3 of 3", "hint 3 of 3"]
    assert said[-1].endswith("the reference: stagemaker solve 01 --reveal\n")
    assert not (learner.work / "lab.py").exists()
    every = learner.types("stagemaker", "hint", "--all", here="labs/01-toy").out
    assert [line for line in every.splitlines() if line.startswith("hint")] == [f"hint {n} of 3" for n in (1, 2, 3)]
    assert learner.types("stagemaker", "hint", "02").out == "lab 02 has no hints\n"


def test_the_reference_is_shown_after_a_pass(learner: Any) -> None:
    """Before, only with --reveal; a copy that the learner changed is not overwritten."""
    before = learner.types("stagemaker", "solve", "01")
    assert before.code == 1
    assert "--reveal" in before.out
    learner.copies("solution.py")
    assert learner.types("pytest", "labs/01").code == 0
    assert learner.types("stagemaker", "hint", "01", "--all").out.endswith("the reference: stagemaker solve 01\n")
    after = learner.types("stagemaker", "solve", "01")
    assert after.code == 0
    assert '"""The reference."""' in after.out
    copy = learner.work / "solution.py"
    assert copy.read_text() == (learner.work / "lab.py").read_text()
    copy.write_text("mine\n")
    assert "with changes" in learner.types("stagemaker", "solve", "01", "--reveal").out
    assert copy.read_text() == "mine\n"


def test_reset_deletes_nothing(learner: Any) -> None:
    """The work is moved aside, twice in a second too, and the starter is back."""
    learner.writes("first = 1\n")
    for _ in range(2):
        assert learner.types("stagemaker", "reset", "01").code == 0
        assert (learner.work / "lab.py").read_text() == (learner.work.parent / "starter.py").read_text()
    kept = sorted(learner.work.parent.glob("work.*"))
    assert len(kept) == 2
    assert (kept[0] / "lab.py").read_text() == "first = 1\n"


def test_reset_clears_the_account_of_a_stage_that_runs(learner: Any) -> None:
    """The scene is struck as administrator; without a stage, or with another target's, it says what is still there."""
    scene = learner.course / "labs" / "02-other" / "scene.py"
    scene.write_text(scene.read_text().split("def set")[0] + "def strike" + scene.read_text().split("def strike")[1])
    left = learner.account / "scene"
    left.write_text("")
    learner.types("pytest", "labs/02")
    (learner.state / "running").rename(learner.state / "stopped")
    without = learner.types("stagemaker", "reset", "02")
    assert without.code == 1
    assert "to clear it: stagemaker up, then: stagemaker reset 02" in without.out
    assert left.exists()
    (learner.state / "stopped").rename(learner.state / "running")
    assert learner.types("stagemaker", "reset", "02", "--target", "localstack").code == 6
    assert left.exists()
    cleared = learner.types("stagemaker", "reset", "02")
    assert (cleared.code, cleared.out.splitlines()[-1]) == (0, "what the lab made in the account is deleted")
    assert not left.exists()
    broken = learner.types("stagemaker", "reset", "02")
    assert broken.code == 6
    assert "could not be struck" in broken.out
    scene.write_text("sett = 1\n")
    assert "no function `set` and none `strike`" in learner.types("stagemaker", "reset", "02").out


def test_the_map(learner: Any, same_as_kept: Any) -> None:
    """One line for each lab with state and minutes; the exams are left to `start`."""
    learner.copies("wrong/as_text.py")
    learner.types("pytest", "labs/01")
    same_as_kept("map", learner.types("stagemaker", "map").out)
    learner.copies("solution.py")
    learner.types("pytest", "labs/01")
    assert "passed" in learner.types("stagemaker", "map").out


def test_commands_of_the_stage_are_handed_on(learner: Any) -> None:
    """With all their words, unchanged, and the stage's exit code."""
    assert learner.types("stagemaker", "status", "--json").out == "the stage was asked: status --json\n"
    (learner.state / "running").unlink()
    assert learner.types("stagemaker", "env").code == 3


def test_wrong_usage(learner: Any) -> None:
    """No command, an unknown one, and a lab's command outside a lab's folder."""
    alone = learner.types("stagemaker")
    assert (alone.code, alone.out) == (2, learner.types("stagemaker", "--help").out)
    assert all(f"\n  {name} " in alone.out for name in cli.STAGE_COMMANDS)
    assert learner.types("stagemaker", "dance").code == 2
    nowhere = learner.types("stagemaker", "hint")
    assert nowhere.code == 6
    assert "the number of a lab: 01, 02" in nowhere.out


def test_what_comes_after_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The commands that begin the lab; the environment is entered first where `stagemaker` is not on the path."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a b"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.next_step("03") == ". 'a b'/bin/activate && stagemaker start 03"
    (tmp_path / "stagemaker").touch(mode=0o755)
    assert demo.next_step("03") == "stagemaker start 03"


def test_outside_any_course(learner: Any, tmp_path: Path) -> None:
    """The card says how to name the course; STAGEMAKER_COURSE does."""
    (tmp_path / "elsewhere").mkdir()
    lost = learner.types("stagemaker", "map", here=str(tmp_path / "elsewhere"))
    assert lost.code == 6
    assert "STAGEMAKER_COURSE" in lost.out
    named = learner.with_variables({"STAGEMAKER_COURSE": str(learner.course)})
    assert "Toy numbers" in named.types("stagemaker", "map", here=str(tmp_path / "elsewhere")).out


def test_a_stage_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message holds the exact command that installs it, and the variable that names one elsewhere."""
    monkeypatch.delenv(stage.COMMAND_VARIABLE, raising=False)
    monkeypatch.setattr(stage, "SERVER_NEEDS", ("json", "no_such_server"))
    with pytest.raises(Problem) as problem:
        stage.require()
    assert problem.value.card.found == "no no_such_server"
    assert 'pip install "stagemaker[stage,labs]"' in problem.value.card.next
    assert stage.COMMAND_VARIABLE in problem.value.card.next


def test_a_course_that_came_with_a_wheel(learner: Any, tmp_path: Path) -> None:
    """The labs are found in the package, inside a virtual environment, and the work is done in ./labs-work."""
    site = tmp_path / "home" / ".venv" / "lib" / "site"
    shutil.copytree(HARNESS, site / "stagemaker_labs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(learner.course, site / "stagemaker_labs" / "course_files")
    (tmp_path / "home" / ".venv" / "pyvenv.cfg").touch()
    installed = learner.with_variables({"PYTHONPATH": str(site)})
    (learner.account / "numbers.json").write_text("[1, 2, 3]")
    seen = installed.types("pytest", "labs/01", here=str(tmp_path / "home"), fresh=True)
    assert seen.code == 0, seen.out
    assert "made labs-work/01-toy/lab.py from the starter" in seen.out
    (tmp_path / "home" / "deeper").mkdir()
    assert (
        "was left as it is"
        in installed.types("stagemaker", "start", "1", here=str(tmp_path / "home" / "deeper"), fresh=True).out
    )
    assert not (site / "stagemaker_labs" / "course_files" / "labs" / "01-toy" / "work").exists()


def test_the_bill_is_told_lab_by_lab(learner: Any) -> None:
    """The stage knows no labs: it is told how the names of each lab's jobs begin, or of which lab alone."""
    seen = learner.types("stagemaker", "bill", "--json")
    assert seen.code == 0
    assert seen.out.startswith("the stage was asked: bill --group ann-lab01=lab 01 ")
    assert seen.out.endswith(" --json\n")
    one = learner.types("stagemaker", "bill", "01", "--target", "localstack")
    assert one.out == "the stage was asked: bill --only ann-lab01 --target localstack\n"
    assert learner.types("stagemaker", "bill", "77").code == 6
