"""Containers that are copies of a process which has imported their library already.

The copy is made before the job's runner has a thread, waits for the container's start, and then turns
itself into what `python -m MODULE` would be with the container's variables, tree and output.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from stagemaker.contract.layout import Layout
from stagemaker.jobs.launcher import Container, ProcessLauncher, prepare_child, whole_environment
from stagemaker.jobs.namespace import Namespace

_READY = b"ready\n"
_MOST_FILES = max(os.sysconf("SC_OPEN_MAX"), 4096)


class ForkedContainer:
    """A container that was forked and not executed. It leads a process group of its own."""

    def __init__(self, pid: int, channel: socket.socket, output: IO[bytes]) -> None:
        self._pid = pid
        self._channel = channel
        self._output = output
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._pid

    @property
    def output(self) -> IO[bytes]:
        """Its stdout and stderr."""
        return self._output

    def begin(self, start: Mapping[str, Any]) -> None:
        """Let it become the container. Raises OSError when it cannot."""
        with self._channel:
            self._channel.sendall(json.dumps(start).encode() + b"\n")
            answer = self._channel.makefile("rb").readline()
        if answer != _READY:
            raise OSError(0, answer.decode("utf-8", "replace").strip() or "it has ended", str(start["arguments"]))

    def poll(self) -> int | None:
        """Its exit code; 128 + n when signal n ended it."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it, after a SIGKILL to all
                self._code = 128 + signal.SIGKILL
            else:
                if pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._code = 128 - code if code < 0 else code
        return self._code

    def terminate(self) -> None:
        """SIGTERM to its first process."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class ForkedLauncher:
    """Starts `count` containers of `module` by fork; whatever else is asked for, as a process."""

    def __init__(self, module: str, count: int) -> None:
        self._module = module
        self._ready = [_fork(module) for _ in range(count)]

    def start(
        self,
        command: Sequence[str],
        layout: Layout,
        environment: Mapping[str, str],
        scratch: Path,
        namespace: Namespace | None = None,
    ) -> Container:
        """See `Launcher`."""
        if not self._ready or list(command[:3]) != [sys.executable, "-m", self._module]:
            return ProcessLauncher().start(command, layout, environment, scratch, namespace)
        scratch.mkdir(parents=True, exist_ok=True)
        container = self._ready.pop(0)
        inside = None
        if namespace is not None:
            inside = [str(namespace.base), str(namespace.hosts), str(namespace.stash), namespace.isolated]
        container.begin(
            {
                "arguments": list(command[3:]),
                "environment": whole_environment(environment, layout, scratch),
                "folder": str(scratch),
                "namespace": inside,
            }
        )
        return container


def _fork(module: str) -> ForkedContainer:
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(module, theirs, write)
    theirs.close()
    os.close(write)
    return ForkedContainer(pid, ours, os.fdopen(read, "rb"))


def _become(module: str, channel: socket.socket, output: int) -> NoReturn:
    """The child's side: wait for the start, be the container, end. Never comes back into the runner's code."""
    code = 1
    try:
        _close_all_but(channel.fileno(), output)
        os.setsid()
        prepare_child(None)  # a runner that goes takes its waiting containers along
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not (line := channel.makefile("rb").readline()):
            os._exit(0)
        start = json.loads(line)
        try:
            _move_in(start, output)
        except OSError as error:
            channel.sendall(f"{error}\n".encode())
            os._exit(1)
        channel.sendall(_READY)
        channel.close()
        code = _run(module, start["arguments"])
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here
        traceback.print_exc()
    finally:
        # Not by way of the interpreter's end: to take down the libraries takes 0.2 s.
        os._exit(code)


def _close_all_but(*kept: int) -> None:
    """The runner's lock, the other containers' channels, whatever is open: none of it is the container's."""
    for low, high in zip((2, *sorted(kept)), (*sorted(kept), _MOST_FILES), strict=True):
        os.closerange(low + 1, high)


def _move_in(start: Mapping[str, Any], output: int) -> None:
    """What happens between fork and exec to a container that is a program. Raises OSError."""
    os.chdir(start["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for each in (nothing, output):
        os.close(each)
    if start["namespace"]:
        base, hosts, stash, isolated = start["namespace"]
        prepare_child(Namespace(Path(base), Path(hosts), Path(stash), isolated=isolated))
    os.environ.clear()
    os.environ.update(start["environment"])
    tempfile.tempdir = None


def _run(module: str, arguments: Sequence[str]) -> int:
    """As `python -m MODULE ARGUMENTS`; the exit code."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # or all copies would draw the same numbers
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            code = end.code or 0
        else:
            sys.stderr.write(f"{end.code}\n")
            code = 1
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        code = 1
    else:
        code = 0
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code
