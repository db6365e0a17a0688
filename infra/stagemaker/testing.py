"""A stage for your own tests: `from stagemaker.testing import stage`.

    def test_training(stage):
        boto3.client("sagemaker").create_training_job(...)

The fixture gives each test an empty account and sets the AWS variables, so that clients made without
arguments reach it. One stage serves all tests of a process and ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stagemaker.background import wait_until_ready
from stagemaker.environment import Who, stage_environment
from stagemaker.settings import AuthMode
from stagemaker.state import StateFolder

BACKING_VARIABLE = "STAGEMAKER_BACKING_URL"


@dataclass(frozen=True, slots=True)
class RunningStage:
    """A stage in a process of its own, on a port that was free."""

    folder: StateFolder
    endpoint: str
    process: subprocess.Popen[bytes]

    def environment(self, *, admin: bool = True) -> dict[str, str]:
        """The variables that lead AWS clients here, with the administrator's or the learner's key."""
        return stage_environment(self.folder, self.endpoint, Who.ADMIN if admin else Who.LEARNER)

    @property
    def role_arn(self) -> str:
        """An execution role that SageMaker may assume."""
        return self.environment()["STAGEMAKER_ROLE_ARN"]

    def client(self, service: str, *, admin: bool = True, **options: Any) -> Any:
        """A boto3 client of this stage, whatever the environment says."""
        import boto3  # 0.3 s, for those who ask

        variables = self.environment(admin=admin)
        make_client: Any = boto3.client  # its overloads want a literal name
        defaults = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            "region_name": variables["AWS_REGION"],
        }
        return make_client(service, **{**defaults, **options})

    def reset(self) -> None:
        """Empty the account. Jobs that still run are ended."""
        address = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request("POST", "/_stagemaker/reset")
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"the stage did not reset: {response.read().decode()}")
        finally:
            connection.close()

    def stop(self) -> None:
        """End the stage and its jobs; the state folder stays. A stage that is gone already is no error."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.reset()
        self.process.terminate()
        self.process.wait(timeout=20)


def start_stage(
    state: Path,
    *,
    auth: AuthMode = AuthMode.ENFORCE,
    images: Path | None = None,
    backing_url: str | None = None,
    options: Sequence[str] = (),
) -> RunningStage:
    """Start a stage on a free port, ready when this returns; `options` go to `serve`. Raises BackgroundError.

    With `backing_url`, or the variable STAGEMAKER_BACKING_URL, it stands in front of the LocalStack there.
    """
    folder = StateFolder(state.absolute())
    folder.prepare()
    command = [sys.executable, "-m", "stagemaker", "serve", "--state", str(folder.root), "--port", "0"]
    command += ["--auth", auth.value, "--allow-reset", *(["--images", str(images)] if images else []), *options]
    if url := backing_url or os.environ.get(BACKING_VARIABLE):
        command += ["--backing-url", url]
    with folder.stage_log.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_quiet(os.environ), start_new_session=True
        )
    return RunningStage(folder, wait_until_ready(folder, process)["endpoint"], process)


def _quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """The stage needs none of the caller's AWS settings."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}


@cache
def _shared_stage() -> RunningStage:
    state = Path(tempfile.mkdtemp(prefix="stagemaker-"))
    running = start_stage(state)

    def end() -> None:
        try:
            running.stop()
        finally:
            shutil.rmtree(state, ignore_errors=True)

    atexit.register(end)
    return running


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> RunningStage:
    """An empty account for one test, and the environment that leads AWS clients to it."""
    running = _shared_stage()
    running.reset()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    return running
