"""The process of a kept instance: `python -m stagemaker.jobs.warm.process MODULE...`.

It imports the modules once, then becomes the runner of one job after the other, each by a fork: it
never sees a job itself, so nothing of a job can stay behind. Standard input is a socket; each message
on it is the folder of a job and, as a descriptor, the job's lock. The other end gone, it ends.
A module that cannot be imported costs the time that it was to save, and nothing else.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path
from typing import NoReturn

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.launcher import Launcher, ProcessLauncher
from stagemaker.jobs.runner import TrainingRunner, prepare
from stagemaker.jobs.spec import TrainingSpec
from stagemaker.jobs.warm.forked import ForkedLauncher

FORKS = sys.platform == "linux"
"""Whether a container may be a fork: macOS's own libraries do not outlive one."""
LONGEST_MESSAGE = 8192
"""Bytes; a path is shorter."""


def main(modules: list[str]) -> int:
    """Import, then serve until the other end is gone."""
    control = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the runners: their locks say that they live
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # pyarrow's allocator has a thread of its own, which it takes care of in a fork.
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
    for module in modules if FORKS else []:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001 - the job itself will say what is wrong
            traceback.print_exc()
    gc.freeze()  # or the first collection in each copy would copy all pages
    while True:
        message, locks, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message or not locks:
            return 0
        if os.fork() == 0:
            control.close()
            _be_runner(JobDirectory(Path(os.fsdecode(message))), locks[0], tuple(modules))
        os.close(locks[0])


def _be_runner(directory: JobDirectory, lock: int, preloaded: tuple[str, ...]) -> NoReturn:
    """The child's side: what `runner.main` does."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        directory.sign_lock(lock)
        _move_in(directory)
        prepare()
        spec = TrainingSpec.load(directory.spec)
        TrainingRunner(directory, spec, _launcher(spec, preloaded)).run()
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as the process that it is a copy of
        traceback.print_exc()
    finally:
        os._exit(0)


def _move_in(directory: JobDirectory) -> None:
    os.chdir(directory.root)
    log = os.open(directory.runner_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def _launcher(spec: TrainingSpec, preloaded: tuple[str, ...]) -> Launcher:
    """By fork where that makes no difference but of time."""
    module = spec.program.module
    if not FORKS or module is None or not preloaded or spec.preload != preloaded:
        return ProcessLauncher()
    return ForkedLauncher(module, spec.instance_count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
