"""A real stage for the tests of this folder: one process, emptied before each test."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stagemaker.testing import RunningStage, start_stage

IMAGES = Path(__file__).parent / "images"
TOY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/toy:1"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """The stage, with the toy image."""
    stage = start_stage(tmp_path_factory.mktemp("state"), images=IMAGES, options=("--stop-grace", "1.5"))
    yield stage
    stage.stop()


@dataclass(frozen=True, slots=True)
class Account:
    """An empty account with a bucket, and short ways to make training jobs."""

    stage: RunningStage
    bucket: str = "data"

    def client(self, service: str, **options: Any) -> Any:
        """The administrator's client."""
        return self.stage.client(service, **options)

    def request(self, name: str, hyperparameters: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
        """A CreateTrainingJob request for the toy image; `members` replace or add members."""
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": TOY, "TrainingInputMode": "File"},
            "RoleArn": self.stage.role_arn,
            "HyperParameters": hyperparameters or {},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/output"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            **members,
        }

    def train(self, name: str, hyperparameters: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
        """Run a job to its end; its description."""
        sagemaker = self.client("sagemaker")
        sagemaker.create_training_job(**self.request(name, hyperparameters, **members))
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
        description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return description

    def settle(self, name: str) -> dict[str, Any]:
        """Wait for a job whatever its end; its description."""
        from botocore.exceptions import WaiterError

        sagemaker = self.client("sagemaker")
        with contextlib.suppress(WaiterError):
            sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
        description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return description

    def run(self, name: str, hyperparameters: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
        """Run a job to whatever end; its description."""
        self.client("sagemaker").create_training_job(**self.request(name, hyperparameters, **members))
        return self.settle(name)

    def fail(self, name: str, hyperparameters: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
        """Run a job that is expected to fail; its description."""
        description = self.run(name, hyperparameters, **members)
        assert description["TrainingJobStatus"] == "Failed"
        return description

    def report(self, name: str) -> dict[str, Any]:
        """What the toy container saw, from its output.tar.gz."""
        import io
        import tarfile

        body = self.client("s3").get_object(Bucket=self.bucket, Key=f"output/{name}/output/output.tar.gz")["Body"]
        with tarfile.open(fileobj=io.BytesIO(body.read())) as archive:
            file = archive.extractfile("report.json")
            assert file is not None
            document: dict[str, Any] = json.load(file)
        return document

    def script(self, script: str, *, mode: str = "File", **algorithm: Any) -> dict[str, Any]:
        """Members of a request for a container that runs a Python script; `/opt/ml` in it is the job's."""
        image = TOY.replace("/toy:", "/script:")
        return {
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": mode, **algorithm},
            "HyperParameters": {"script": json.dumps(script)},  # a value has no line ends
        }

    def channel(self, name: str, prefix: str, **members: Any) -> dict[str, Any]:
        """A File-mode channel over `s3://<bucket>/<prefix>`."""
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/{prefix}"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **members}


@pytest.fixture
def account(running: RunningStage) -> Account:
    """An account that holds one bucket and nothing else."""
    running.reset()
    account = Account(running)
    account.client("s3").create_bucket(Bucket=account.bucket)
    return account
