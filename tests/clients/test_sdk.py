"""The clients' environment: the SageMaker SDK and a current boto3, apart from the stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagemaker.testing import RunningStage, start_stage

ROOT = Path(__file__).parents[2]
LAB = ROOT / "labs" / "03-builtin-xgboost"


@pytest.fixture(scope="module")
def python() -> str:
    """The clients' interpreter, which `make test-clients` names."""
    named = os.environ.get("CLIENTS_PYTHON")
    if not named:
        pytest.skip("CLIENTS_PYTHON is not set: run these tests with `make test-clients`")
    return named


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RunningStage]:
    """A stage from the stage's own environment."""
    running = start_stage(tmp_path / "state")
    yield running
    running.stop()


def run(python: str, stage: RunningStage, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of the clients' environment; the stage's command is that of the other one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "STAGEMAKER_STAGE_COMMAND": f"{sys.executable} -m stagemaker",
        "STAGEMAKER_STATE": str(stage.folder.root),
        "SAGEMAKER_VALIDATE_ROLE": "true",
        **variables,
    }
    return subprocess.run([python, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_client_has_no_server(python: str, stage: RunningStage) -> None:
    """The light client brings no backing and no botocore pin, and says how to get a stage."""
    found = run(
        python, stage, "-c", "import boto3, importlib.util as u; print(boto3.__version__, u.find_spec('ministack'))"
    )
    version, backing = found.stdout.split()
    assert backing == "None"
    assert tuple(map(int, version.split("."))) > (1, 43, 106)
    told = run(python, stage, "-m", "stagemaker_labs.cli", "status", STAGEMAKER_STAGE_COMMAND="")
    assert told.returncode != 0
    assert "stagemaker[stage,labs]" in told.stdout + told.stderr


def test_lab_03_by_the_sdk(python: str, stage: RunningStage, tmp_path: Path) -> None:
    """The SDK's ModelTrainer passes every check: the same account, another way there."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "lab.py").write_bytes((LAB / "author" / "solution_sdk.py").read_bytes())
    verdict = tmp_path / "verdict.json"
    arguments = ["-m", "pytest", "labs/03", "--verdict-json", str(verdict), "-p", "no:cacheprovider"]
    done = run(python, stage, *arguments, STAGEMAKER_WORK=str(work))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(verdict.read_text())


HARD_WIRED = """
from sagemaker.core.helper.session_helper import Session
session = Session()
print(session.account_id(), session.default_bucket())
"""


def test_hard_wired_calls_of_the_sdk_stay_here(python: str, stage: RunningStage) -> None:
    """`Session().account_id()` and `default_bucket()` ask AWS's own STS host: the proxy answers."""
    words = ["-m", "stagemaker_labs.cli", "run", "--", python, "-c", HARD_WIRED]
    done = run(python, stage, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "123456789012 sagemaker-us-east-1-123456789012"
