"""Beginning a lab again, and what a learner deletes after the work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stagemaker.testing import BACKING_VARIABLE, RunningStage, start_stage
from stagemaker_labs.proof import Proof, prove
from stagemaker_labs.verdict import Outcome

LABS = Path(__file__).parents[2] / "labs"
LAB_01, LAB_03 = LABS / "01-s3-repositories", LABS / "03-builtin-xgboost"
TARGET = ["--target", "localstack"] if BACKING_VARIABLE in os.environ else []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """A stage for all tests; each begins with an empty account."""
    stage = start_stage(tmp_path_factory.mktemp("state"))
    yield stage
    stage.stop()


@dataclass(frozen=True, slots=True)
class Learner:
    """Somebody with a work folder and an account of their own."""

    stage: RunningStage
    work: Path

    def runs(self, lab: Path, file: Path | None) -> Proof:
        """`pytest labs/NN` with `file` as lab.py."""
        env = {"STAGEMAKER_STATE": str(self.stage.folder.root)}
        return prove(lab, file, work=self.work, env=env, arguments=TARGET)

    def resets(self, lab: Path) -> subprocess.CompletedProcess[str]:
        """`stagemaker reset NN`."""
        return subprocess.run(
            [sys.executable, "-m", "stagemaker_labs.cli", "reset", str(lab), *TARGET],
            env={
                **os.environ,
                "STAGEMAKER_STATE": str(self.stage.folder.root),
                "STAGEMAKER_WORK": str(self.work),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture
def learner(running: RunningStage, tmp_path: Path) -> Learner:
    """An empty account and no work yet."""
    running.reset()
    return Learner(running, tmp_path / "work")


@pytest.mark.parametrize("lab", [LAB_01, LAB_03], ids=lambda lab: str(lab.name))
def test_starter_fails_at_its_first_check_after_a_reset(learner: Learner, lab: Path) -> None:
    """The old work is gone from the account: it must not pass the new one. Another bucket is left alone."""
    s3 = learner.stage.client("s3")
    s3.create_bucket(Bucket="of-somebody-else")
    passed = learner.runs(lab, lab / "author" / "solution.py")
    assert passed.exit_code == 0, passed.output
    reset = learner.resets(lab)
    assert reset.returncode == 0, reset.stdout
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["of-somebody-else"]
    starter = learner.runs(lab, None)
    assert starter.verdict is not None, starter.output
    found = [check.outcome for check in starter.verdict.checks]
    assert found[0] is Outcome.FAILED
    assert Outcome.PASSED not in found
    again = learner.resets(lab)
    assert again.returncode == 0, again.stdout


def test_job_of_before_the_reset_is_no_work_of_now(learner: Learner) -> None:
    """A training job can never be deleted, and its files may lie in a bucket of the learner's own choice."""
    s3 = learner.stage.client("s3")
    elsewhere = learner.work.with_name("elsewhere.py")
    solution = (LAB_03 / "author" / "solution.py").read_text()
    elsewhere.write_text(solution.replace('os.environ["LAB_BUCKET"]', '"my-own-bucket"'))
    passed = learner.runs(LAB_03, elsewhere)
    assert passed.exit_code == 0, passed.output
    assert learner.resets(LAB_03).returncode == 0
    assert s3.list_objects_v2(Bucket="my-own-bucket")["KeyCount"] > 0
    starter = learner.runs(LAB_03, None)
    assert starter.verdict is not None, starter.output
    assert starter.verdict.checks[0].outcome is Outcome.FAILED


def test_reset_of_a_bucket_that_locks_everybody_out(learner: Learner) -> None:
    """The work is moved aside all the same, and the card holds the root's command that opens the bucket."""
    locked = learner.work.with_name("locked.py")
    locked.write_text(
        "import json, os, boto3\n"
        "s3, bucket = boto3.client('s3'), os.environ['LAB_BUCKET']\n"
        "s3.create_bucket(Bucket=bucket)\n"
        "arn = f'arn:aws:s3:::{bucket}'\n"
        "deny = {'Effect': 'Deny', 'Principal': '*', 'Action': 's3:*', 'Resource': [arn, arn + '/*']}\n"
        "s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({'Version': '2012-10-17', 'Statement': [deny]}))\n"
    )
    assert learner.runs(LAB_01, locked).exit_code == 1
    reset = learner.resets(LAB_01)
    assert reset.returncode == 6, reset.stdout
    assert "is the starter again" in reset.stdout
    assert "--root -- aws s3api delete-bucket-policy --bucket" in " ".join(reset.stdout.split())


@pytest.mark.parametrize(
    ("deleted", "words"), [("group", "no such log group"), ("stream", "the group, but no stream of this job")]
)
def test_log_that_the_learner_deleted(learner: Learner, deleted: str, words: str) -> None:
    """The card says that the log is gone; the workbench takes no blame for it."""
    passed = learner.runs(LAB_03, LAB_03 / "author" / "solution.py")
    assert passed.exit_code == 0, passed.output
    logs, group = learner.stage.client("logs"), "/aws/sagemaker/TrainingJobs"
    if deleted == "group":
        logs.delete_log_group(logGroupName=group)
    else:
        (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
        logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
    proof = learner.runs(LAB_03, None)
    assert proof.exit_code == 1, proof.output
    assert proof.verdict is not None
    assert proof.verdict.check("test_metrics").outcome is Outcome.FAILED
    assert words in proof.card_text("test_metrics")


def test_card_of_a_failed_job_says_failed_once(learner: Learner) -> None:
    """SecondaryStatus stands beside the status only where it says something else."""
    proof = learner.runs(LAB_03, LAB_03 / "author" / "wrong" / "num_round_missing.py")
    assert proof.verdict is not None, proof.output
    card = proof.verdict.check("test_job_completed").card
    assert card is not None
    assert card.found.startswith("Failed: ")
