"""What authors' tests use: a lab run with a given file, and its wrong works."""

from __future__ import annotations

from typing import Any

import pytest

from stagemaker_labs import proof
from stagemaker_labs.verdict import Outcome, RunState


def test_the_proof_of_the_toy_lab(learner: Any) -> None:
    """The starter fails, the wrong work fails at its check with its words, the reference then passes in one account."""
    lab, work, env = learner.course / "labs" / "01-toy", learner.state / "work", learner.environment()
    starter = proof.prove(lab, lab / "starter.py", work=work, env=env)
    assert starter.exit_code == 1
    assert starter.verdict is not None
    assert starter.verdict.run.state is RunState.STARTER
    (wrong,) = proof.wrong_works(lab)
    failed = proof.prove(lab, wrong.file, work=work, env=env)
    assert failed.verdict is not None
    assert failed.verdict.check(wrong.check).outcome is Outcome.FAILED
    assert all(words in failed.card_text(wrong.check) for words in wrong.words)
    passed = proof.prove(lab, lab / "author" / "solution.py", work=work, env=env)
    assert (passed.exit_code, proof.prove(lab, None, work=work, env=env).verdict.run.state) == (0, RunState.UNCHANGED)  # type: ignore[union-attr]  # it was judged
    assert not learner.work.exists()
    with pytest.raises(KeyError):
        passed.card_text(wrong.check)


def test_scenes_are_played(learner: Any) -> None:
    """Set and strike, on the stage that the environment names."""
    lab, work, env = learner.course / "labs" / "02-other", learner.state / "work", learner.environment()
    assert proof.play(lab, "set", work=work, env=env).returncode == 0
    assert (learner.account / "scene").read_text() == "ADMIN\n"
    assert proof.play(lab, "strike", work=work, env=env).returncode == 0
    again = proof.play(lab, "strike", work=work, env=env)
    assert again.returncode == 6
    assert "the lab's scene could not be struck" in again.stdout
    assert "FileNotFoundError" in again.stdout


def test_a_wrong_work_without_its_lines(learner: Any) -> None:
    """An author who forgets them is told which file."""
    lab = learner.course / "labs" / "01-toy"
    (lab / "author" / "wrong" / "silent.py").write_text('"""Wrong."""\n')
    with pytest.raises(ValueError, match=r"silent\.py: the docstring needs"):
        proof.wrong_works(lab)
