"""Runs the user's program and says how it went."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

from stagemaker.algorithms.toolkit import shims
from stagemaker.algorithms.toolkit.code import decoded, fetch
from stagemaker.algorithms.toolkit.errors import ExecuteUserScriptError
from stagemaker.algorithms.toolkit.variables import arguments, variables
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

_REMEMBERED_LINES = 20
"""Of standard error, for ErrorMessage: a traceback's end."""


def run(strings: Mapping[str, str], layout: Layout, environment: Mapping[str, str], framework_module: str) -> None:
    """Fetch the code and run it to its end. SIGTERM is passed on to it.

    Raises ClientError for code that cannot be had, ExecuteUserScriptError when it fails.
    """
    hyperparameters = decoded(strings)
    program = fetch(hyperparameters, layout)
    command = _command(program, hyperparameters, layout)
    LOG.info("Invoking script with the following command:\n\n%s\n", shlex.join(command))
    process = subprocess.Popen(
        command,
        cwd=layout.code,
        env={
            **environment,
            **variables(hyperparameters, layout, environment, framework_module),
            "PYTHONPATH": os.pathsep.join(filter(None, (shims.FOLDER, environment.get("PYTHONPATH")))),
        },
        stderr=subprocess.PIPE,
    )
    last: deque[str] = deque(maxlen=_REMEMBERED_LINES)
    assert process.stderr is not None
    copier = threading.Thread(target=_copy, args=(process.stderr, last), daemon=True)
    copier.start()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _pass_on(process))
    code = process.wait()
    copier.join()
    if code != 0:
        raise ExecuteUserScriptError(shlex.join(command), 128 - code if code < 0 else code, "".join(last).strip())


def _command(program: Path, hyperparameters: Mapping[str, Any], layout: Layout) -> list[str]:
    """A Python program by the interpreter of this image, a shell script by the shell."""
    words = arguments(hyperparameters, layout)
    name = str(program.relative_to(layout.code))
    if program.suffix == ".sh":
        program.chmod(0o700)  # an object of S3 has no modes
        return ["/bin/sh", "-c", shlex.join([f"./{name}", *words])]
    return [sys.executable, name, *words]


def _copy(source: IO[bytes], last: deque[str]) -> None:
    for line in source:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        last.append(line.decode(errors="replace"))


def _pass_on(process: subprocess.Popen[bytes]) -> Any:
    def terminate(_: int, __: FrameType | None) -> None:
        process.terminate()

    return terminate
