"""A LocalStack of the tests' own, which they may restart, and a stage in front of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from free_ports import free_ports

from stagemaker.testing import RunningStage, start_stage

SERVE = Path(__file__).with_name("serve.py")


@dataclass
class LocalStack:
    """LocalStack on one port, started and ended at will."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it answers, when it runs."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; it answers when this returns. It remembers nothing."""
        log = self.folder / "localstack.log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [os.environ["LOCALSTACK_PYTHON"], SERVE, str(self.port), self.folder],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        while b"Ready." not in log.read_bytes():
            if self.process.poll() is not None:
                raise RuntimeError(log.read_text()[-2000:])
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue

    def end(self) -> None:
        """Kill it, as an engine does that stops its container."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self, service: str, account: str = "123456789012", region: str = "us-east-1") -> Any:
        """A client that goes past the stage."""
        key = (service, account, region)
        if key not in self.clients:
            make: Any = boto3.client  # its stubs want each service's name spelt out
            self.clients[key] = make(
                service,
                endpoint_url=self.url,
                aws_access_key_id=account,
                aws_secret_access_key="any",
                region_name=region,
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self.clients[key]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """LocalStack for all tests of this folder."""
    (port,) = free_ports(1)
    localstack = LocalStack(tmp_path_factory.mktemp("localstack"), port)
    localstack.start()
    yield localstack
    for client in localstack.clients.values():
        client.close()
    localstack.end()


@pytest.fixture
def localstack(served: LocalStack) -> LocalStack:
    """LocalStack, started again if a test has ended it."""
    if served.process is None:
        served.start()
    return served


@pytest.fixture
def stage(localstack: LocalStack, tmp_path: Path) -> Iterator[RunningStage]:
    """A stage on LocalStack, with an empty account."""
    running = start_stage(tmp_path / "state", backing_url=localstack.url)
    running.reset()
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def stage_id() -> Any:
    """The id of a stage's account, by which a client tells it from another."""

    def read(stage: RunningStage) -> str:
        return str(json.loads(stage.folder.version.read_text())["id"])

    return read
