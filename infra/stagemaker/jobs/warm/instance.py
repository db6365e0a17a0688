"""The server's side of a kept instance: start its process, leave jobs to it, end it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.environment import thread_environment
from stagemaker.jobs.launcher import kept_environment


class WarmInstance:
    """A process with `modules` imported, or about to be, that becomes the runner of one job at a time.

    It ends with `close` and with the server, and only then: the runners that it became go on.
    """

    def __init__(self, modules: tuple[str, ...], threads: int, log: Path) -> None:
        """Raises OSError when no process can be had. What it prints, which is trouble, goes to `log`."""
        self.modules = modules
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        environment = kept_environment() | thread_environment(threads) | {"PYTHONUNBUFFERED": "1"}
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with theirs, log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "stagemaker.jobs.warm.process", *modules],
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=output,
                    cwd=log.parent,
                    start_new_session=True,
                    env=environment,
                )
        except OSError:
            self._socket.close()
            raise

    def run(self, directory: JobDirectory) -> None:
        """Have it run the job, now or as soon as it has imported. Raises OSError when it is gone.

        The job's lock goes along: it is held from now on until the runner ends, or the process does
        before there is one.
        """
        lock = directory.take_lock()
        try:
            socket.send_fds(self._socket, [os.fsencode(directory.root)], [lock])
        finally:
            os.close(lock)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
