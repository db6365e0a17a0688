"""The small parts: labs, courses, work folders, changes, verdicts as JSON."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from stagemaker_labs import course as courses
from stagemaker_labs import digest, lab, progress, stage, targets, text, workspace
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.stage import Environment
from stagemaker_labs.targets import Opened, Target
from stagemaker_labs.verdict import CheckResult, Outcome, Run, RunState, Verdict, from_json, to_json
from stagemaker_labs.workspace import Workspace

OPENED = Opened(
    Target.LOCAL,
    Environment({"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://x"}, "123456789012", "arn", "id"),
    started=False,
)


@pytest.fixture
def work(course: Path) -> Workspace:
    """The work folder of lab 01, not made yet."""
    return Workspace(lab.read(course / "labs" / "01-toy"), course / "labs" / "01-toy" / "work")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("title = ", "Invalid value"),
        ('title = "x"', "no `minutes`"),
        ('title="x"\nminutes=1\ncost_on_aws=0\ntasks=[]\nhints=[]\nhint=["x"]', "an unknown key `hint`"),
        ('title="x"\nminutes="1"\ncost_on_aws=0\ntasks=[]\nhints=[]', "`minutes` is '1'"),
        ('title="x"\nminutes=true\ncost_on_aws=0\ntasks=[]\nhints=[]', "`minutes` is True"),
        ('title="x"\nminutes=1\ncost_on_aws=0\ntasks=[1]\nhints=[]', "`tasks` is [1]"),
        ('title="x"\nminutes=1\ncost_on_aws=0\ntasks=[]\nhints=[]\n[exams]\nA="x"', "`exams.A` is 'x'"),
        ('title="x"\nminutes=1\ncost_on_aws=0\ntasks=[]\nhints=[]\n[held_back]\na=1', "`held_back` is"),
    ],
)
def test_a_lab_toml_that_cannot_be_used(tmp_path: Path, toml: str, words: str) -> None:
    """A key that is missing, unknown or of another type is refused by name."""
    folder = tmp_path / "labs" / "07-x"
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_text(toml)
    with pytest.raises(Problem) as problem:
        lab.read(folder)
    assert words in problem.value.card.found


def test_a_lab_as_its_folder_tells(course: Path) -> None:
    """Number and name come from the folder, the rest from lab.toml, with defaults where it says nothing."""
    toy = lab.read(course / "labs" / "01-toy")
    assert (toy.number, toy.slug, toy.title, toy.minutes, toy.time_limit) == ("01", "toy", "Toy numbers", 5, 3)
    assert toy.exams == {"MLA-C01": ("1.1", "1.2")}
    other = lab.read(course / "labs" / "02-other")
    assert (other.cost_on_aws, other.time_limit, other.data) == (0.0, lab.DEFAULT_TIME_LIMIT, ())
    (course / "labs" / "wrong_name").mkdir()
    (course / "labs" / "wrong_name" / "lab.toml").touch()
    with pytest.raises(Problem, match="wrong_name"):
        lab.read(course / "labs" / "wrong_name")


@pytest.mark.parametrize(
    "word", ["1", "01", "toy", "01-toy", "labs/01", "labs/01-toy", "labs/01-toy/checks.py", "./labs/1"]
)
def test_words_that_name_a_lab(course: Path, word: str) -> None:
    """Its number, its name, its folder, a file in it."""
    assert courses.resolve(word, course).folder == course / "labs" / "01-toy"


def test_a_number_counts_also_inside_another_lab(course: Path) -> None:
    """The folder where the learner stands does not win over the word; without a word it does."""
    inside = course / "labs" / "01-toy"
    assert courses.resolve("02", inside).number == "02"
    assert courses.here(inside / "author").number == "01"
    with pytest.raises(Problem, match="no lab was named"):
        courses.here(course)


def test_a_course_variable_that_names_no_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message holds the variable."""
    monkeypatch.setenv(courses.COURSE_VARIABLE, str(tmp_path))
    with pytest.raises(Problem) as problem:
        courses.locate(tmp_path)
    assert courses.COURSE_VARIABLE in problem.value.card.looked_at


def test_data_without_what_is_held_back(work: Workspace, course: Path) -> None:
    """The learner gets copies: neither held-back files nor how the data were made; what changed is laid out anew."""
    source = course / "datasets" / "tiny"
    (source / "secret.csv").write_text("secret")
    (source / "heldback-2.csv").write_text("secret")
    hiding = {"rest": "tiny/secret.csv"}
    object.__setattr__(work.lab, "held_back", hiding)
    work.create()
    work.lay_out_data()
    assert sorted(path.name for path in work.data.rglob("*") if path.is_file()) == ["README.md", "rows.csv"]
    copy = work.data / "tiny" / "rows.csv"
    copy.chmod(0o600)
    copy.write_text("spoilt")
    (work.data / "tiny" / "own.csv").write_text("x")
    work.lay_out_data()
    assert copy.read_text() == "1\n2\n3\n"
    assert (source / "rows.csv").read_text() == "1\n2\n3\n"
    assert not (work.data / "tiny" / "own.csv").exists()


@pytest.mark.parametrize(
    ("user", "prefix"),
    [
        ("ann", "ann-lab01"),
        ("Ann.Müller_2", "ann-m-ller-2-lab01"),
        ("--", "learner-lab01"),
        ("x" * 40, "x" * 20 + "-lab01"),
    ],
)
def test_names_that_aws_accepts(work: Workspace, monkeypatch: pytest.MonkeyPatch, user: str, prefix: str) -> None:
    """Whatever the user is called, prefix and bucket are lower case letters, digits and hyphens, 63 at most."""
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    told = work.lab_variables(OPENED)
    assert told["LAB_PREFIX"] == prefix
    assert told["LAB_BUCKET"] == f"{prefix}-123456789012-us-east-1"
    assert len(told["LAB_BUCKET"]) <= 63


def test_a_user_without_a_name(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user id may have none."""

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert work.lab_variables(OPENED)["LAB_PREFIX"] == "learner-lab01"


def test_each_run_has_a_new_name() -> None:
    """Short, growing, and new even when two runs follow at once or the clock went back."""
    first = workspace.new_run("")
    second = workspace.new_run(first)
    assert first < second
    future = "zzzzzzy"
    assert workspace.new_run(future) == "zzzzzzz"
    assert len(first) == 7


def test_the_work_folder_named_by_the_variable(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """STAGEMAKER_WORK is the work folder itself; an empty one gets the starter."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv(workspace.WORK_VARIABLE, str(tmp_path / "own"))
    named = workspace.of_lab(work.lab)
    assert named.create()
    assert (tmp_path / "own" / "lab.py").is_file()
    assert not named.create()


def test_what_counts_as_a_change(tmp_path: Path) -> None:
    """Content, new and removed files do; times, byte code, .env and our own folder do not."""
    (tmp_path / "lab.py").write_text("1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1")
    before = digest.manifest(tmp_path, skip=".ours")
    os.utime(tmp_path / "lab.py", (1, 1))
    for name in ("__pycache__/lab.pyc", ".ours/y", ".env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("new")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert digest.changed(before, digest.manifest(tmp_path, skip=".ours")) == []
    (tmp_path / "lab.py").write_text("2")
    (tmp_path / "data" / "x.csv").unlink()
    (tmp_path / "data" / ".ours").mkdir()
    (tmp_path / "data" / ".ours" / "z").write_text("counts: only the top folder is ours")
    after = digest.manifest(tmp_path, skip=".ours")
    assert digest.changed(before, after) == ["data/.ours/z", "data/x.csv", "lab.py"]


def test_a_file_that_was_edited_while_it_ran(tmp_path: Path) -> None:
    """What a run writes belongs to it, but Python files count as they were when it began."""
    (tmp_path / "lab.py").write_text("old")
    (tmp_path / "answers.toml").write_text("old")
    before = digest.manifest(tmp_path)
    for name in ("lab.py", "answers.toml", "made.py"):
        (tmp_path / name).write_text("new")
    ran_with = digest.after_run(before, digest.manifest(tmp_path))
    assert digest.changed(ran_with, digest.manifest(tmp_path)) == ["lab.py"]


def test_large_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same size and time are trusted from a size on where reading takes long."""
    monkeypatch.setattr(digest, "TRUST_TIMES_FROM", 4)
    for name, content in (("large", "12345"), ("small", "123")):
        (tmp_path / name).write_text(content)
        os.utime(tmp_path / name, (1, 1))
    before = digest.manifest(tmp_path)
    for name, content in (("large", "54321"), ("small", "321")):
        (tmp_path / name).write_text(content)
        os.utime(tmp_path / name, (1, 1))
    assert digest.changed(before, digest.manifest(tmp_path, before)) == ["small"]
    assert digest.changed(before, digest.manifest(tmp_path)) == ["large", "small"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"last_runs": {}, "x": 1}', '{"last_runs": {}, "last_run_id": "?"}']
)
def test_progress_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """It is only a memory: a spoilt file counts as none."""
    (tmp_path / progress.PROGRESS_FILE).write_text(content)
    assert progress.load(tmp_path) == progress.Progress()


def a_verdict(*outcomes: Outcome, run: Outcome = Outcome.PASSED, unasked: int = 0) -> Verdict:
    """A verdict of checks that came out so."""
    checks = tuple(CheckResult(f"test_{n}", f"check {n}", outcome) for n, outcome in enumerate(outcomes))
    ran = Run(RunState.RAN, run, "work/lab.py ran in 1 s", 1.0, Card("a", detail=("x",)), ("out",), 1)
    return Verdict(
        "03", "x", "X", "local", "real", ran, checks, "2026-11-01T00:00:00+00:00", 1.5, 0.02, unasked, ("n",)
    )


P, F, S, E = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED, Outcome.ERROR


@pytest.mark.parametrize(
    ("checks", "run", "outcome", "exit_code"),
    [
        ((P, P), P, P, 0),
        ((P, S), S, P, 0),
        ((P, F, S), P, F, 1),
        ((P, P), F, F, 1),
        ((P, E), P, E, 6),
        ((F, E), P, E, 6),
        ((P, P), E, E, 6),
        ((S, S), S, S, 0),
    ],
)
def test_what_a_verdict_comes_to(checks: tuple[Outcome, ...], run: Outcome, outcome: Outcome, exit_code: int) -> None:
    """An error is not a failure, and where there is one there is no judgement; a failed run fails the lab."""
    verdict = a_verdict(*checks, run=run)
    assert (verdict.outcome, verdict.exit_code) == (outcome, exit_code)


def test_a_verdict_survives_json() -> None:
    """Nothing is lost on the way, and another format is refused."""
    verdict = a_verdict(P, F, E)
    assert from_json(to_json([verdict, verdict])) == [verdict, verdict]
    for spoilt in (to_json([verdict]).replace('"format": 1', '"format": 2'), "[]", '{"format": 1}', "{"):
        with pytest.raises(ValueError, match=r"format|verdict|Expecting"):
            from_json(spoilt)


def test_only_whole_judgements_count_as_attempts() -> None:
    """A verdict that could not check, or that left checks out, changes no progress."""
    fresh = progress.Progress()
    assert fresh.with_verdict(a_verdict(P, E)) == fresh
    assert fresh.with_verdict(a_verdict(P, unasked=1)) == fresh
    failed = fresh.with_verdict(a_verdict(P, F))
    assert (failed.attempts, failed.state, failed.first_passed) == (1, "1 of 2", "")
    passed = failed.with_verdict(a_verdict(P, P))
    assert (passed.attempts, passed.state) == (2, "passed")
    assert passed.with_verdict(a_verdict(F, F)).state == "passed before"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("import sys; sys.exit('stagemaker: the state folder is newer')", "the state folder is newer"),
        ("print('{}')", "KeyError('STAGEMAKER_ACCOUNT')"),
        ("print('nonsense')", "an answer that cannot be used"),
    ],
)
def test_a_stage_that_gives_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, words: str
) -> None:
    """A command that fails in another way than `no stage`, or says what cannot be used, is a problem with its words."""
    (tmp_path / "stage.py").write_text(said + "\n")
    monkeypatch.setenv(stage.COMMAND_VARIABLE, f"python3 {tmp_path / 'stage.py'}")
    with pytest.raises(Problem) as problem:
        stage.environment()
    assert words in problem.value.card.found
    monkeypatch.setenv(stage.COMMAND_VARIABLE, str(tmp_path / "no-such-command"))
    with pytest.raises(Problem, match="the stage could not be asked"):
        stage.environment()


def test_a_stage_that_starts_and_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` says that all is well, and `env` still finds none."""
    (tmp_path / "stage.py").write_text("import sys\nsys.exit(3 if sys.argv[1] == 'env' else 0)\n")
    monkeypatch.setenv(stage.COMMAND_VARIABLE, f"python3 {tmp_path / 'stage.py'}")
    said: list[str] = []
    with pytest.raises(Problem, match="the stage does not answer"):
        targets.open_target(Target.LOCAL, starting=lambda: said.append("starting"))
    assert said == ["starting"]


def test_text_is_safe_to_show() -> None:
    """Control sequences, carriage returns and direction marks cannot change the screen."""
    assert (
        text.one_line("a\x1b[2Jb\x1b]0;title\x07c\r\nd\te\u202ef\x00")
        == "abc d e\N{REPLACEMENT CHARACTER}f\N{REPLACEMENT CHARACTER}"
    )
    assert text.one_line("x" * 500) == "x" * 399 + "…"
    assert text.one_line("x " + " " * 10_000_000) == "x…"
    assert text.ascii_only("é \N{EN DASH} ≥ … │─┌ 日") == r"e - >= ... |-+ \u65e5"
    assert (text.plural(1, "row"), text.plural(1200, "row")) == ("1 row", "1,200 rows")
    assert [text.duration(s) for s in (0.0, 0.04, 0.94, 1.2, 59.6, 125)] == [
        *("0.0 s", "0.1 s", "1.0 s", "1 s", "1 min 0 s", "2 min 5 s"),
    ]
