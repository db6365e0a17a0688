"""From starting a server to its first S3 and first SageMaker answer: the stage beside moto_server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from measure import Comparison, compare

PYTHON = sys.executable


def free_port() -> int:
    """A port that is free at this moment, as is the one above it, where the stage's proxy listens."""
    while True:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = int(low.getsockname()[1])
            try:
                high.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def cold_start(command: Callable[[int, Path], Sequence[str]]) -> float:
    """Seconds from starting `command` to the second of the two answers."""
    port, state = free_port(), Path(tempfile.mkdtemp(prefix="stagemaker-cold-"))
    session = boto3.Session("test", "test", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    endpoint = f"http://127.0.0.1:{port}"
    s3 = session.client("s3", endpoint_url=endpoint, config=config)
    sagemaker = session.client("sagemaker", endpoint_url=endpoint, config=config)
    start = time.perf_counter()
    process = subprocess.Popen(command(port, state), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for call in (s3.list_buckets, sagemaker.list_training_jobs):
            _until_answered(call)
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(state, ignore_errors=True)


def _until_answered(call: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            call()
        except BotoCoreError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError("the server never answered")


def stage_command(port: int, state: Path) -> Sequence[str]:
    """A stage on an empty state folder; `open`, since moto takes any key too."""
    return [PYTHON, "-m", "stagemaker", "serve", "--state", str(state), "--port", str(port), "--auth", "open"]


def moto_command(port: int, _state: Path) -> Sequence[str]:
    """The server of moto, all of its services."""
    return [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def run() -> Comparison:
    """The comparison; its baseline is moto_server."""
    return compare(
        "cold start to first S3 and SageMaker answer, beside moto_server",
        lambda: cold_start(stage_command),
        lambda: cold_start(moto_command),
    )


if __name__ == "__main__":
    print(run().row())
