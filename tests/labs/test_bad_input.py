"""Bad input to the loop on a real stage: each gets a clear card, kept as a snapshot, and nothing is lost.

`SNAPSHOTS=write pytest tests/labs/test_bad_input.py` renews the snapshots.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagemaker.testing import RunningStage, start_stage
from stagemaker_labs.proof import prove

LAB = Path(__file__).parents[2] / "labs" / "03-builtin-xgboost"
SOLUTION = (LAB / "author" / "solution.py").read_text()
SNAPSHOTS = Path(__file__).parent / "snapshots"
PUT = 'Key=f"{name}/{name}.csv", Body=part.to_csv(header=False, index=False).encode()'

# What is changed in the reference: (text, replacement).
BAD: dict[str, tuple[str, str]] = {
    "csv_with_a_header": (PUT, PUT.replace("header=False", "header=True")),
    "csv_with_text": ('customers[flag] = (customers[flag] == "yes").astype(int)', "pass"),
    "csv_with_ragged_lines": (PUT, PUT + ' + b"1,2,3\\n"'),
    "csv_that_is_empty": (PUT, PUT.replace("part.to_csv(header=False, index=False).encode()", 'b""')),
    "unknown_hyperparameter": ('"num_round": "100",', '"num_round": "100", "n_estimators": "100",'),
    "bucket_that_does_not_exist": ('"S3Uri": f"s3://{bucket}/', '"S3Uri": f"s3://{bucket}-elsewhere/'),
    "role_that_does_not_exist": ("RoleArn=role,", 'RoleArn=role + "-of-nobody",'),
    "same_job_name_twice": ('job = f"{prefix}-{run}"', 'job = f"{prefix}-always"'),
    "key_that_leads_out": (PUT, PUT.replace("{name}.csv", "../{name}.csv")),
    "gpu_instance": ('"ml.m5.large"', '"ml.p3.2xlarge"'),
}
# Odd, and no mistake: the reference with other keys.
GOOD_KEYS = {
    "spaces": "{name}/a b/{name} 1.csv",
    "unicode": "{name}/ä/顧客.csv",
    # In as many folders as XGBoost looks into.
    "long": "{name}/" + "/".join(["d" * 250] * 2) + "/" + "x" * 230 + ".csv",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """One stage, emptied before each test."""
    stage = start_stage(tmp_path_factory.mktemp("state"))
    yield stage
    stage.stop()


def attempt(running: RunningStage, work: Path, source: str, times: int = 1) -> tuple[int, str]:
    """Run lab 03 with `source` as lab.py; exit code and screen."""
    file = work.with_name("changed.py")
    file.write_text(source)
    env = {"STAGEMAKER_STATE": str(running.folder.root), "USER": "learner", "LOGNAME": "learner"}
    for _ in range(times):
        proof = prove(LAB, file, work=work, env=env, arguments=["--rerun"])
    return proof.exit_code, proof.output


def settled(screen: str) -> str:
    """The verdict without what differs from run to run."""
    text = screen[screen.index("Lab 03") :]
    text = re.sub(r"(lab03-)[0-9a-z]{6,8}\b", r"\1RUN", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)
    return re.sub(r"\b\d+(\.\d)? s\b", "N s", text)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_a_clear_card(running: RunningStage, tmp_path: Path, name: str) -> None:
    """The learner's mistake fails the lab (exit 1), in words of its own, without a traceback of ours."""
    text, replacement = BAD[name]
    assert text in SOLUTION
    running.reset()
    twice = 2 if name == "same_job_name_twice" else 1
    code, screen = attempt(running, tmp_path / "work", SOLUTION.replace(text, replacement), twice)
    assert code == 1, screen
    assert "Traceback" not in screen
    snapshot = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SNAPSHOTS") == "write":
        SNAPSHOTS.mkdir(exist_ok=True)
        snapshot.write_text(settled(screen))
    assert settled(screen) == snapshot.read_text()


@pytest.mark.parametrize("name", GOOD_KEYS)
def test_odd_keys_are_no_mistake(running: RunningStage, tmp_path: Path, name: str) -> None:
    """Keys that S3 allows reach the container as files."""
    running.reset()
    key = PUT.replace("{name}/{name}.csv", GOOD_KEYS[name])
    code, screen = attempt(running, tmp_path / "work", SOLUTION.replace(PUT, key))
    assert code == 0, screen
