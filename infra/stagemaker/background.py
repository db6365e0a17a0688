"""A stage in the background: start it and wait until it is ready, or end it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
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

    A stage that runs already is left alone, unless it was asked for in another way. Raises BackgroundError, StateError.
    """
    folder = StateFolder(settings.state)
    folder.prepare()
    if running := folder.running():
        if different := _differences(settings, running):
            raise BackgroundError(
                f"a stage already runs at {running['endpoint']}, and in another way: {', '.join(different)}.\n"
                "Stop it first: stagemaker down"
            )
        return f"A stage already runs at {running['endpoint']}, state in {folder.root}"
    if folder.stage_log.exists():  # the log of a crash is what one wants to read after it
        folder.stage_log.replace(folder.stage_log.with_suffix(".log.1"))
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
    with contextlib.suppress(ProcessLookupError):
        os.kill(running["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if folder.running() is None:
            return f"Stage stopped; its account stays in {folder.root}"
        time.sleep(_PAUSE)
    raise BackgroundError(f"process {running['pid']} did not stop within {STOP_SECONDS:.0f} s; see {folder.stage_log}")


def _arguments(settings: Settings) -> list[str]:
    """The options of `serve` that ask for `settings`."""
    arguments = []
    for name, value in settings.options().items():
        if value is True:
            arguments.append(name)
        elif value is not None and value is not False:  # 0 is a value: any free port
            arguments += [name, str(value)]
    return arguments


def _differences(settings: Settings, running: Mapping[str, Any]) -> list[str]:
    """What was asked for and is not so, defaults apart: `--auth open, not enforce`."""
    asked, usual = settings.options(), Settings(settings.state).options()
    there = running.get("options", {})
    return [
        f"{name} {value}, not {there[name]}"
        for name, value in asked.items()
        if name in there and value != usual[name] and str(value) != str(there[name]) and (name, value) != ("--port", 0)
    ]


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
