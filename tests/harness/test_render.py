"""The verdict as a picture."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from stagemaker_labs import render
from stagemaker_labs.problem import Card
from stagemaker_labs.render import Page
from stagemaker_labs.text import clean, duration
from stagemaker_labs.verdict import CheckResult, Outcome, Run, RunState, Verdict, needs, to_json

TRAINING = CheckResult("a", "the training channel holds CSV without a header, label first", Outcome.PASSED)
QUALITY = CheckResult(
    "c",
    "customers that the model never saw are ranked well",
    Outcome.FAILED,
    card=Card(
        looked_at="s3://ann-lab03-123456789012-us-east-1/jobs/ann-lab03-88xcy2v/output/model.tar.gz, 1,000 customers",
        found="AUC 0.52",
        expected="AUC 0.88 or more",
        likely="the label is not the first column: column 1 of train.csv takes 51 values",
        next="write `churn` first, then: pytest labs/03",
    ),
)
VERDICT = Verdict(
    number="03",
    slug="builtin-xgboost",
    title="Built-in XGBoost",
    target="local",
    fidelity="real training by XGBoost; no instance is started",
    run=Run(RunState.RAN, Outcome.PASSED, "work/lab.py ran in 9 s", 9.0),
    checks=(
        TRAINING,
        CheckResult("b", "the job ran on the built-in XGBoost image and completed", Outcome.PASSED),
        QUALITY,
        CheckResult("d", "the artifact belongs to that job", Outcome.SKIPPED, reason=needs(QUALITY.description)),
        CheckResult("e", "the metrics are those of the job", Outcome.SKIPPED, reason=needs(QUALITY.description)),
        CheckResult("f", "the endpoint is gone", Outcome.ERROR, card=Card(found="no answer")),
    ),
    started="2026-11-01T00:00:00+00:00",
    seconds=11.0,
    cost_on_aws=0.02,
    notes=("the stage was started for this and stays up; stagemaker down stops it",),
)


def screen(verdict: Verdict, page: Page) -> str:
    """The verdict without colour."""
    return render.to_text(render.verdict_lines(verdict, page), colour=False)


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("verdict", Page()),
        ("verdict-ascii", Page(ascii=True)),
        ("verdict-all-cards", Page(all_cards=True)),
        ("verdict-narrow", Page(width=40)),
    ],
)
def test_the_picture(same_as_kept: Any, name: str, page: Page) -> None:
    """Kept as it should look: at 80 columns, in ASCII, with every card, and in a narrow terminal."""
    seen = screen(VERDICT, page)
    assert all(len(line) <= page.width for line in seen.splitlines())
    assert seen.isascii() == page.ascii
    same_as_kept(name, seen)


def test_colour_says_nothing_of_its_own() -> None:
    """With the colours taken away the coloured picture is the plain one."""
    coloured = render.to_text(render.verdict_lines(VERDICT, Page()), colour=True)
    assert "\x1b[" in coloured
    assert clean(coloured) == screen(VERDICT, Page())


def test_what_others_wrote_cannot_break_the_picture() -> None:
    """Line ends, controls and very long words in a card stay inside it."""
    card = Card(looked_at="x" * 300, found="a\nb\x1b[2J", likely="日本" * 60, detail=("y" * 200, "\x1b[31mred"))
    verdict = dataclasses.replace(VERDICT, checks=(dataclasses.replace(QUALITY, card=card),))
    seen = screen(verdict, Page())
    assert "found      a b\n" in seen
    assert "\x1b" not in seen
    assert max(cell_len(line) for line in seen.splitlines()) == 80


@pytest.mark.parametrize(
    ("dollars", "words"), [(0, "free"), (0.004, "under $0.01"), (0.02, "about $0.02"), (12, "about $12.00")]
)
def test_what_it_would_have_cost(dollars: float, words: str) -> None:
    """In dollars and cents, and in words where cents say nothing."""
    assert f"on AWS {words}" in screen(dataclasses.replace(VERDICT, cost_on_aws=dollars), Page())


@pytest.mark.parametrize(
    ("state", "outcome", "shown"),
    [
        (RunState.RAN, Outcome.PASSED, True),
        (RunState.UNCHANGED, Outcome.SKIPPED, True),
        (RunState.RAN, Outcome.FAILED, False),
        (RunState.STARTER, Outcome.SKIPPED, False),
        (RunState.NOT_REACHED, Outcome.ERROR, False),
    ],
)
def test_work_that_did_not_run_has_cost_nothing(state: RunState, outcome: Outcome, shown: bool) -> None:
    """The cost is that of the lab's whole work: it is not told of a file that was not run to its end."""
    run = dataclasses.replace(VERDICT.run, state=state, outcome=outcome, card=None)
    assert ("on AWS" in screen(dataclasses.replace(VERDICT, run=run), Page())) is shown


@pytest.mark.parametrize(
    ("outcome", "unasked", "command"),
    [
        (Outcome.PASSED, 0, "stagemaker map"),
        (Outcome.PASSED, 2, "pytest labs/03"),
        (Outcome.FAILED, 0, "stagemaker hint 03"),
        (Outcome.ERROR, 0, "stagemaker status"),
    ],
)
def test_the_foot_names_one_command(outcome: Outcome, unasked: int, command: str) -> None:
    """What to do next depends on the outcome."""
    check = dataclasses.replace(TRAINING, outcome=outcome)
    verdict = dataclasses.replace(VERDICT, checks=(check,), unasked=unasked, notes=())
    assert screen(verdict, Page()).rstrip().endswith(command)


def test_the_drawing(tmp_path: Path) -> None:
    """The command draws the first verdict of a file as an SVG that refers to nothing outside."""
    told, drawn = tmp_path / "verdict.json", tmp_path / "verdict.svg"
    told.write_text(to_json([VERDICT]), encoding="utf-8")
    assert render.main(["--svg", str(drawn), str(told)]) == 0
    svg = drawn.read_text(encoding="utf-8")
    ET.fromstring(svg)  # noqa: S314  our own drawing
    assert "ranked" in svg
    assert not any(outside in svg for outside in ("url(http", "href", "@font-face", "@import"))
    assert svg == render.to_svg(VERDICT)
    words = duration(VERDICT.run.seconds)
    run = dataclasses.replace(VERDICT.run, note=VERDICT.run.note.replace(words, "7 min 7 s"), seconds=427.0)
    assert words in VERDICT.run.note
    assert svg == render.to_svg(dataclasses.replace(VERDICT, seconds=500.0, run=run))


def test_a_kept_verdict_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --svg it is printed; a file that is none is refused in one line."""
    told = tmp_path / "verdict.json"
    told.write_text(to_json([VERDICT]), encoding="utf-8")
    assert render.main([str(told)]) == 0
    assert "2 passed, 1 failed, 2 skipped, 1 could not be checked" in capsys.readouterr().out
    told.write_text("{}")
    assert render.main([str(told)]) == 1
    assert "no verdict" in capsys.readouterr().err
