"""A user's handlers behind the HTTP server.

AWS's images run several worker processes, and in each of them one request at a time, so that users'
handlers need not be thread-safe. Here a process has one thread for the handlers: a model is loaded and
used on this thread alone, and requests that come meanwhile wait. `/ping` waits only while the model is
being loaded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.conventions import DEFAULT_ACCEPT_VARIABLE, Conventions
from stagemaker.algorithms.toolkit.encoding import JSON
from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.handlers import Defaults, Handlers
from stagemaker.algorithms.toolkit.http_server import MEGABYTE
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.user_module import load
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

MAX_LENGTH = 100 * MEGABYTE
"""The largest payload of a batch transform; InvokeEndpoint sends less."""
_RETRY_AFTER = 5.0
"""Seconds from a failed model_fn to the next try: AWS's images try again at every `/ping`."""
_MAX_WAITING = 1000
"""Requests that may wait for the handlers; AWS's worker has as many connections."""

ExecutionParameters = Callable[[], Any]
_T = TypeVar("_T")


class _HandlerError(Exception):
    """What a handler raised, also when it was meant to end the interpreter. The cause has it."""


class HandlerService:
    """Handlers behind the server. model_fn runs at the first `/ping`, or request, and not again once it succeeded."""

    max_length = MAX_LENGTH

    def __init__(
        self,
        handlers: Handlers,
        conventions: Conventions,
        model_dir: str,
        environment: Mapping[str, str],
        execution_parameters: ExecutionParameters | None = None,
    ) -> None:
        self._handlers = handlers
        self._conventions = conventions
        self._model_dir = model_dir
        self._default_accept = environment.get(DEFAULT_ACCEPT_VARIABLE) or JSON
        self._execution_parameters = execution_parameters
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="handlers")
        self._waiting = 0
        self._model: asyncio.Task[Any] | None = None
        self._tried = 0.0

    async def ping(self) -> Answer:
        """200 when model_fn has returned, 500 when it failed."""
        try:
            await self._loaded()
        except _HandlerError:
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR)
        return Answer(HTTPStatus.OK)

    async def invoke(self, call: Call) -> Answer:
        """Answer one request, after those that came before it."""
        if self._waiting >= _MAX_WAITING:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE)
        self._waiting += 1
        try:
            model = await self._loaded()
            return await self._on_thread(lambda: self._transform(model, call))
        except _HandlerError as error:
            return self._failure(error)
        finally:
            self._waiting -= 1

    async def execution_parameters(self) -> Answer:
        """What the function of the image or the user says; 404 without one."""
        function = self._execution_parameters
        if function is None:
            return Answer(HTTPStatus.NOT_FOUND)
        try:
            return await self._on_thread(lambda: self._conventions.answer(function(), JSON))
        except _HandlerError as error:
            return self._failure(error)

    def _transform(self, model: Any, call: Call) -> Answer:
        request = self._conventions.request(call, self._default_accept)
        result = self._handlers.transform(model, request.body, request.content_type, request.accept)
        return self._conventions.answer(result, request.accept)

    async def _loaded(self) -> Any:
        """The model. All who ask while it is being loaded wait for the same call of model_fn."""
        failed = self._model is not None and self._model.done() and self._model.exception() is not None
        if self._model is None or (failed and time.monotonic() - self._tried > _RETRY_AFTER):
            self._model = asyncio.ensure_future(self._load())
        return await asyncio.shield(self._model)

    async def _load(self) -> Any:
        LOG.info("Loading the model by model_fn from %s", self._model_dir)
        try:
            return await self._on_thread(lambda: self._handlers.load(self._model_dir))
        except _HandlerError as error:
            LOG.error("model_fn failed: /ping is not healthy", exc_info=error.__cause__)  # noqa: TRY400 - the cause is what counts
            raise
        finally:
            self._tried = time.monotonic()

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _guarded, work)

    def _failure(self, error: _HandlerError) -> Answer:
        cause = error.__cause__ or error
        answer = self._conventions.failure(cause)
        LOG.error("A request was answered with %d", answer.status, exc_info=cause)
        return answer


def serve(
    layout: Layout,
    environment: Mapping[str, str],
    defaults: Defaults,
    conventions: Conventions,
    execution_parameters: ExecutionParameters | None = None,
) -> int:
    """Import the user's module and serve its handlers until SIGTERM or SIGINT; the exit code.

    Code that cannot be had or imported ends the program with 1 before anything listens, so that the
    endpoint fails its health check; the log says why. `execution_parameters` is the image's answer where
    the module has no execution_parameters_fn.
    """
    try:
        module = load(environment, layout)
        handlers = Handlers(module, defaults)
    except (ClientError, ValueError):
        LOG.exception("The module with the handlers cannot be used")
        return 1
    own: ExecutionParameters | None = getattr(module, "execution_parameters_fn", None)
    service = HandlerService(handlers, conventions, str(layout.model), environment, own or execution_parameters)
    http_server.run(service, environment)
    return 0


def _guarded(work: Callable[[], _T]) -> _T:
    """Run it. A handler that ends the interpreter (`sys.exit`) ends its request only."""
    try:
        return work()
    except BaseException as error:
        raise _HandlerError from error
