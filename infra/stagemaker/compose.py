"""LocalStack by Docker Compose: version 2, the docker plugin, or 1.29, a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROJECT = "stagemaker"
SERVICE = "localstack"

_LIMIT_SECONDS = 900.0
"""The first start pulls the image, about 1 GB."""

_OTHERWISE = "Or start LocalStack in another way, and name it: --backing-url http://127.0.0.1:PORT"


class ComposeError(Exception):
    """LocalStack could not be started. The message is for the person at the terminal."""


def start_localstack() -> str:
    """Start the LocalStack of docker-compose.yml unless it runs, wait until it answers; its address.

    Raises ComposeError, which says what is missing.
    """
    compose = [*_program(), "-p", PROJECT, "-f", str(_file())]
    _run([*compose, "up", "-d", SERVICE])
    published = _run([*compose, "port", SERVICE, "4566"]).strip().splitlines()
    if not published or ":" not in published[-1]:
        raise ComposeError(f"LocalStack runs, but its port is published nowhere.\n{_OTHERWISE}")
    return f"http://127.0.0.1:{published[-1].rpartition(':')[2]}"


def _program() -> list[str]:
    """`docker compose` where the plugin is there, else `docker-compose`."""
    if shutil.which("docker"):
        probe = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=30)
        if probe.returncode == 0:
            return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise ComposeError(
        "there is no Docker Compose here (neither `docker compose` nor `docker-compose`), "
        f"and --target localstack starts LocalStack with it.\n{_OTHERWISE}"
    )


def _file() -> Path:
    """docker-compose.yml: of the clone, or the copy that a wheel brings."""
    here = Path(__file__).parent
    for file in (here.parents[1] / "docker-compose.yml", here / "docker-compose.yml"):
        if file.is_file():
            return file
    raise ComposeError(f"docker-compose.yml is not where it was installed ({here}).\n{_OTHERWISE}")


def _run(command: Sequence[str]) -> str:
    """What a command prints. Raises ComposeError with its own words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ComposeError(f"`{' '.join(command)}` did not end within {error.timeout:.0f} s.\n{_OTHERWISE}") from error
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ComposeError(f"`{' '.join(command)}` failed, is a Docker engine running?\n{said}\n{_OTHERWISE}")
    return done.stdout
