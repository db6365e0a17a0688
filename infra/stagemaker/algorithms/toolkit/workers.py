"""The server's side of its workers: starting them, asking them, replacing those that die or hang."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from multiprocessing.connection import Connection
from typing import Any

from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.worker_messages import Assignment, Message, Order, Reply

LOG = logging.getLogger(__name__)

_END = 5.0
"""Seconds that a worker has to end by itself, before SIGKILL."""


class WorkerLostError(Exception):
    """The process ended before it replied."""


class TookTooLongError(Exception):
    """There was no reply in time, and the process was ended for it."""


class Worker:
    """One worker process, and its successors. Used by one thread at a time."""

    def __init__(self, assignment: Assignment, environment: Mapping[str, str], life: int, timeout: float) -> None:
        """`life` is a descriptor that ends with the server; `timeout` is what one request may take, in seconds."""
        self._assignment, self._environment = assignment, environment
        self._life, self._timeout = life, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Connection[Any, Any] | None = None
        self._busy = False
        self.loaded = False

    def start(self) -> None:
        """Start the process; it imports the user's module meanwhile. Raises OSError."""
        ours, theirs = socket.socketpair()
        self._channel = Connection(ours.detach())
        command = [sys.executable, "-m", "stagemaker.algorithms.toolkit.worker", str(theirs.fileno()), str(self._life)]
        with theirs:
            self._process = subprocess.Popen(
                command, env={**os.environ, **self._environment}, pass_fds=(theirs.fileno(), self._life)
            )
        with contextlib.suppress(BrokenPipeError):  # it has died already, as is_ready will find
            self._channel.send(self._assignment)

    def is_ready(self) -> bool:
        """Wait until the module is imported; False when it cannot be, which the log explains."""
        try:
            self._receive(None)
        except WorkerLostError:
            return False
        return True

    def load(self) -> bool:
        """Whether the worker has the model; it calls model_fn when it has not."""
        if self._process is not None and self._process.poll() is not None:
            self._lost()  # while it had nothing to do: no request need suffer for that
        if not self.loaded:
            try:
                self._ask(Order.LOAD, None)
            except WorkerLostError:
                return False
        return self.loaded

    def answer(self, call: Call) -> Answer:
        """Answer one request: 502 when the worker dies of it, 504 when it takes too long."""
        self.load()
        return self._answer(call)

    def execution_parameters(self) -> Answer:
        """What the image or the user's module says."""
        return self._answer(Order.EXECUTION_PARAMETERS)

    def interrupt(self) -> None:
        """End the process if it is in the middle of a message. From any thread: the one that waits goes on."""
        process = self._process
        if self._busy and process is not None:
            process.kill()

    def stop(self) -> None:
        """End the process: by itself when it can, and what it has registered for its end is done."""
        self.loaded = False
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            try:
                self._process.wait(_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._channel = self._process = None

    def _answer(self, message: Message) -> Answer:
        try:
            answer = self._ask(message, self._timeout).answer
        except TookTooLongError:
            return page(HTTPStatus.GATEWAY_TIMEOUT)
        except WorkerLostError:
            return page(HTTPStatus.BAD_GATEWAY)
        assert answer is not None
        return answer

    def _ask(self, message: Message, timeout: float | None) -> Reply:
        """Raises WorkerLostError and TookTooLongError. The next message starts another process then."""
        self._busy = True
        try:
            if self._process is None:
                self.start()
                self._receive(None)
            assert self._channel is not None
            self._channel.send(message)
            return self._receive(timeout)
        except OSError as error:
            raise self._lost() from error
        finally:
            self._busy = False

    def _receive(self, timeout: float | None) -> Reply:
        assert self._channel is not None
        try:
            in_time = self._channel.poll(timeout)
            reply: Reply | None = self._channel.recv() if in_time else None
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if reply is None:
            LOG.critical("A request has taken more than %g seconds: its worker is ended", timeout)
            self._kill()
            raise TookTooLongError
        self.loaded = reply.loaded
        return reply

    def _lost(self) -> WorkerLostError:
        """Say how it ended, and end what is left of it."""
        code: int | None = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                # Its end of the channel is closed a little before it has ended.
                code = self._process.wait(_END)
        LOG.error("A worker has ended with exit code %s", code)
        self._kill()
        return WorkerLostError()

    def _kill(self) -> None:
        """Without waiting: it is dead, or hangs."""
        if self._process is not None:
            self._process.kill()
        self.stop()


def page(status: HTTPStatus) -> Answer:
    """What nginx says in front of AWS's workers."""
    title = f"{status.value} {'Gateway Time-out' if status is HTTPStatus.GATEWAY_TIMEOUT else status.phrase}"
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "</body>",
    )
    return Answer(status, "\r\n".join((*lines, "</html>", "")).encode(), "text/html")
