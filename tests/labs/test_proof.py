"""The proof of every lab on a local target: starter, reference, wrong works, second attempts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stagemaker.testing import BACKING_VARIABLE, RunningStage, start_stage
from stagemaker_labs.proof import Proof, WrongWork, prove, wrong_works
from stagemaker_labs.verdict import Outcome

LABS = sorted(folder.parent for folder in (Path(__file__).parents[2] / "labs").glob("*/lab.toml"))
TARGET = ["--target", "localstack"] if BACKING_VARIABLE in os.environ else []
WRONG = [(lab, work) for lab in LABS for work in wrong_works(lab)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """A stage for all proofs; each begins with an empty account."""
    stage = start_stage(tmp_path_factory.mktemp("state"))
    yield stage
    stage.stop()


@dataclass(frozen=True, slots=True)
class Learner:
    """Somebody with a work folder and an account of their own."""

    stage: RunningStage
    work: Path

    def runs(self, lab: Path, file: Path | None, *arguments: str) -> Proof:
        """`pytest labs/NN` with `file` as lab.py."""
        env = {"STAGEMAKER_STATE": str(self.stage.folder.root)}
        return prove(lab, file, work=self.work, env=env, arguments=[*TARGET, *arguments])


@pytest.fixture
def learner(running: RunningStage, tmp_path: Path) -> Learner:
    """An empty account and no work yet."""
    running.reset()
    return Learner(running, tmp_path / "work")


def outcomes(proof: Proof) -> dict[str, Outcome]:
    """What became of each check."""
    assert proof.verdict is not None, proof.output
    return {check.name: check.outcome for check in proof.verdict.checks}


def names(lab: Path) -> str:
    """A test's id."""
    return lab.name


@pytest.mark.parametrize("lab", LABS, ids=names)
def test_untouched_starter_fails(learner: Learner, lab: Path) -> None:
    """The starter is not run, the account is looked at all the same, and the verdict says what to do first."""
    proof = learner.runs(lab, None)
    assert proof.exit_code == 1
    found = list(outcomes(proof).values())
    assert found[0] is Outcome.FAILED
    assert Outcome.PASSED not in found
    assert "still the starter" in proof.output


@pytest.mark.parametrize("lab", LABS, ids=names)
def test_reference_passes_and_a_second_run_changes_nothing(learner: Learner, lab: Path) -> None:
    """All checks pass; the second time the file is not run again and every check is asked anew."""
    first = learner.runs(lab, lab / "author" / "solution.py")
    assert first.exit_code == 0, first.output
    assert set(outcomes(first).values()) == {Outcome.PASSED}
    sagemaker = learner.stage.client("sagemaker")
    jobs = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    second = learner.runs(lab, None)
    assert second.exit_code == 0, second.output
    assert outcomes(second) == outcomes(first)
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == jobs


@pytest.mark.parametrize(("lab", "wrong"), WRONG, ids=[f"{lab.name}-{wrong.file.stem}" for lab, wrong in WRONG])
def test_wrong_work_fails_at_its_own_check_in_its_own_words(learner: Learner, lab: Path, wrong: WrongWork) -> None:
    """The first check that fails is the one that the work names, and its card holds the work's words."""
    proof = learner.runs(lab, wrong.file)
    assert proof.exit_code == 1, proof.output
    failed = [name for name, outcome in outcomes(proof).items() if outcome is Outcome.FAILED]
    assert failed[:1] == [wrong.check], proof.output
    card = " ".join(proof.card_text(wrong.check).split())
    for words in wrong.words:
        assert words in card


@pytest.mark.parametrize("lab", LABS, ids=names)
def test_reference_after_wrong_work_passes(learner: Learner, lab: Path) -> None:
    """Whoever got it wrong first passes in the same account: what is left over does not count against them."""
    for wrong in wrong_works(lab)[:2]:
        assert learner.runs(lab, wrong.file).exit_code == 1
    proof = learner.runs(lab, lab / "author" / "solution.py")
    assert proof.exit_code == 0, proof.output


def test_every_lab_has_wrong_works() -> None:
    """Six at least, and each says which check must fail and with which words."""
    assert LABS
    for lab in LABS:
        assert len(wrong_works(lab)) >= 6


def test_labs_run_from_any_folder(learner: Learner, tmp_path: Path) -> None:
    """`pytest labs/03` is resolved by the plugin, not by the folder one stands in."""
    import subprocess
    import sys

    root = LABS[0].parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "labs/03", "--co", "-q"],
        cwd=root / "datasets" / "churn",
        env={**os.environ, "STAGEMAKER_WORK": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "checks.py" in done.stdout
