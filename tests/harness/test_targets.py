"""Labs on target localstack: which stage is asked, and what the verdict then says."""

from __future__ import annotations

import json
from typing import Any


def test_a_lab_on_localstack(learner: Any) -> None:
    """The stage of that target is asked and started; the verdict and what it tells to type name the target."""
    (learner.state / "variables.json").write_text(json.dumps({"STAGEMAKER_BACKING": "localstack"}))
    (learner.state / "address").write_text((learner.state / "running").read_text())
    (learner.state / "running").unlink()
    seen = learner.types("pytest", "labs/01", "--target", "localstack")
    assert seen.code == 1, seen.out
    assert "target localstack" in seen.out
    assert "then: pytest labs/01 --target localstack" in seen.out
    assert "stagemaker down --target localstack stops it" in " ".join(seen.out.split())
    calls = (learner.state / "calls").read_text().splitlines()
    assert "up --target localstack" in calls
    assert all(call.startswith("env --target localstack --json") for call in calls if call.startswith("env"))


def test_the_stage_of_another_target(learner: Any) -> None:
    """Neither is taken for the other: the verdict would name the wrong one."""
    seen = learner.types("pytest", "labs/01", "--target", "localstack")
    assert seen.code == 6, seen.out
    assert "a stage whose backing is embedded" in seen.out
    (learner.state / "variables.json").write_text(json.dumps({"STAGEMAKER_BACKING": "localstack"}))
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 6, seen.out
    assert "a stage whose backing is localstack" in seen.out
    assert "unset STAGEMAKER_STATE" in seen.out
