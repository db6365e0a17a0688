"""A user's handlers behind the HTTP server.

As in AWS's images there are several worker processes, and in each of them one request at a time, so that
users' handlers need not be thread-safe. A worker that dies, or whose handler hangs, costs its own request
(502, 504) and is replaced. `/ping` waits only while no worker has its model.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, TypeVar

from stagemaker.algorithms.toolkit import http_server, user_module
from stagemaker.algorithms.toolkit.conventions import Conventions, SageMakerInference
from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.handlers import Defaults, Handlers
from stagemaker.algorithms.toolkit.http_server import MEGABYTE
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.models import Models, MultiModelService
from stagemaker.algorithms.toolkit.user_model import ExecutionParameters, UserModel
from stagemaker.algorithms.toolkit.variables import CPUS_VARIABLE
from stagemaker.algorithms.toolkit.worker_messages import Assignment
from stagemaker.algorithms.toolkit.workers import Worker, page
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

WORKERS_VARIABLE = "SAGEMAKER_MODEL_SERVER_WORKERS"
TIMEOUT_VARIABLE = "SAGEMAKER_MODEL_SERVER_TIMEOUT"

MAX_LENGTH = 100 * MEGABYTE
"""The largest payload of a batch transform; InvokeEndpoint sends less."""
_TIMEOUT = 60
_MAX_WAITING = 1000
"""Requests that may wait for the handlers; AWS's worker has as many connections."""

_T = TypeVar("_T")


class Backend(Protocol):
    """What holds a model: in this process or in another. Used by one thread at a time; nothing is raised."""

    @property
    def loaded(self) -> bool:
        """Whether model_fn has succeeded."""
        ...

    def load(self) -> bool:
        """Call model_fn, unless it has succeeded before; whether there is a model."""
        ...

    def answer(self, call: Call) -> Answer:
        """Answer one request."""
        ...

    def execution_parameters(self) -> Answer:
        """What `/execution-parameters` says."""
        ...


class PooledService:
    """Equal backends behind the server, each with one request at a time; further requests wait."""

    max_length = MAX_LENGTH

    def __init__(self, backends: Sequence[Backend], timeout: float) -> None:
        """`timeout` is what a request may take, in seconds, waiting included."""
        self._backends = backends
        self._timeout = timeout
        self._idle: SimpleQueue[Backend] = SimpleQueue()
        for backend in backends:
            self._idle.put(backend)
        self._threads = ThreadPoolExecutor(len(backends), thread_name_prefix="handlers")
        self._waiting = 0
        self._loading: asyncio.Task[None] | None = None

    async def ping(self) -> Answer:
        """200 when a backend has its model, 500 when model_fn failed in all."""
        if not self._is_loaded():
            # All who ask meanwhile wait for the same attempt.
            if self._loading is None or self._loading.done():
                self._loading = asyncio.ensure_future(self._load())
            await asyncio.shield(self._loading)
        return Answer(HTTPStatus.OK if self._is_loaded() else HTTPStatus.INTERNAL_SERVER_ERROR)

    async def invoke(self, call: Call) -> Answer:
        """Answer one request, after those that came before it."""
        if self._waiting >= _MAX_WAITING:
            return page(HTTPStatus.SERVICE_UNAVAILABLE)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._use(lambda backend: backend.answer(call))
        except TimeoutError:
            return page(HTTPStatus.GATEWAY_TIMEOUT)
        finally:
            self._waiting -= 1

    async def execution_parameters(self) -> Answer:
        """What the backends say."""
        return await self._use(lambda backend: backend.execution_parameters())

    def close(self, *, wait: bool) -> None:
        """Begin nothing more; with `wait`, wait for what the backends are doing."""
        self._threads.shutdown(wait=wait, cancel_futures=True)

    def _is_loaded(self) -> bool:
        return any(backend.loaded for backend in self._backends)

    async def _load(self) -> None:
        """In all backends at once, so that no later request has to wait for a model."""
        await asyncio.gather(*(self._use(lambda backend: backend.load()) for _ in self._backends))

    async def _use(self, work: Callable[[Backend], _T]) -> _T:
        """Do it with the next idle backend, on a thread. There are as many of these as of those."""

        def use() -> _T:
            backend = self._idle.get()
            try:
                return work(backend)
            finally:
                self._idle.put(backend)

        return await asyncio.get_running_loop().run_in_executor(self._threads, use)


class HandlerService(PooledService):
    """Handlers in this process, on a thread of their own."""

    def __init__(
        self,
        handlers: Handlers,
        conventions: Conventions,
        model_dir: str,
        environment: Mapping[str, str],
        execution_parameters: ExecutionParameters | None = None,
    ) -> None:
        model = UserModel(handlers, conventions, model_dir, environment, execution_parameters)
        super().__init__([model], _seconds(environment))


def serve(
    layout: Layout,
    environment: Mapping[str, str],
    defaults: Defaults,
    conventions: Conventions,
    execution_parameters: ExecutionParameters | None = None,
) -> int:
    """Serve the handlers of the user's module until SIGTERM or SIGINT; the exit code.

    Code that cannot be had or imported ends the program with 1 before anything listens, so that the
    endpoint fails its health check; the log says why. `execution_parameters` is the image's answer where
    the module has no execution_parameters_fn; it and the defaults are functions of modules.

    SAGEMAKER_MODEL_SERVER_WORKERS is the number of workers, by default the container's share of the cores;
    SAGEMAKER_MODEL_SERVER_TIMEOUT the seconds that a request may take, by default 60.
    """
    try:
        user_module.fetch(environment, layout)
        count, timeout = _count(environment), _seconds(environment)
    except (ClientError, ValueError):
        LOG.exception("The handlers cannot be served")
        return 1
    assignment = Assignment(layout, defaults, conventions, execution_parameters, user_module.import_path(layout))
    # The read end is the workers': it ends when this process does, however that comes.
    life, ours = os.pipe()
    workers = [Worker(assignment, environment, life, timeout) for _ in range(count)]
    try:
        for worker in workers:
            worker.start()
        if not all(worker.is_ready() for worker in workers):
            return 1
        service = PooledService(workers, timeout)
        http_server.run(service, environment)
        # All requests have been answered by now, but the handler of one that was given up may still run.
        service.close(wait=False)
        for worker in workers:
            worker.interrupt()
        service.close(wait=True)
    finally:
        for worker in workers:
            worker.stop()
        os.close(life)
        os.close(ours)
    return 0


def serve_several(layout: Layout, environment: Mapping[str, str], defaults: Defaults) -> int:
    """Serve the models that SageMaker loads and drops, with the handlers of one module; the exit code.

    model_fn is called for the folder of each. A model has a thread of this process, and no worker: there may
    be hundreds. By the conventions of sagemaker-inference, on which AWS's images serve several models.
    """
    try:
        handlers = Handlers(user_module.load(environment, layout), defaults)
    except (ClientError, ValueError):
        LOG.exception("The module with the handlers cannot be used")
        return 1

    async def load(folder: Path) -> HandlerService:
        service = HandlerService(handlers, SageMakerInference(), str(folder), environment)
        if (await service.ping()).status is not HTTPStatus.OK:
            raise RuntimeError("model_fn failed")
        return service

    models = Models(load, layout.located)
    http_server.run(MultiModelService(http_server.max_length(environment)), environment, models)
    return 0


def _count(environment: Mapping[str, str]) -> int:
    count = int(environment.get(WORKERS_VARIABLE) or environment.get(CPUS_VARIABLE) or 1)
    if count < 1:
        raise ValueError(f"{WORKERS_VARIABLE} must be 1 or more, not {count}")
    return count


def _seconds(environment: Mapping[str, str]) -> int:
    return int(environment.get(TIMEOUT_VARIABLE) or _TIMEOUT)
