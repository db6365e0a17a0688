"""`pytest labs/01` as a learner uses it, day by day."""

from __future__ import annotations

import json
import stat
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from stagemaker_labs import progress
from stagemaker_labs.verdict import Outcome, RunState, Verdict, from_json

ORDINARY_TEST = """\
import sys


def test_ordinary():
    \"\"\"Nothing of the workbench is loaded beside its door.\"\"\"
    ours = {name for name in sys.modules if name.startswith("stagemaker_labs")}
    assert ours == {"stagemaker_labs", "stagemaker_labs.plugin"}
    assert not {"rich", "boto3", "tomllib"} & set(sys.modules)
"""


def judged(learner: Any, *words: str, here: str = ".", fresh: bool = False) -> Verdict:
    """The verdict of one run, after a look at its exit code."""
    file = learner.state / "verdict.json"
    file.unlink(missing_ok=True)
    seen = learner.types("pytest", *words, "--verdict-json", str(file), here=here, fresh=fresh)
    (verdict,) = from_json(file.read_text())
    assert seen.code == verdict.exit_code
    return verdict


def outcomes(verdict: Verdict) -> list[str]:
    """What became of the checks, in order."""
    return [check.outcome.value for check in verdict.checks]


def test_the_untouched_starter(learner: Any, same_as_kept: Any) -> None:
    """The first run makes work/ from the starter, does not run it, checks the account and fails."""
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    assert (learner.work / "lab.py").read_text() == (learner.work.parent / "starter.py").read_text()
    same_as_kept("starter", seen.out)


def test_a_wrong_work_then_the_reference(learner: Any, same_as_kept: Any) -> None:
    """The wrong work fails at its own check with its card; the reference then passes in the same account."""
    learner.copies("wrong/as_text.py")
    wrong = learner.types("pytest", "labs/01")
    assert wrong.code == 1
    same_as_kept("wrong-work", wrong.out)
    learner.copies("solution.py")
    right = learner.types("pytest", "labs/01")
    assert right.code == 0
    same_as_kept("passes", right.out)


def test_nothing_runs_again_unless_something_changed(learner: Any, same_as_kept: Any) -> None:
    """The file runs again for a change in it, beside it, in the data or of the stage, and when asked to."""
    learner.copies("solution.py")
    learner.writes((learner.work / "lab.py").read_text() + "\nopen('written.txt', 'w').write('by the run')\n")
    assert judged(learner, "labs/01").run.state is RunState.RAN
    again = learner.types("pytest", "labs/01")
    assert again.code == 0
    same_as_kept("unchanged", again.out)
    (learner.work / "helper.py").write_text("x = 1\n")
    assert judged(learner, "labs/01").run.state is RunState.RAN
    (learner.course / "datasets" / "tiny" / "rows.csv").write_text("1\n5\n")
    assert judged(learner, "labs/01").run.state is RunState.RAN
    (learner.state / "id").write_text("second")
    assert judged(learner, "labs/01").run.state is RunState.RAN
    assert judged(learner, "labs/01").run.state is RunState.UNCHANGED
    assert judged(learner, "labs/01", "--rerun").run.state is RunState.RAN


def test_an_unchanged_file_is_checked_anew(learner: Any) -> None:
    """The account is asked each time: what was broken since the last run is found."""
    learner.copies("solution.py")
    assert judged(learner, "labs/01").outcome is Outcome.PASSED
    (learner.account / "numbers.json").write_text("[1]")
    verdict = judged(learner, "labs/01")
    assert verdict.run.state is RunState.UNCHANGED
    assert verdict.check("test_sum").outcome is Outcome.FAILED
    assert verdict.check("test_sum").card.found == "they add up to 1"  # type: ignore[union-attr]  # it failed


def test_a_failed_run_is_tried_again(learner: Any) -> None:
    """What stopped the file may have been mended in the account, so it runs again unchanged."""
    learner.writes("import os, pathlib\n(pathlib.Path(os.environ['AWS_TOY_ACCOUNT']) / 'gate').read_text()\n")
    assert judged(learner, "labs/01").run.outcome is Outcome.FAILED
    (learner.account / "gate").write_text("open")
    assert judged(learner, "labs/01").run.outcome is Outcome.PASSED


def test_no_run(learner: Any) -> None:
    """--no-run only asks the account, and work that was done another way passes, even when lab.py is gone."""
    learner.copies("solution.py")
    assert judged(learner, "labs/01", "--no-run").run.state is RunState.NOT_ASKED
    assert not (learner.account / "numbers.json").exists()
    (learner.account / "numbers.json").write_text("[1, 2, 3]")
    assert judged(learner, "labs/01", "--no-run").outcome is Outcome.PASSED
    (learner.work / "lab.py").rename(learner.work / "notebook.py")
    missing = judged(learner, "labs/01")
    assert (missing.run.state, missing.outcome) == (RunState.MISSING, Outcome.PASSED)


def test_what_the_file_is_given(learner: Any) -> None:
    """Exactly the target's variables, LAB_*, PATH, HOME and locale; nothing else of the shell's."""
    learner.writes(
        "import json, os, pathlib, sys\n"
        "told = {'env': dict(os.environ), 'path': sys.path[0], 'argv': sys.argv, 'cwd': os.getcwd(),\n"
        "        'name': __name__, 'file': __file__, 'data': sorted(map(str, pathlib.Path(os.environ['LAB_DATA'])"
        ".rglob('*.*')))}\n"
        "pathlib.Path(os.environ['AWS_TOY_ACCOUNT'], 'told').write_text(json.dumps(told))\n"
    )
    shell = learner.with_variables({"AWS_PROFILE": "real", "AWS_SESSION_TOKEN": "real", "MY_SECRET": "x"})
    judged(shell, "labs/01")
    told = json.loads((learner.account / "told").read_text())
    given = told["env"]
    assert set(given) == {
        *("PATH", "HOME", "LC_ALL"),
        *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("AWS_EC2_METADATA_DISABLED", "AWS_TOY_ACCOUNT"),
        *("LAB_TARGET", "LAB_PREFIX", "LAB_BUCKET", "LAB_RUN", "LAB_ROLE_ARN", "LAB_DATA"),
    }
    assert given["LAB_PREFIX"] == "ann-lab01"
    assert given["LAB_BUCKET"] == "ann-lab01-123456789012-us-east-1"
    assert given["LAB_TARGET"] == "local"
    assert given["AWS_ACCESS_KEY_ID"] == "LEARNER"
    file = str(learner.work / "lab.py")
    assert (told["path"], told["cwd"], told["name"]) == (str(learner.work), str(learner.work), "__main__")
    assert (told["file"], told["argv"]) == (file, [file])
    assert [Path(name).name for name in told["data"]] == ["README.md", "rows.csv"]


def test_the_file_for_editors(learner: Any) -> None:
    """`.env` holds the same variables, for the learner's eyes only, and does not count as a change."""
    learner.copies("solution.py")
    judged(learner, "labs/01")
    file = learner.work / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "LAB_PREFIX='ann-lab01'" in file.read_text()
    assert "PATH" not in file.read_text()
    assert judged(learner, "labs/01").run.state is RunState.UNCHANGED


def test_checks_do_not_see_the_keys_of_the_shell(learner: Any) -> None:
    """A check that makes a client of its own gets the target's variables, not the shell's."""
    checks = learner.work.parent / "checks.py"
    checks.write_text(
        "import os\n\ndef test_keys():\n    assert not {'AWS_PROFILE', 'AWS_SESSION_TOKEN'} & set(os.environ)\n"
        "    assert os.environ['AWS_ACCESS_KEY_ID'] == 'LEARNER'\n"
    )
    shell = learner.with_variables({"AWS_PROFILE": "real", "AWS_ACCESS_KEY_ID": "real", "AWS_SESSION_TOKEN": "real"})
    assert judged(shell, "labs/01").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["labs/01", "-k", "numbers"], ["test_numbers"]),
        (["labs/01::test_there"], ["test_there"]),
        (["labs/01", "-x"], ["test_there", "test_numbers"]),
    ],
)
def test_a_part_of_the_checks(learner: Any, words: list[str], asked: list[str]) -> None:
    """Options that leave checks out work, and such a verdict counts as no attempt."""
    learner.copies("wrong/as_text.py")
    verdict = judged(learner, *words)
    assert [check.name for check in verdict.checks] == asked
    assert verdict.unasked == 4 - len(asked)
    assert progress.load(learner.work / ".stagemaker").attempts == 0


def test_a_check_whose_prerequisite_was_left_out(learner: Any) -> None:
    """It is skipped, and so is what stands on it, with the check that was not asked: nobody knows whether it passes."""
    learner.copies("wrong/as_text.py")
    for words in (["labs/01", "-k", "sum or order"], ["labs/01::test_sum", "labs/01::test_order"]):
        verdict = judged(learner, *words)
        assert outcomes(verdict) == ["skipped", "skipped"]
        assert {check.reason for check in verdict.checks} == {
            "needs: every entry of the list is a number, which was not asked"
        }
    learner.copies("solution.py")
    assert outcomes(judged(learner, "labs/01", "-k", "numbers or sum")) == ["passed", "passed"]


@pytest.mark.parametrize(("words", "here"), [(["labs"], "."), (["./labs/"], "."), ([], "labs"), (["."], "labs")])
def test_the_folder_of_all_labs(learner: Any, words: list[str], here: str) -> None:
    """It is no lab: the message says how to name one, and nothing is made."""
    seen = learner.types("pytest", *words, here=here)
    assert seen.code == pytest.ExitCode.USAGE_ERROR
    assert "pytest labs/01 labs/02" in " ".join(seen.out.split())
    assert not learner.work.exists()


def test_options_of_pytest(learner: Any) -> None:
    """--co runs nothing; -v adds the classic lines; -q leaves the chatter out; -s shows the output as it comes."""
    learner.copies("solution.py")
    listed = learner.types("pytest", "labs/01", "--co", "-q")
    assert listed.out.splitlines()[0] == "labs/01-toy/checks.py::test_there"
    assert not (learner.account / "numbers.json").exists()
    classic = learner.types("pytest", "labs/01", "-v").out
    assert "labs/01-toy/checks.py::test_sum PASSED" in classic
    assert "4 passed" in classic.splitlines()[-1]
    shown = learner.types("pytest", "labs/01", "-s", "--rerun").out
    assert "wrote 3 numbers in run" in shown
    quiet = learner.types("pytest", "labs/01", "-q").out
    assert quiet.startswith("Lab 01")
    assert learner.types("pytest", "labs/01", "-p", "no:terminal").out == ""


def test_junit_tells_failures_from_errors(learner: Any) -> None:
    """What falls short is a failure, even when a fixture found it; what could not be checked is an error."""
    (learner.state / "variables.json").write_text('{"AWS_TOY_WAY": "fault"}')
    learner.types("pytest", "labs/01", "labs/02", "--junitxml", "junit.xml")
    suite = ET.parse(learner.course / "junit.xml").getroot()[0]  # noqa: S314  written by our own run
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["test_there"] == ["failure"]
    assert cases["test_numbers"] == ["skipped"]
    assert cases["test_first"] == ["error"]
    assert cases["test_second"] == []
    message = next(case for case in suite if case.get("name") == "test_there")[0].text or ""
    assert "no numbers.json" in message
    assert "Traceback" not in message


def test_several_labs_in_one_run(learner: Any) -> None:
    """Each lab has its verdict, in the order of the arguments; the exit code is the worst."""
    learner.copies("solution.py")
    seen = learner.types("pytest", "labs/02", "labs/01", "--verdict-json", "all.json")
    assert seen.code == 0
    assert seen.out.index("Lab 02") < seen.out.index("Lab 01")
    verdicts = from_json((learner.course / "all.json").read_text())
    assert [verdict.number for verdict in verdicts] == ["02", "01"]
    (learner.state / "variables.json").write_text('{"AWS_TOY_WAY": "fault"}')
    assert learner.types("pytest", "labs/01", "labs/02").code == 6


@pytest.mark.parametrize(
    ("words", "here"),
    [
        (["labs/1"], "labs/01-toy/author"),
        (["labs/toy"], "datasets"),
        ([], "labs/01-toy"),
        (["checks.py"], "labs/01-toy"),
    ],
)
def test_a_lab_is_found_from_any_folder(learner: Any, words: list[str], here: str) -> None:
    """By number or name from anywhere in the course; without a name in the lab's own folder."""
    (learner.account / "numbers.json").write_text("[1, 2, 3]")
    assert judged(learner, *words, here=here).outcome is Outcome.PASSED


def test_the_lab_here_beside_a_file_that_exists(learner: Any) -> None:
    """The value of an option of ours is no path to test, even when such a file is there."""
    (learner.account / "numbers.json").write_text("[1, 2, 3]")
    for _ in range(2):
        assert learner.types("pytest", "--verdict-json", "v.json", here="labs/01-toy").code == 0


def test_the_settings_of_a_project_do_not_disturb(learner: Any) -> None:
    """Neither its addopts, test paths and patterns, nor warnings that it makes errors."""
    (learner.course / "pytest.ini").write_text(
        "[pytest]\naddopts = --no-such-option -x\ntestpaths = nowhere\npython_functions = nothing_*\n"
        "filterwarnings =\n    error\nnorecursedirs = labs\n"
    )
    checks = learner.work.parent / "checks.py"
    checks.write_text("import warnings\n" + checks.read_text() + "\n\ndef test_warns():\n    warnings.warn('old')\n")
    learner.copies("solution.py")
    assert outcomes(judged(learner, "labs/01", fresh=True)) == ["passed"] * 5


def test_other_projects_pay_nothing(learner: Any, tmp_path: Path) -> None:
    """Where no lab is named the plugin adds no option and loads nothing: another one may call its option --target."""
    other = tmp_path / "other"
    (other / "labs" / "03").mkdir(parents=True)
    (other / "test_ordinary.py").write_text(ORDINARY_TEST)
    (other / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--target')\n")
    for words in (["--target", "x", "-q"], ["labs", "test_ordinary.py", "-q"], ["labs/03", "test_ordinary.py"]):
        seen = learner.types("pytest", *words, here=str(other), fresh=True)
        assert seen.code == 0, seen.out
        assert "1 passed" in seen.out


def test_the_plugin_is_found_by_its_entry_point(learner: Any) -> None:
    """As installed, without naming it, and beside the plugins of others."""
    normal = learner.with_variables({"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""})
    (learner.account / "numbers.json").write_text("[1, 2, 3]")
    assert judged(normal, "labs/01", "--durations=1", fresh=True).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["labs/01", "datasets"], "datasets is no lab: run labs and other tests apart"),
        (["labs/01", "--target", "aws"], "target aws is not served yet"),
        (["labs/01", "--target", "moon"], "one of local, localstack, aws"),
        (["labs/01", "-n", "2", "-p", "xdist"], "leave out -n"),
    ],
)
def test_wrong_usage(learner: Any, words: list[str], message: str) -> None:
    """The exit code of wrong usage, one clear message, and nothing made."""
    seen = learner.types("pytest", *words)
    assert seen.code == pytest.ExitCode.USAGE_ERROR
    assert message in seen.out
    assert not learner.work.exists()


def test_the_scene_is_set_once_for_each_stage(learner: Any) -> None:
    """With the administrator's key, before the first checks on a stage, and again on another stage."""
    for _ in range(2):
        judged(learner, "labs/02")
    assert (learner.account / "scene").read_text() == "ADMIN\n"
    (learner.state / "id").write_text("second")
    judged(learner, "labs/02")
    assert (learner.account / "scene").read_text() == "ADMIN\n" * 2
    assert learner.types("stagemaker", "reset", "02").code == 0
    assert not (learner.account / "scene").exists()


def test_the_verdict_is_kept(learner: Any) -> None:
    """In the work folder, as it was shown, and progress beside it in words that a person can read."""
    learner.copies("wrong/as_text.py")
    verdict = judged(learner, "labs/01")
    hidden = learner.work / ".stagemaker"
    assert from_json((hidden / "verdict.json").read_text()) == [verdict]
    told = json.loads((hidden / "progress.json").read_text())
    assert (told["attempts"], told["last_outcome"], told["checks_passed"], told["checks"]) == (1, "failed", 1, 4)


def test_ascii(learner: Any, same_as_kept: Any) -> None:
    """Without UTF-8 the verdict is in ASCII, with words for the signs."""
    learner.copies("wrong/as_text.py")
    seen = learner.with_variables({"STAGEMAKER_ASCII": "1"}).types("pytest", "labs/01")
    assert seen.out.isascii()
    same_as_kept("ascii", seen.out)
    latin = learner.with_variables({"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}).types(
        "pytest", "labs/01", "-q", fresh=True
    )
    assert latin.out.isascii()
