"""Script mode on the XGBoost image: a program of the user's, as the SDK's estimators send it."""

from __future__ import annotations

import io
import json
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
SCRIPT = """
import argparse, json, os, pathlib, sys
import helper
parser = argparse.ArgumentParser()
parser.add_argument("--max-depth", type=int)
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
told, rest = parser.parse_known_args()
print(f"loss={helper.loss(told.max_depth)}", flush=True)
seen = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
files = sorted(p.name for p in pathlib.Path(told.train).iterdir())
pathlib.Path(told.model_dir, "model.json").write_text(json.dumps([told.max_depth, rest, files]))
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.json").write_text(json.dumps(seen))
"""


def archive(**files: str) -> bytes:
    """A sourcedir.tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    """A sourcedir.tar.gz that holds one link, and a program whose path goes through it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = kind, target
        tar.addfile(link)
        entry = tarfile.TarInfo(f"{name}/train.py")
        tar.addfile(entry)
    return packed.getvalue()


def members(account: Account, code: bytes, program: str = "train.py", **hyperparameters: Any) -> dict[str, Any]:
    """Members of a request, with the hyperparameters in JSON as the SDK writes them."""
    s3 = account.client("s3")
    s3.put_object(Bucket="data", Key="code/sourcedir.tar.gz", Body=code)
    s3.put_object(Bucket="data", Key="train/a.csv", Body=b"1,2")
    own = {"sagemaker_program": program, "sagemaker_submit_directory": "s3://data/code/sourcedir.tar.gz"}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "HyperParameters": {name: json.dumps(value) for name, value in {**own, **hyperparameters}.items()},
        "InputDataConfig": [account.channel("train", "train/")],
    }


def test_script_trains_with_the_toolkits_variables(account: Account) -> None:
    """The code comes from S3, hyperparameters become arguments, SM_ variables name the folders, metrics count."""
    code = archive(
        **{"train.py": SCRIPT, "helper.py": "def loss(x): return x / 10\n", "requirements.txt": "numpy>=1\n"}
    )
    own: dict[str, Any] = {"max-depth": 4, "where": "/opt/ml/model", "x": True}
    job = account.run("script", **members(account, code, **own))
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    seen = account.report("script")
    assert json.loads(seen["SM_HPS"]) == own
    assert json.loads(seen["SM_CHANNELS"]) == ["train"]
    assert json.loads(seen["SM_HOSTS"]) == ["algo-1"]
    assert seen["SM_USER_ENTRY_POINT"] == "train.py"
    assert seen["SM_HP_MAX-DEPTH"] == "4"
    assert json.loads(seen["SM_TRAINING_ENV"])["current_host"] == "algo-1"
    model = seen["SM_MODEL_DIR"]
    assert json.loads(seen["SM_USER_ARGS"]) == ["--max-depth", "4", "--where", model, "-x", "True"]
    body = account.client("s3").get_object(Bucket="data", Key="output/script/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        file = packed.extractfile("model.json")
        assert file is not None
        assert json.load(file) == [4, ["--where", model, "-x", "True"], ["a.csv"]]
    assert [(metric["MetricName"], metric["Value"]) for metric in job["FinalMetricDataList"]] == [("loss", 0.4)]


def test_script_that_fails_tells_its_error(account: Account) -> None:
    """ExecuteUserScriptError holds the exit code, the end of standard error and the command."""
    code = archive(**{"train.py": "raise ValueError('no such column: churn')"})
    reason = account.fail("broken", **members(account, code))["FailureReason"]
    assert reason.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "Traceback')
    assert "ValueError: no such column: churn" in reason
    assert reason.endswith(' train.py", exit code: 1')
    code = archive(**{"train.py": "import sys; sys.exit(7)"})
    assert account.fail("seven", **members(account, code))["FailureReason"].endswith("exit code: 7")


@pytest.mark.parametrize(
    ("code", "program", "words"),
    [
        (b"no archive", "train.py", "is not a tar archive"),
        (archive(**{"other.py": ""}), "train.py", "train.py is not in the code"),
        (archive(**{"train.py": ""}), "../../input/config/hyperparameters.json", "is not in the code"),
        (archive(**{"../train.py": ""}), "train.py", "is not a tar archive that can be unpacked"),
        (archive(**{"/tmp/train.py": ""}), "/tmp/train.py", "is not in the code"),  # noqa: S108 - what is tested
        (linked("out", "/etc"), "out/train.py", "is not a tar archive that can be unpacked"),
        (linked("out", "../.."), "out/train.py", "is not a tar archive that can be unpacked"),
        (linked("out", "/etc/passwd", tarfile.LNKTYPE), "out", "is not a tar archive that can be unpacked"),
        (
            archive(**{"train.py": "", "requirements.txt": "no-such-package-here==1\n"}),
            "train.py",
            "no-such-package-here is missing",
        ),
    ],
    ids=[
        "no-archive",
        "no-program",
        "program-outside",
        "member-above",
        "member-absolute",
        "link-absolute",
        "link-above",
        "hard-link",
        "requirement",
    ],
)
def test_code_that_cannot_be_run(account: Account, code: bytes, program: str, words: str) -> None:
    """What is wrong with the code is the customer's to mend, and nothing is unpacked outside its folder."""
    reason = account.fail("code", **members(account, code, program))["FailureReason"]
    assert reason.startswith("ClientError: ")
    assert words in reason


def test_shell_script_and_code_in_a_channel(account: Account) -> None:
    """A program may be a shell script, and its code may come by a channel."""
    s3 = account.client("s3")
    s3.put_object(Bucket="data", Key="own/run.sh", Body=b'#!/bin/sh\necho "$@" > "$SM_MODEL_DIR/said"\n')
    request = members(account, b"", "run.sh", sagemaker_submit_directory="/opt/ml/input/data/code", depth=3)
    request["InputDataConfig"] = [account.channel("code", "own/")]
    request["HyperParameters"]["depth"] = "3"
    job = account.run("shell", **request)
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)


def test_stop_reaches_the_script(account: Account) -> None:
    """SIGTERM is passed on, and what the script then writes is uploaded."""
    script = """
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(os.environ["SM_MODEL_DIR"], "kept").write_text("x")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(600)
"""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("stopped", **members(account, archive(**{"train.py": script}))))
    logs = account.client("logs")

    def ready() -> bool:
        group, prefix = "/aws/sagemaker/TrainingJobs", "stopped/"
        try:
            found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=prefix, filterPattern="ready")
        except logs.exceptions.ResourceNotFoundException:
            return False
        return bool(found["events"])

    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    sagemaker.stop_training_job(TrainingJobName="stopped")
    job = account.settle("stopped")
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("/stopped/output/model.tar.gz")
