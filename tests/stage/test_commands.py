"""The commands as a person types them: serve, up, down, status, env."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def stagemaker(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on a state folder of the test's own."""
    environment = {**os.environ, "STAGEMAKER_STATE": str(state)}
    return subprocess.run(
        [sys.executable, "-m", "stagemaker", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder; a stage that is left running on it is stopped."""
    folder = tmp_path / "state"
    yield folder
    stagemaker("down", state=folder)


def test_up_status_env_down(state: Path) -> None:
    """The life of a stage in the background, and what each command says and returns."""
    status = stagemaker("status", state=state)
    assert (status.returncode, "No stage runs" in status.stdout) == (3, True)
    assert stagemaker("env", "--json", state=state).returncode == 3
    started = stagemaker("up", "--port", "0", state=state)
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("Stage ready at http://127.0.0.1:")
    again = stagemaker("up", "--port", "0", state=state)
    assert (again.returncode, again.stdout.startswith("A stage already runs at")) == (0, True)
    running = json.loads(stagemaker("status", "--json", state=state).stdout)
    assert (running["running"], running["endpoints"]) == (True, [])
    assert "Endpoints: none" in stagemaker("status", state=state).stdout
    learner = json.loads(stagemaker("env", "--json", state=state).stdout)
    administrator = json.loads(stagemaker("env", "--json", "--admin", state=state).stdout)
    assert learner["AWS_ENDPOINT_URL"] == administrator["AWS_ENDPOINT_URL"] == running["endpoint"]
    assert learner["AWS_ACCESS_KEY_ID"] != administrator["AWS_ACCESS_KEY_ID"]
    assert f"export AWS_ENDPOINT_URL={running['endpoint']}" in stagemaker("env", state=state).stdout
    stopped = stagemaker("down", state=state)
    assert (stopped.returncode, stopped.stdout.startswith("Stage stopped")) == (0, True)
    assert stagemaker("down", state=state).stdout.startswith("No stage runs")


def test_keys_survive_a_restart(state: Path) -> None:
    """The account's keys belong to its folder."""
    keys = []
    for _ in range(2):
        assert stagemaker("up", "--port", "0", state=state).returncode == 0
        keys.append(json.loads(stagemaker("env", "--json", state=state).stdout)["AWS_SECRET_ACCESS_KEY"])
        stagemaker("down", state=state)
    assert keys[0] == keys[1]


def test_port_in_use_says_whose(state: Path) -> None:
    """The message names the process that has the port, and a way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = stagemaker("up", "--port", str(port), state=state)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}" in refused.stderr
    assert f"by process {os.getpid()}" in refused.stderr
    assert "choose another port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_stages_never_share_a_folder(state: Path) -> None:
    """The second one says where the first one runs."""
    assert stagemaker("up", "--port", "0", state=state).returncode == 0
    second = stagemaker("serve", "--port", "0", state=state)
    assert second.returncode == 1
    assert "a stage already runs on" in second.stderr
    assert "http://127.0.0.1:" in second.stderr


def test_stage_that_was_killed_is_not_running(state: Path) -> None:
    """The lock goes with the process: a stale address is not believed, and a new stage starts."""
    assert stagemaker("up", "--port", "0", state=state).returncode == 0
    pid = json.loads(stagemaker("status", "--json", state=state).stdout)["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while stagemaker("status", state=state).returncode == 0:
        assert time.monotonic() < deadline
    assert stagemaker("up", "--port", "0", state=state).returncode == 0


def test_folder_of_a_newer_version_is_refused(state: Path) -> None:
    """An older program must not write into a layout that it does not know."""
    state.mkdir()
    (state / "version.json").write_text('{"version": 99, "id": "x"}')
    refused = stagemaker("up", "--port", "0", state=state)
    assert refused.returncode == 1
    assert "written by a newer Stagemaker" in refused.stderr


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file in the way: the message names it, without a traceback."""
    (tmp_path / "file").write_text("")
    refused = stagemaker("up", "--port", "0", state=tmp_path / "file")
    assert refused.returncode == 1
    assert "cannot use the state folder" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--port", "99999"], "is not a port"),
        (["up", "--account", "12"], "12 digits"),
        (["up", "--auth", "maybe"], "--auth"),
    ],
)
def test_bad_options_are_explained(state: Path, arguments: list[str], words: str) -> None:
    """Exit code 2, as everywhere, and words that say what is expected."""
    refused = stagemaker(*arguments, state=state)
    assert refused.returncode == 2
    assert words in refused.stderr


def test_open_mode_takes_any_key(state: Path) -> None:
    """`--auth open`: the convention of emulators in CI."""
    import boto3

    assert stagemaker("up", "--port", "0", "--auth", "open", state=state).returncode == 0
    endpoint = json.loads(stagemaker("status", "--json", state=state).stdout)["endpoint"]
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.client("s3", endpoint_url=endpoint).create_bucket(Bucket="any-key")
    assert session.client("sagemaker", endpoint_url=endpoint).list_training_jobs()["TrainingJobSummaries"] == []
    assert session.client("sts", endpoint_url=endpoint).get_caller_identity()["Arn"].endswith(":root")


def test_reset_must_be_allowed(state: Path) -> None:
    """A stage that was not started for it keeps its account."""
    import urllib.error
    import urllib.request

    assert stagemaker("up", "--port", "0", state=state).returncode == 0
    endpoint = json.loads(stagemaker("status", "--json", state=state).stdout)["endpoint"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/_stagemaker/reset", method="POST"))
    assert refused.value.code == 403
    refused.value.close()


def test_up_in_another_way_is_refused(state: Path) -> None:
    """A stage that runs already is not passed off as the one that was asked for."""
    assert stagemaker("up", "--port", "0", state=state).returncode == 0
    refused = stagemaker("up", "--port", "0", "--auth", "open", "--allow-reset", state=state)
    assert refused.returncode == 1
    assert "--auth open, not enforce" in refused.stderr
    assert "--allow-reset True, not False" in refused.stderr


def test_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """A project's folder does not become a state folder, and keeps its mode."""
    project = tmp_path / "project"
    project.mkdir(mode=0o755)
    (project / "main.py").write_text("")
    refused = stagemaker("up", "--port", "0", state=project)
    assert (refused.returncode, "is no state folder" in refused.stderr) == (1, True)
    assert project.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_tidily(state: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: exit code 0, no traceback, no address left behind."""
    command = [sys.executable, "-m", "stagemaker", "serve", "--state", str(state), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Stage ready at")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert not (state / "stage.json").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1}'])
def test_damaged_version_file_is_named(state: Path, text: str) -> None:
    """Without a traceback."""
    state.mkdir()
    (state / "version.json").write_text(text)
    refused = stagemaker("up", "--port", "0", state=state)
    assert refused.returncode == 1
    assert "version.json is damaged" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_folder_of_another_account_is_refused(state: Path) -> None:
    """Keys belong to one account."""
    assert stagemaker("up", "--port", "0", state=state).returncode == 0
    stagemaker("down", state=state)
    refused = stagemaker("up", "--port", "0", "--account", "111111111111", state=state)
    assert refused.returncode == 1
    assert "holds keys of account 123456789012" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_background_hands_every_setting_on(tmp_path: Path) -> None:
    """What `up` is asked for is what `serve` is started with: all fields, by their options."""
    from dataclasses import replace

    from stagemaker.background import _arguments
    from stagemaker.cli import _parser, _settings
    from stagemaker.settings import AuthMode, Settings

    asked = Settings(
        state=tmp_path,
        port=4700,
        account="210987654321",
        auth=AuthMode.OPEN,
        allow_reset=True,
        images=tmp_path,
        stop_grace=3.0,
        keep_failed=0.5,
        listen="0.0.0.0",  # noqa: S104 - only handed on
    )
    options = _parser().parse_args(["serve", *_arguments(asked)])
    options.target = "local"
    assert _settings(options) == asked
    assert "--port 0 " in " ".join(_arguments(replace(asked, port=0)))
    url = "http://127.0.0.1:4999"
    arguments = _arguments(replace(asked, backing_url=url))
    assert arguments[arguments.index("--backing-url") + 1] == url
