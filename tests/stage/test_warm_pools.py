"""Warm pools over the wire: a finished job's instances wait for the next job that asks for the same."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.sagemaker.bill import Group, as_text, bill
from stagemaker.testing import start_stage

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGES = Path(__file__).parent / "images"

CACHED = """
import json, os, pathlib
cache = pathlib.Path(os.environ["SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"])
seen = {"place": str(cache), "cached": sorted(p.name for p in cache.iterdir()), "job": os.environ["TRAINING_JOB_NAME"]}
(cache / seen["job"]).write_text("kept")
base = cache.parents[1]
seen["files"] = sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file())
(base / "output" / "data" / "report.json").write_text(json.dumps(seen))
"""

UNTIL_TOLD = """
import time
while not (base / "model" / "go").exists():
    time.sleep(0.02)
"""


def resources(keep_alive: int | None = 600, **members: Any) -> dict[str, Any]:
    """A ResourceConfig."""
    kept = {} if keep_alive is None else {"KeepAlivePeriodInSeconds": keep_alive}
    return {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, **kept, **members}


def pool_of(account: Account, job: str) -> dict[str, Any]:
    """The job's WarmPoolStatus."""
    status: dict[str, Any] = account.client("sagemaker").describe_training_job(TrainingJobName=job)["WarmPoolStatus"]
    return status


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds; it must within a minute."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def last_message(account: Account, job: str) -> str:
    """The message of the job's last status."""
    description = account.client("sagemaker").describe_training_job(TrainingJobName=job)
    message: str = description["SecondaryStatusTransitions"][-1]["StatusMessage"]
    return message


def test_pool_moves_from_job_to_job(account: Account) -> None:
    """Available, then Reused by the next job, which finds the cache and nothing else of the job before."""
    sagemaker = account.client("sagemaker")
    account.train("first", ResourceConfig=resources(), **account.script(CACHED))
    assert pool_of(account, "first") == {"Status": "Available"}
    assert last_message(account, "first") == "Resource retained for reuse"
    second = account.script(CACHED + UNTIL_TOLD)
    sagemaker.create_training_job(**account.request("second", ResourceConfig=resources(), **second))
    assert pool_of(account, "second") == {"Status": "InUse"}
    first = pool_of(account, "first")
    assert first["Status"] == "Reused"
    assert first["ReusedByJob"] == "second"
    assert first["ResourceRetainedBillableTimeInSeconds"] >= 0
    assert last_message(account, "first") == "Resource reused by training job: second"
    tree = account.stage.folder.jobs / "us-east-1" / "second" / "algo-1" / "opt" / "ml"
    wait_for(tree.joinpath("output", "data", "report.json").exists)
    tree.joinpath("model", "go").touch()
    account.settle("second")
    assert pool_of(account, "second") == {"Status": "Available"}
    before, after = account.report("first"), account.report("second")
    assert before["cached"] == []
    assert after["cached"] == ["first"]
    assert set(after["files"]) == {*before["files"], "sagemaker/warmpoolcache/second"}
    for status, job in (("Reused", "first"), ("Available", "second")):
        listed = sagemaker.list_training_jobs(WarmPoolStatusEquals=status)["TrainingJobSummaries"]
        assert [(each["TrainingJobName"], each["WarmPoolStatus"]["Status"]) for each in listed] == [(job, status)]


@pytest.mark.parametrize(
    "different",
    [
        {"ResourceConfig": resources(VolumeSizeInGB=2)},
        {"ResourceConfig": resources(InstanceCount=2)},
        {"ResourceConfig": resources(InstanceType="ml.m5.xlarge")},
        {"ResourceConfig": resources(), "EnableInterContainerTrafficEncryption": True},
    ],
)
def test_job_that_differs_gets_a_pool_of_its_own(account: Account, different: dict[str, Any]) -> None:
    """The first pool goes on waiting."""
    account.train("first", ResourceConfig=resources())
    account.train("other", **different)
    assert pool_of(account, "first") == {"Status": "Available"}
    assert pool_of(account, "other") == {"Status": "Available"}


def test_job_without_a_keep_alive_period_uses_the_pool_up(account: Account) -> None:
    """It matches, and its end is the pool's; a job that nothing waits for has no WarmPoolStatus at all."""
    account.train("first", ResourceConfig=resources())
    account.train("last", ResourceConfig=resources(None))
    assert pool_of(account, "first")["ReusedByJob"] == "last"
    assert pool_of(account, "last") == {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 0}
    assert "WarmPoolStatus" not in account.train("plain", ResourceConfig=resources(None))
    assert not list((account.stage.folder.root / "warm-pools").iterdir())


def test_pool_ends_when_its_time_is_over(account: Account) -> None:
    """Terminated, with the seconds that it waited for nothing."""
    account.train("first", ResourceConfig=resources(1))
    wait_for(lambda: pool_of(account, "first")["Status"] == "Terminated")
    assert pool_of(account, "first")["ResourceRetainedBillableTimeInSeconds"] == 1
    (line,) = bill(account.stage.folder.database)
    assert line.retained_seconds == 1
    assert line.usd == pytest.approx((line.billable_seconds + 1) * 0.115 / 3600)
    assert "warm pools that waited" in as_text([Group("", (line,))])
    account.train("second", ResourceConfig=resources())
    assert "ReusedByJob" not in pool_of(account, "first")


def test_keep_alive_can_be_changed_while_the_pool_waits(account: Account) -> None:
    """UpdateTrainingJob lengthens it, and ends it with 0; a job without a waiting pool refuses."""
    sagemaker = account.client("sagemaker")
    account.train("kept", ResourceConfig=resources(600))
    longer = sagemaker.update_training_job(TrainingJobName="kept", ResourceConfig={"KeepAlivePeriodInSeconds": 3600})
    description = sagemaker.describe_training_job(TrainingJobName="kept")
    assert longer["TrainingJobArn"] == description["TrainingJobArn"]
    assert description["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 3600
    assert description["WarmPoolStatus"] == {"Status": "Available"}
    sagemaker.update_training_job(TrainingJobName="kept", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert pool_of(account, "kept")["Status"] == "Terminated"
    assert not list((account.stage.folder.root / "warm-pools").iterdir())
    with pytest.raises(ClientError, match="The warm pool of kept is Terminated"):
        sagemaker.update_training_job(TrainingJobName="kept", ResourceConfig={"KeepAlivePeriodInSeconds": 60})
    with pytest.raises(ClientError, match="Stagemaker cannot honour ProfilerConfig"):
        sagemaker.update_training_job(TrainingJobName="kept", ProfilerConfig={"DisableProfiler": True})
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.update_training_job(TrainingJobName="none", ResourceConfig={"KeepAlivePeriodInSeconds": 60})


def test_failed_and_stopped_jobs_leave_a_pool_but_a_lost_one_does_not(account: Account) -> None:
    """AWS keeps instances whose job failed by a mistake of the user's, not those that may be unsound."""
    sagemaker = account.client("sagemaker")
    account.fail("failed", {"exit": "1"}, ResourceConfig=resources())
    assert pool_of(account, "failed") == {"Status": "Available"}
    for name in ("stopped", "lost"):
        sagemaker.create_training_job(**account.request(name, {"sleep": "60"}, ResourceConfig=resources()))
        wait_for(
            lambda name=name: sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"  # type: ignore[misc]  # mypy does not infer a lambda with a default
        )
        if name == "stopped":
            sagemaker.stop_training_job(TrainingJobName=name)
            account.settle(name)
            assert pool_of(account, name) == {"Status": "Available"}
    os.kill(int((account.stage.folder.jobs / "us-east-1" / "lost" / "runner.lock").read_text()), signal.SIGKILL)
    assert account.settle("lost")["FailureReason"].startswith("InternalServerError")
    assert pool_of(account, "lost")["Status"] == "Terminated"


def test_spot_jobs_have_no_pool(account: Account) -> None:
    """AWS has none for them either."""
    request = account.request(
        "spot",
        ResourceConfig=resources(),
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    )
    with pytest.raises(ClientError, match="KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining"):
        account.client("sagemaker").create_training_job(**request)


def test_waiting_instances_count_to_the_quota(account: Account) -> None:
    """A job that gets them is let in, another is not; without a quota for warm pools left, none is kept."""
    quotas = account.stage.folder.root / "quotas.json"
    limits = {"ml.m5.large for training job usage": 1, "ml.m5.large for training warm pool usage": 1}
    quotas.write_text(json.dumps(limits))
    try:
        account.train("first", ResourceConfig=resources())
        with pytest.raises(ClientError, match="ResourceLimitExceeded"):
            account.train("other", ResourceConfig=resources(VolumeSizeInGB=2))
        quotas.write_text(json.dumps({**limits, "ml.m5.large for training warm pool usage": 0}))
        account.train("second", ResourceConfig=resources())
        assert pool_of(account, "first")["ReusedByJob"] == "second"
        assert pool_of(account, "second")["Status"] == "Terminated"
    finally:
        quotas.unlink()


def test_pool_outlives_the_stage(account: Account, tmp_path: Path) -> None:
    """Killed while a job runs in a pool, and again while the pool waits: the job ends, the pool is there for the next.

    With the stage gone for good, no process of the pool's is left.
    """
    state = tmp_path / "state"
    stage = start_stage(state, images=IMAGES)
    try:
        account = replace(account, stage=stage)
        account.client("s3").create_bucket(Bucket="data")
        account.train("first", ResourceConfig=resources())
        account.client("sagemaker").create_training_job(
            **account.request("second", {"sleep": "2"}, ResourceConfig=resources())
        )
        wait_for((state / "jobs" / "us-east-1" / "second" / "record.jsonl").exists)
        for _ in range(2):
            stage.process.kill()
            stage.process.wait()
            stage = start_stage(state, images=IMAGES)
            account = replace(account, stage=stage)
            assert account.settle("second")["TrainingJobStatus"] == "Completed"
            assert pool_of(account, "second") == {"Status": "Available"}
        account.train("third", ResourceConfig=resources())
        assert pool_of(account, "second")["ReusedByJob"] == "third"
    finally:
        stage.stop()
    wait_for(lambda: not below(state))


def below(folder: Path) -> list[str]:
    """The processes whose working folder lies below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve().is_relative_to(folder):
                found.append(entry.name)
        except OSError:
            continue
    return found
