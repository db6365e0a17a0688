"""Which stage a command means, and LocalStack by Compose; `docker` is a script that notes what it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stagemaker.compose import ComposeError, start_localstack

DOCKER = """#!/bin/sh
echo "$0 $*" >> {calls}
case "$*" in
  "compose version") exit {has_plugin} ;;
  *" up "*) {up} ;;
  *" port "*) echo 127.0.0.1:4999 ;;
esac
"""


def stagemaker(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The stage's command with a home folder of the test's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGEMAKER_")}
    command = [sys.executable, "-m", "stagemaker", *words]
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=False)


def programs(folder: Path, *names: str, has_plugin: bool = True, up: str = "exit 0") -> Path:
    """A folder with these programs of Docker's; gives the file in which their calls are noted."""
    calls = folder / "calls"
    for name in names:
        file = folder / name
        file.write_text(DOCKER.format(calls=calls, has_plugin=0 if has_plugin else 1, up=up))
        file.chmod(0o755)
    return calls


def test_the_plugin_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker compose` starts LocalStack alone and says on which port."""
    calls = programs(tmp_path, "docker", "docker-compose")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert start_localstack() == "http://127.0.0.1:4999"
    assert [line.split()[-3:] for line in calls.read_text().splitlines()[1:]] == [
        ["up", "-d", "localstack"],
        ["port", "localstack", "4566"],
    ]
    assert "docker-compose " not in calls.read_text()


def test_else_the_older_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-compose 1.29 takes the same words."""
    calls = programs(tmp_path, "docker", "docker-compose", has_plugin=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert start_localstack() == "http://127.0.0.1:4999"
    assert calls.read_text().count("/docker-compose -p stagemaker") == 2


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose's own words, and the way without it."""
    programs(tmp_path, "docker", up="echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ComposeError, match=r"(?s)is a Docker engine running.*Cannot connect.*--backing-url"):
        start_localstack()


def test_no_compose_at_all(tmp_path: Path) -> None:
    """`up --target localstack` says what is missing, and leaves nothing running."""
    done = stagemaker("up", "--target", "localstack", PATH=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert "there is no Docker Compose here" in done.stderr
    assert "--backing-url http://127.0.0.1:PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_target_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Unless one is named."""
    for words, name in (((), ".stagemaker"), (("--target", "localstack"), ".stagemaker-localstack")):
        status = json.loads(stagemaker("status", "--json", *words, HOME=str(tmp_path)).stdout)
        assert status == {"running": False, "state": str(tmp_path / name)}
    status = json.loads(stagemaker("status", "--json", "--target", "localstack", STAGEMAKER_STATE=str(tmp_path)).stdout)
    assert status["state"] == str(tmp_path)


def test_a_backing_url_is_for_localstack(tmp_path: Path) -> None:
    """With `--target local` it is refused, and so is what is no address."""
    state = ("--state", str(tmp_path / "state"))
    done = stagemaker("up", *state, "--target", "local", "--backing-url", "http://127.0.0.1:1")
    assert (done.returncode, "is for --target localstack" in done.stderr) == (1, True)
    done = stagemaker("up", *state, "--backing-url", "https://example.com/x")
    assert (done.returncode, "http://HOST:PORT" in done.stderr) == (2, True)
