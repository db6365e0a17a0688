"""The program as the launcher starts it: exit codes, streams, signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
import xgboost

from stagemaker.algorithms.xgboost import program
from stagemaker.contract.failure import FailureClass, read_failure

OptMl = Any  # the helper of conftest.py
COMMAND = [sys.executable, "-m", "stagemaker.algorithms.xgboost"]


def environment(opt_ml: OptMl) -> dict[str, str]:
    """What the launcher gives a process that has no /opt/ml of its own."""
    return {**os.environ, "SAGEMAKER_BASE_DIR": str(opt_ml.layout.base), "STAGEMAKER_CPUS": "1"}


def test_success(opt_ml: OptMl) -> None:
    """Exit code 0, round lines on standard output, everything else on standard error in the image's form."""
    opt_ml.channel("train", "1,2,3\n0,4,5\n" * 10).write({"num_round": 2, "objective": "binary:logistic"})
    done = subprocess.run([*COMMAND, "train"], env=environment(opt_ml), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\[0\]\ttrain-logloss:\d\.\d{5}\n\[1\]\ttrain-logloss:\d\.\d{5}\n", done.stdout)
    assert re.search(
        r"^\[\d{4}-\d\d-\d\d:\d\d:\d\d:\d\d:INFO\] Train matrix has 20 rows and 2 columns$", done.stderr, re.MULTILINE
    )
    assert (opt_ml.layout.model / "xgboost-model").is_file()
    assert not opt_ml.layout.failure.exists()


def test_a_mistake_is_refused_before_the_library_is_loaded(opt_ml: OptMl) -> None:
    """Exit code 1, the failure and its class in their files, the traceback in the log, nothing on standard output."""
    opt_ml.channel("train", "1,2,3\n0,4,5\n").write({"num_round": 2, "silent": 1})
    done = subprocess.run(
        [sys.executable, "-v", *COMMAND[1:], "train"],
        env=environment(opt_ml),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ERROR] Reporting training FAILURE\nTraceback (most recent call last):" in done.stderr
    assert "import 'numpy'" not in done.stderr
    failure = read_failure(opt_ml.layout, trust_class=True)
    assert failure.kind is FailureClass.CLIENT
    assert failure.text == "Extraneous hyperparameter found: silent"


def test_an_unexpected_failure_is_an_algorithm_error(opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the traceback, as the image's toolkit reports it."""

    def fall_over(*_: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(program, "read_job", fall_over)
    assert program.train(opt_ml.layout, {}) == 1
    failure = read_failure(opt_ml.layout, trust_class=True)
    assert failure.kind is FailureClass.ALGORITHM
    assert failure.text.startswith("framework error: \nTraceback (most recent call last):")
    assert "RuntimeError: disk on fire" in failure.text


def test_damaged_configuration_is_an_algorithm_error(opt_ml: OptMl) -> None:
    """The service wrote it, so it is no fault of the customer's."""
    opt_ml.layout.hyperparameters.write_text("{")
    assert program.train(opt_ml.layout, {}) == 1
    assert read_failure(opt_ml.layout, trust_class=True).text.startswith("framework error: ")


@pytest.mark.parametrize("arguments", [[], ["fit"], ["train", "now"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but the two words is refused."""
    assert program.main(arguments) == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(("keep", "code"), [("true", 0), ("false", -signal.SIGTERM)])
def test_stopping(opt_ml: OptMl, keep: str, code: int) -> None:
    """SIGTERM ends the job; with save_model_on_termination a usable model of the last whole round is left."""
    opt_ml.channel("train", "1,2,3\n0,4,5\n" * 50).write(
        {"num_round": 10_000_000, "objective": "binary:logistic", "save_model_on_termination": keep}
    )
    with subprocess.Popen(
        [*COMMAND, "train"], env=environment(opt_ml), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.terminate()
        printed = 3 + len(process.stdout.readlines())
        assert process.wait(timeout=60) == code
    files = list(opt_ml.layout.model.iterdir())
    if keep == "false":
        assert files == []
        return
    assert [file.name for file in files] == ["xgboost-model"]
    booster = xgboost.Booster(model_file=bytearray(files[0].read_bytes()))
    assert printed - 1 <= booster.num_boosted_rounds() <= printed
