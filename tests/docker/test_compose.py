"""docker-compose.yml: LocalStack and the stage in containers, or LocalStack alone with the stage beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from free_ports import free_ports

from stagemaker.testing import BACKING_VARIABLE, start_stage
from stagemaker_labs.proof import prove

ROOT = Path(__file__).parents[2]
LABS = sorted(folder.parent for folder in (ROOT / "labs").glob("*/lab.toml"))
PROJECT = f"stagemaker-test-{os.getpid()}"
HEALTHY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Compose:
    """One program, one project, ports of its own."""

    program: str
    ports: dict[str, str]

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run a command of Compose's; what it prints."""
        variables = {**os.environ, "DOCKER_BUILDKIT": "0", **self.ports}
        command = [*self.program.split(), "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), *words]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def health(self, service: str) -> str:
        """`starting`, `healthy` or `unhealthy`."""
        container = self("ps", "-q", service).strip()
        state = ["docker", "inspect", "-f", "{{.State.Health.Status}}", container]
        return subprocess.run(state, capture_output=True, text=True, check=True).stdout.strip()

    def wait_until_healthy(self, service: str) -> None:
        """Until the health check of a service has passed."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (health := self.health(service)) != "healthy":
            assert health != "unhealthy", self("logs", "--tail", "30", service)
            assert time.monotonic() < deadline, self("logs", "--tail", "30", service)
            time.sleep(0.5)

    def variables(self, *words: str) -> dict[str, str]:
        """What the stage in its container gives a client, with the address as it is from outside."""
        told: dict[str, str] = json.loads(self("exec", "-T", "stage", "stagemaker", "env", "--json", *words))
        return {**told, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports['STAGEMAKER_PORT']}"}

    def client(self, service: str) -> Any:
        """The administrator's client of the stage in its container."""
        told = self.variables("--admin")
        make: Any = boto3.client  # its stubs want each service's name spelt out
        return make(
            service,
            endpoint_url=told["AWS_ENDPOINT_URL"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
            region_name=told["AWS_REGION"],
        )


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    """Both services, up and healthy; gone with their volumes at the end."""
    names = ("LOCALSTACK_PORT", "STAGEMAKER_PORT", "STAGEMAKER_PROXY_PORT")
    ports = {name: str(port) for name, port in zip(names, free_ports(3), strict=True)}
    compose = Compose(os.environ.get("COMPOSE_PROGRAM", "docker compose"), ports)
    try:
        compose("up", "-d", "--build")
        compose.wait_until_healthy("localstack")
        compose.wait_until_healthy("stage")
        yield compose
    finally:
        compose("down", "-v", "--timeout", "5", check=False)


def test_ports_are_on_loopback_only(compose: Compose) -> None:
    """Of both services, each of them."""
    for service, port in (("localstack", "4566"), ("stage", "4566"), ("stage", "4567")):
        assert compose("port", service, port).startswith("127.0.0.1:")


def test_clients_reach_the_stage_and_it_localstack(compose: Compose) -> None:
    """An object goes there and back, ARNs carry the account, and what is not AWS's stays shut."""
    s3 = compose.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 200_000)
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"x" * 200_000
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["data"]
    assert compose.client("sns").create_topic(Name="t")["TopicArn"] == "arn:aws:sns:us-east-1:123456789012:t"
    assert "Backing: LocalStack at http://localstack:4566" in compose("exec", "-T", "stage", "stagemaker", "status")
    s3.delete_object(Bucket="data", Key="k")
    s3.delete_bucket(Bucket="data")


def test_a_training_job_in_the_container(compose: Compose) -> None:
    """The stage in its container trains: channel, program, artifact."""
    s3, sagemaker = compose.client("s3"), compose.client("sagemaker")
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="train/a.csv", Body=b"1,2\n0,1\n" * 50)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://jobs/train/"}}
    sagemaker.create_training_job(
        TrainingJobName="contained",
        AlgorithmSpecification={
            "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
            "TrainingInputMode": "File",
        },
        RoleArn=compose.variables()["STAGEMAKER_ROLE_ARN"],
        HyperParameters={"num_round": "3"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source, "ContentType": "text/csv"}],
        OutputDataConfig={"S3OutputPath": "s3://jobs/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="contained")
    assert sagemaker.describe_training_job(TrainingJobName="contained")["TrainingJobStatus"] == "Completed"
    s3.head_object(Bucket="jobs", Key="output/contained/output/model.tar.gz")


def test_a_restart_of_localstack_is_noticed(compose: Compose) -> None:
    """The account is another one, and empty; the stage's container was not touched."""
    compose.client("s3").create_bucket(Bucket="gone")
    before = compose.variables()["STAGEMAKER_ID"]
    compose("restart", "-t", "5", "localstack")
    compose.wait_until_healthy("localstack")
    deadline = time.monotonic() + 30
    while compose.variables()["STAGEMAKER_ID"] == before:
        assert time.monotonic() < deadline, compose("logs", "--tail", "30", "stage")
        time.sleep(0.5)
    assert compose.client("s3").list_buckets()["Buckets"] == []
    assert compose.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_labs_pass_on_the_localstack_of_compose(compose: Compose, lab: Path, tmp_path: Path) -> None:
    """The reference of each lab, with the stage outside of containers."""
    stage = start_stage(tmp_path / "state", backing_url=f"http://127.0.0.1:{compose.ports['LOCALSTACK_PORT']}")
    try:
        env = {"STAGEMAKER_STATE": str(stage.folder.root)}
        arguments = ("--target", "localstack")
        proof = prove(lab, lab / "author" / "solution.py", work=tmp_path / "work", env=env, arguments=arguments)
        assert proof.exit_code == 0, proof.output
    finally:
        stage.stop()


def test_the_whole_proof_on_the_localstack_of_compose(compose: Compose) -> None:
    """Starter, reference and every wrong work of every lab."""
    url = f"http://127.0.0.1:{compose.ports['LOCALSTACK_PORT']}"
    command = [sys.executable, "-m", "pytest", "-q", "tests/labs/test_proof.py"]
    variables = {**os.environ, BACKING_VARIABLE: url}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_up_starts_localstack_by_compose(tmp_path: Path) -> None:
    """`stagemaker up --target localstack` with nothing running; `status` says what is behind the stage."""
    localstack, api, _proxy = free_ports(3)
    variables = {**os.environ, "STAGEMAKER_STATE": str(tmp_path / "state"), "LOCALSTACK_PORT": str(localstack)}

    def stagemaker(*words: str) -> str:
        command = [sys.executable, "-m", "stagemaker", *words]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        assert "Stage ready" in stagemaker("up", "--target", "localstack", "--port", str(api))
        status = json.loads(stagemaker("status", "--target", "localstack", "--json"))
        assert (status["backing"], status["backing_url"]) == ("localstack", f"http://127.0.0.1:{localstack}")
        stagemaker("down", "--target", "localstack")
    finally:
        program = os.environ.get("COMPOSE_PROGRAM", "docker compose").split()
        down = [*program, "-p", "stagemaker", "-f", str(ROOT / "docker-compose.yml"), "down", "-v", "-t", "5"]
        subprocess.run(down, env=variables, capture_output=True, check=False)
