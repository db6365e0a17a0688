"""A worker: a process of its own that holds the user's module and model and answers one request after another.

`python -m stagemaker.algorithms.toolkit.worker CHANNEL LIFE`, two inherited file descriptors. Over the channel
come an Assignment and then, one at a time, messages; each is answered. The end of LIFE is the end of the
server, and so of the worker, whatever its handlers do.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from stagemaker.algorithms.toolkit import user_module
from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.handlers import Handlers
from stagemaker.algorithms.toolkit.messages import Call
from stagemaker.algorithms.toolkit.program import log_to_stderr
from stagemaker.algorithms.toolkit.user_model import ExecutionParameters, UserModel
from stagemaker.algorithms.toolkit.worker_messages import Assignment, Message, Order, Reply

LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Serve the channel to its end; the exit code, 1 when the module cannot be used."""
    descriptor, life = map(int, arguments)
    for inherited in (descriptor, life):
        os.set_inheritable(inherited, False)  # a handler's own children must not keep the channel open
    channel: Connection[Any, Any] = Connection(descriptor)
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the server ends its workers itself
    log_to_stderr()
    assignment: Assignment = channel.recv()
    sys.path[:] = assignment.path
    try:
        module = user_module.import_module(os.environ, assignment.layout)
        handlers = Handlers(module, assignment.defaults)
    except (ClientError, ValueError):
        LOG.exception("The module with the handlers cannot be used")
        return 1
    own: ExecutionParameters | None = getattr(module, "execution_parameters_fn", None)
    parameters = own or assignment.execution_parameters
    model = UserModel(handlers, assignment.conventions, str(assignment.layout.model), os.environ, parameters)
    channel.send(Reply(loaded=False))
    while True:
        try:
            message: Message = channel.recv()
        except EOFError:
            return 0
        channel.send(_reply(model, message))


def _reply(model: UserModel, message: Message) -> Reply:
    if message is Order.LOAD:
        return Reply(model.load())
    answer = model.answer(message) if isinstance(message, Call) else model.execution_parameters()
    return Reply(model.loaded, answer)


def _end_with(life: int) -> None:
    """Wait for the end of the server. A handler that hangs must not outlive it."""
    os.read(life, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
