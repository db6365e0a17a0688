"""A mix of jobs while the stage is killed again and again: right states, no gap in a log, nothing twice.

The seed is printed and, with a failure, in the assertion; `STAGEMAKER_SEED` repeats a run.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.interruption import InterruptionError, interrupt
from stagemaker.testing import RunningStage, start_stage

IMAGES = Path(__file__).parents[1] / "stage" / "images"
GROUP = "/aws/sagemaker/TrainingJobs"
BUCKET = "kept"
LINES = 120
STREAM = b"0123456789abcde\n" * (1 << 20)
DEADLINE_SECONDS = 400.0

TALK = """
import hashlib, json, os, pathlib, signal, sys, time
model = pathlib.Path("/opt/ml/model")
host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
def talk(count):
    for number in range(count):
        print(f"line {number} value={number}", flush=True)
        time.sleep(0.02)
"""
PROGRAMS = {
    "plain": "talk(120)\n(model / 'own').write_text('x')",
    # Interrupted once; goes on from its checkpoint.
    "spot": """
saved = pathlib.Path("/opt/ml/checkpoints/begun")
again = saved.exists()
saved.write_text("x")
talk(120)
while not again:
    time.sleep(0.05)
(model / "own").write_text("x")
""",
    "hosts": "talk(120)\n(model / host).write_text('x')",
    # Slow, so that the stage is killed while the stream flows.
    "pipe": """
digest = hashlib.sha256()
print("line 0 value=0", flush=True)
with open("/opt/ml/input/data/train_0", "rb") as stream:
    number = 0
    while piece := stream.read(1 << 18):
        digest.update(piece)
        number += 1
        time.sleep(0.03)
(model / "digest").write_text(digest.hexdigest())
""",
    # Deaf for a while when it is stopped, and then writes its artifact in time.
    "stopped": """
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(1))
number = 0
while not over:
    print(f"line {number} value={number}", flush=True)
    number += 1
    time.sleep(0.02)
time.sleep(1.5)
(model / "own").write_text("x")
sys.exit(0)
""",
}


@dataclass
class Jobs:
    """The jobs of the test, as seen through whichever stage runs now."""

    stage: RunningStage
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    stop_asked: bool = False
    interrupted: bool = False

    def client(self, service: str) -> Any:
        """No retries: an answer or none."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20)
        return self.stage.client(service, config=config)

    def create(self, name: str, **members: Any) -> None:
        """A job that runs one of the programs."""
        self.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": "script:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "value", "Regex": r"value=(\d+)"}],
            },
            RoleArn=self.stage.role_arn,
            HyperParameters={"script": json.dumps(TALK + PROGRAMS[name])},
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
            **{
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
                **members,
            },
        )

    def look(self) -> bool:
        """Describe every job, ask for what is to happen to it; whether all are over."""
        sagemaker = self.client("sagemaker")
        for name in PROGRAMS:
            job = self.seen[name] = sagemaker.describe_training_job(TrainingJobName=name)
            training = job["SecondaryStatus"] == "Training"
            if name == "stopped" and training and self.said(name, "line 5 "):
                self.stop_asked = True
                sagemaker.stop_training_job(TrainingJobName=name)
            if name == "spot" and training and not self.interrupted and self.said(name, f"line {LINES - 1} "):
                with contextlib.suppress(InterruptionError):
                    interrupt(self.stage.folder.jobs, "us-east-1", name)
                    self.interrupted = True
        return all(job["TrainingJobStatus"] not in {"InProgress", "Stopping"} for job in self.seen.values())

    def said(self, name: str, words: str) -> bool:
        """Whether the first host's log holds `words`."""
        log = self.stage.folder.jobs / "us-east-1" / name / "algo-1.log"
        return log.exists() and words in log.read_text()

    def statuses(self, name: str) -> list[str]:
        """The secondary statuses of a job, in order."""
        return [step["Status"] for step in self.seen[name]["SecondaryStatusTransitions"]]

    def streams(self, name: str) -> list[list[str]]:
        """The messages of each of the job's log streams."""
        logs = self.client("logs")
        found = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        return [
            [
                event["message"]
                for page in logs.get_paginator("filter_log_events").paginate(
                    logGroupName=GROUP, logStreamNames=[stream["logStreamName"]]
                )
                for event in page["events"]
            ]
            for stream in found
        ]

    def samples(self, name: str) -> int:
        """How often the job's metric was written."""
        job = self.seen[name]
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace=GROUP,
            MetricName="value",
            Dimensions=[{"Name": "TrainingJobName", "Value": name}],
            StartTime=job["CreationTime"].replace(second=0, microsecond=0),
            EndTime=job["TrainingEndTime"],
            Period=3600,
            Statistics=["SampleCount"],
        )["Datapoints"]
        return int(sum(point["SampleCount"] for point in points))

    def model(self, name: str) -> dict[str, str]:
        """The files of the job's model.tar.gz."""
        key = f"output/{name}/output/model.tar.gz"
        body = self.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as packed:
            return {each.name: packed.extractfile(each).read().decode() for each in packed}  # type: ignore[union-attr] # files


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose runners do not outlive the test."""
    yield tmp_path / "state"
    for lock in (tmp_path / "state" / "jobs").glob("*/*/runner.lock"):
        JobDirectory(lock.parent).kill_runner()


def begin(stage: RunningStage) -> Jobs:
    """The jobs, acknowledged before the first kill."""
    jobs = Jobs(stage)
    s3 = jobs.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="in/stream", Body=STREAM)
    jobs.create("stopped")
    jobs.create(
        "spot",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3600},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints"},
    )
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in/"}}
    jobs.create("pipe", InputDataConfig=[{"ChannelName": "train", "InputMode": "Pipe", "DataSource": source}])
    jobs.create("hosts", ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1})
    jobs.create("plain")
    return jobs


def test_jobs_outlive_every_kill(state: Path) -> None:
    """Spot, two hosts, a pipe, a stop in flight: each ends as it would have ended, and its log is whole, once."""
    import hashlib

    seed = int(os.environ.get("STAGEMAKER_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"STAGEMAKER_SEED={seed}")
    chance, kills = random.Random(seed), 0
    jobs = begin(start_stage(state, images=IMAGES))
    give_up = time.monotonic() + DEADLINE_SECONDS
    over = False
    while not over:
        assert time.monotonic() < give_up, f"seed {seed}: { ({n: j['SecondaryStatus'] for n, j in jobs.seen.items()}) }"
        until = time.monotonic() + chance.uniform(0.0, 0.9)
        with contextlib.suppress(BotoCoreError, ClientError) if kills else contextlib.nullcontext():
            over = jobs.look()
            while not over and time.monotonic() < until:
                time.sleep(0.05)
                over = jobs.look()
        if not over:
            jobs.stage.process.kill()
            jobs.stage.process.wait()
            kills += 1
            jobs.stage = start_stage(state, images=IMAGES)
    print(f"{kills} kills")
    try:
        assert kills >= 3, f"seed {seed}"
        ended = {name: (job["TrainingJobStatus"], job.get("FailureReason")) for name, job in jobs.seen.items()}
        assert ended == {name: ("Stopped" if name == "stopped" else "Completed", None) for name in PROGRAMS}, (
            f"seed {seed}"
        )
        expected = {
            "plain": ["Starting", "Training", "Uploading", "Completed"],
            "hosts": ["Starting", "Training", "Uploading", "Completed"],
            "pipe": ["Starting", "Downloading", "Training", "Uploading", "Completed"],
            "stopped": ["Starting", "Training", "Stopping", "Uploading", "Stopped"],
        }
        again = ["Starting", "Downloading", "Training"]
        expected["spot"] = [*again, "Interrupted", *again, "Uploading", "Completed"]
        assert {name: jobs.statuses(name) for name in PROGRAMS} == expected, f"seed {seed}"

        starts = {"spot": 2, "hosts": 2}
        for name in PROGRAMS:
            streams = jobs.streams(name)
            assert len(streams) == starts.get(name, 1), f"seed {seed}: {name}"
            for messages in streams:
                told = [f"line {number} value={number}" for number in range(len(messages))]
                assert messages == told, f"seed {seed}: {name}"
                assert len(messages) == {"pipe": 1, "stopped": len(messages)}.get(name, LINES), f"seed {seed}: {name}"
            assert jobs.samples(name) == sum(map(len, streams)), f"seed {seed}: {name}"

        assert jobs.model("hosts") == {"algo-1": "x", "algo-2": "x"}
        assert jobs.model("pipe") == {"digest": hashlib.sha256(STREAM).hexdigest()}
        assert jobs.model("stopped") == jobs.model("spot") == jobs.model("plain") == {"own": "x"}
    finally:
        jobs.stage.stop()
