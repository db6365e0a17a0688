"""A stage in the background: start it and wait until it is ready, or end it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from stagemaker.settings import Settings
from stagemaker.state import StateError, StateFolder

READY_SECONDS = 30.0
STOP_SECONDS = 20.0
_PAUSE = 0.02


class BackgroundError(Exception):
    """The stage did not start, or did not stop. The message is for the person at the terminal."""


def up(settings: Settings) -> str:
    """Start a stage and wait until it answers; a line that says where it is.

    A stage that runs already is left alone. Raises BackgroundError, StateError.
    """
    folder = StateFolder(settings.state)
    folder.prepare()
    if running := folder.running():
        return f"A stage already runs at {running['endpoint']}, state in {folder.root}"
    with folder.stage_log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stagemaker", "serve", *_arguments(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.root,
            start_new_session=True,
        )
    running = wait_until_ready(folder, process)
    return f"Stage ready at {running['endpoint']}, state in {folder.root}"


def wait_until_ready(folder: StateFolder, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The address of the stage that `process` is, once it answers. Raises BackgroundError."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BackgroundError(f"the stage did not start:\n{_tail(folder)}")
        running = folder.running()
        if running and running["pid"] == process.pid and _answers(running["endpoint"]):
            return running
        time.sleep(_PAUSE)
    process.kill()
    raise BackgroundError(f"the stage was not ready within {READY_SECONDS:.0f} s:\n{_tail(folder)}")


def down(folder: StateFolder) -> str:
    """Stop the stage of a folder, if one runs. Raises BackgroundError when it will not end."""
    running = folder.running()
    if running is None:
        return f"No stage runs on {folder.root}"
    os.kill(running["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if folder.running() is None:
            return f"Stage stopped; its account stays in {folder.root}"
        time.sleep(_PAUSE)
    raise BackgroundError(f"process {running['pid']} did not stop within {STOP_SECONDS:.0f} s; see {folder.stage_log}")


def _arguments(settings: Settings) -> list[str]:
    arguments = [
        *("--state", str(settings.state)),
        *("--port", str(settings.port)),
        *("--account", settings.account),
        *("--auth", settings.auth.value),
        *("--stop-grace", str(settings.stop_grace)),
    ]
    if settings.allow_reset:
        arguments.append("--allow-reset")
    if settings.images:
        arguments += ["--images", str(settings.images)]
    if settings.backing_url:
        arguments += ["--backing-url", settings.backing_url]
    return arguments


def _answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
    try:
        connection.request("GET", "/_stagemaker/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _tail(folder: StateFolder) -> str:
    try:
        return folder.stage_log.read_text(errors="replace")[-2000:].strip() or "(it printed nothing)"
    except OSError as error:
        raise StateError(f"cannot read {folder.stage_log}: {error.strerror}") from error
