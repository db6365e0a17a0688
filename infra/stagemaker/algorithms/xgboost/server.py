"""The HTTP server of `serve`: `/ping`, `/invocations`, `/execution-parameters`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import uvicorn

from stagemaker.algorithms.xgboost.inference import Answer, Inference
from stagemaker.algorithms.xgboost.job import threads
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
HOST_VARIABLE = "STAGEMAKER_BIND_HOST"
"""The address to listen on; the image sets 0.0.0.0, a process on the user's machine stays on loopback."""
LENGTH_VARIABLE = "MAX_CONTENT_LENGTH"

_MEGABYTE = 1024 * 1024
_MAX_LENGTH = 20 * _MEGABYTE
_INLINE = 32 * 1024
"""Bytes of a body that is answered on the event loop: handing it to a thread would cost more than it saves."""

_LATER = {"SAGEMAKER_PROGRAM": "Script mode", "SAGEMAKER_MULTI_MODEL": "A multi-model endpoint"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def serve(layout: Layout, environment: Mapping[str, str]) -> int:
    """Load the model and serve it until SIGTERM or SIGINT; the exit code.

    A model that cannot be loaded ends the program with 1 before anything listens, so that the
    endpoint fails its health check.
    """
    for variable, feature in _LATER.items():
        if environment.get(variable, "").lower() not in {"", "false"}:
            LOG.error("%s (%s) is not supported by this image yet.", feature, variable)
            return 1
    predictor = Predictor(layout.model, environment)
    try:
        version = Version.from_environment(environment)
        predictor.models()
    except Exception:
        LOG.exception("Unable to load model")
        return 1
    app = App(Inference(predictor, version, environment), environment)
    config = uvicorn.Config(
        app,
        host=environment.get(HOST_VARIABLE) or "127.0.0.1",
        port=int(environment.get(PORT_VARIABLE) or 8080),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
    )
    _Server(config).run()
    return 0


class App:
    """The ASGI application."""

    def __init__(self, inference: Inference, environment: Mapping[str, str]) -> None:
        workers = threads(None, environment)
        self._inference = inference
        self._max_length = min(int(environment.get(LENGTH_VARIABLE) or 6 * _MEGABYTE), _MAX_LENGTH)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._parameters = json.dumps(
            {
                "MaxConcurrentTransforms": workers,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": self._max_length // _MEGABYTE,
            }
        ).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the server speaks nothing but HTTP."""
        method, path = scope["method"], scope["path"]
        if path == "/ping" and method == "GET":
            await _send(send, Answer(HTTPStatus.OK))
        elif path == "/execution-parameters" and method == "GET":
            await _send(send, Answer(HTTPStatus.OK, self._parameters, "application/json"))
        elif path == "/invocations" and method == "POST":
            await _send(send, await self._invoke(scope, receive))
        elif path in {"/ping", "/execution-parameters", "/invocations"}:
            await _send(send, Answer(HTTPStatus.METHOD_NOT_ALLOWED))
        else:
            await _send(send, Answer(HTTPStatus.NOT_FOUND))

    async def _invoke(self, scope: Scope, receive: Receive) -> Answer:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Answer(HTTPStatus.BAD_REQUEST)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_length:
                text = f"The request body is larger than {self._max_length} bytes."
                return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text.encode(), "text/html; charset=utf-8")
        call = (bytes(body), headers.get(b"content-type"), headers.get(b"accept"))
        if len(body) <= _INLINE:
            return self._inference.invoke(*call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._inference.invoke, *call)


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())] if answer.status != HTTPStatus.NO_CONTENT else []
    if answer.content_type is not None:
        headers.append((b"content-type", answer.content_type.encode()))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class _Server(uvicorn.Server):
    """uvicorn, but SIGTERM is an ordinary end: uvicorn would raise the signal again afterwards."""

    @contextmanager
    def capture_signals(self) -> Any:
        """Stop at SIGTERM and SIGINT, and let the program return."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield
