"""Starting a container. `process`, the default, runs the image's program as a local process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from stagemaker.contract.layout import BASE_DIR_VARIABLE, Layout
from stagemaker.jobs.namespace import Namespace

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child of a process with threads must not load anything."""
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OPENBLAS_CORETYPE")
"""What a local process needs of its surroundings. Nothing of AWS's: a job has its role's keys only."""


class Container(Protocol):
    """A running container."""

    @property
    def pid(self) -> int:
        """Its first process."""
        ...

    @property
    def output(self) -> IO[bytes]:
        """Its stdout and stderr, in one stream."""
        ...

    def poll(self) -> int | None:
        """Its exit code as a shell would give it (137 when killed by SIGKILL); None while it runs."""
        ...

    def terminate(self) -> None:
        """SIGTERM to its first process."""
        ...

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        ...


class Launcher(Protocol):
    """A way to run containers."""

    def start(
        self,
        command: Sequence[str],
        layout: Layout,
        environment: Mapping[str, str],
        scratch: Path,
        namespace: Namespace | None = None,
    ) -> Container:
        """Start `command`, which sees its `/opt/ml` at `layout`. Raises OSError when it cannot be started."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessContainer:
    """A container that is a process group of this machine."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its first process, which leads its group."""
        return self.process.pid

    @property
    def output(self) -> IO[bytes]:
        """Its stdout and stderr."""
        assert self.process.stdout is not None
        return self.process.stdout

    def poll(self) -> int | None:
        """Its exit code; 128 + n when signal n ended it."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def terminate(self) -> None:
        """SIGTERM to the process that was started, as Docker does to a container's first process."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL to the whole group, children that outlived their parent too."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class ProcessLauncher:
    """Runs programs directly. SAGEMAKER_BASE_DIR names the base folder, which a namespace puts at `/opt/ml`."""

    def start(
        self,
        command: Sequence[str],
        layout: Layout,
        environment: Mapping[str, str],
        scratch: Path,
        namespace: Namespace | None = None,
    ) -> ProcessContainer:
        """Start `command` in a session of its own, with no variables but the container's."""
        scratch.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=whole_environment(environment, layout, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=(lambda: prepare_child(namespace)) if sys.platform == "linux" else None,  # noqa: PLW1509 - it makes system calls only
        )
        return ProcessContainer(process)


def kept_environment() -> dict[str, str]:
    """What a process of the stage's hands on of its own variables."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}


def whole_environment(environment: Mapping[str, str], layout: Layout, scratch: Path) -> dict[str, str]:
    """All variables of a container: this machine's, the container's, the base folder."""
    return {
        **kept_environment(),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        **environment,
        BASE_DIR_VARIABLE: str(layout.base),
    }


def prepare_child(namespace: Namespace | None) -> None:
    """Enter the namespace. And a runner that is killed must not leave its container behind, unwatched."""
    if namespace is not None:
        namespace.enter()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # last: a change of user clears it
