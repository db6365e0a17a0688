"""The user's model and the handlers around it, in one process and on one thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from stagemaker.algorithms.toolkit.conventions import DEFAULT_ACCEPT_VARIABLE, Conventions
from stagemaker.algorithms.toolkit.encoding import JSON
from stagemaker.algorithms.toolkit.handlers import Handlers
from stagemaker.algorithms.toolkit.messages import Answer, Call

LOG = logging.getLogger(__name__)

ExecutionParameters = Callable[[], Any]

_RETRY_AFTER = 5.0
"""Seconds from a failed model_fn to the next try: AWS's images try again at every `/ping`."""


class UserModel:
    """Loads by model_fn, once it succeeded not again, and answers requests. Nothing is raised.

    Not for several threads at once: handlers need not be thread-safe.
    """

    def __init__(
        self,
        handlers: Handlers,
        conventions: Conventions,
        model_dir: str,
        environment: Mapping[str, str],
        execution_parameters: ExecutionParameters | None = None,
    ) -> None:
        self.loaded = False
        self._handlers = handlers
        self._conventions = conventions
        self._model_dir = model_dir
        self._default_accept = environment.get(DEFAULT_ACCEPT_VARIABLE) or JSON
        self._execution_parameters = execution_parameters
        self._model: Any = None
        self._error: BaseException | None = None
        self._next_try = 0.0

    def load(self) -> bool:
        """Whether there is a model; model_fn is called for it when there is none yet."""
        if self.loaded or time.monotonic() < self._next_try:
            return self.loaded
        LOG.info("Loading the model by model_fn from %s", self._model_dir)
        try:
            # A handler that ends the interpreter (`sys.exit`) ends this attempt only.
            self._model = self._handlers.load(self._model_dir)
            self.loaded = True
        except BaseException as error:
            LOG.error("model_fn failed: /ping is not healthy", exc_info=error)  # noqa: TRY400 - no end of the program
            self._error = error
            self._next_try = time.monotonic() + _RETRY_AFTER
        return self.loaded

    def answer(self, call: Call) -> Answer:
        """Answer one request; whatever goes wrong is an answer too."""
        if not self.load() and self._error is not None:
            return self._conventions.failure(self._error)
        return self._guarded(lambda: self._transform(call))

    def execution_parameters(self) -> Answer:
        """What the function of the image or the user says; 404 without one."""
        function = self._execution_parameters
        if function is None:
            return Answer(HTTPStatus.NOT_FOUND)
        return self._guarded(lambda: self._conventions.answer(function(), JSON))

    def _transform(self, call: Call) -> Answer:
        request = self._conventions.request(call, self._default_accept)
        result = self._handlers.transform(self._model, request.body, request.content_type, request.accept)
        return self._conventions.answer(result, request.accept)

    def _guarded(self, work: Callable[[], Answer]) -> Answer:
        """Run it. A handler that ends the interpreter (`sys.exit`) ends its request only."""
        try:
            return work()
        except BaseException as error:
            answer = self._conventions.failure(error)
            LOG.error("A request was answered with %d", answer.status, exc_info=error)  # noqa: TRY400 - same
            return answer
