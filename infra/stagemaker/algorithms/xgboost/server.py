"""`serve`: one model or several, answered by the algorithm or by the user's handlers."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

from stagemaker.algorithms.toolkit import http_server, serving, user_module
from stagemaker.algorithms.toolkit.conventions import SageMakerContainers
from stagemaker.algorithms.toolkit.http_server import MEGABYTE, max_length
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.models import MULTI_MODEL_VARIABLE, Load, Models, MultiModelService
from stagemaker.algorithms.xgboost import shims
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.job import threads
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

_INLINE = 32 * 1024
"""Bytes of a body that is answered on the event loop: handing it to a thread would cost more than it saves."""


def serve(layout: Layout, environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT: the model, or several, by the algorithm or by the user's module; the exit code.

    What cannot be served ends the program with 1 before anything listens, so that the endpoint fails its
    health check: a model that cannot be loaded, a module that cannot be imported.
    """
    several = environment.get(MULTI_MODEL_VARIABLE, "").lower() == "true"
    if environment.get(user_module.PROGRAM_VARIABLE):
        return _serve_handlers(layout, environment, several=several)
    predictor = Predictor(layout.model, environment)
    try:
        version = Version.from_environment(environment)
        if not several:
            predictor.models()
    except Exception:
        LOG.exception("Unable to load model")
        return 1
    pool = ThreadPoolExecutor(threads(None, environment), thread_name_prefix="predict")
    if several:
        _serve_several(layout, environment, _by_algorithm(version, environment, pool))
    else:
        http_server.run(XGBoostService(Inference(predictor, version, environment), environment, pool), environment)
    return 0


def _serve_handlers(layout: Layout, environment: Mapping[str, str], *, several: bool) -> int:
    from stagemaker.algorithms.xgboost.encoder import DEFAULTS, DEFAULTS_OF_SEVERAL

    sys.path.insert(0, shims.FOLDER)
    if several:
        return serving.serve_several(layout, environment, DEFAULTS_OF_SEVERAL)
    return serving.serve(layout, environment, DEFAULTS, SageMakerContainers())


def _serve_several(layout: Layout, environment: Mapping[str, str], load: Load) -> None:
    service = MultiModelService(max_length(environment))
    http_server.run(service, environment, Models(load, layout.located))


def _by_algorithm(version: Version, environment: Mapping[str, str], pool: ThreadPoolExecutor) -> Load:
    """Loads models that share the threads of the pool."""

    async def load(folder: Path) -> XGBoostService:
        predictor = Predictor(folder, environment)
        await asyncio.to_thread(predictor.models)
        return XGBoostService(Inference(predictor, version, environment, joins_csv=True), environment, pool)

    return load


class XGBoostService:
    """The built-in algorithm behind the server: its model is loaded before anything listens."""

    def __init__(self, inference: Inference, environment: Mapping[str, str], pool: ThreadPoolExecutor) -> None:
        self._inference = inference
        self.max_length = max_length(environment)
        self._threads = pool
        self._parameters = json.dumps(
            {
                "MaxConcurrentTransforms": threads(None, environment),
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": self.max_length // MEGABYTE,
            }
        ).encode()

    async def ping(self) -> Answer:
        """200: it listens."""
        return Answer(HTTPStatus.OK)

    async def execution_parameters(self) -> Answer:
        """As many at a time as there are cores."""
        return Answer(HTTPStatus.OK, self._parameters, "application/json")

    async def invoke(self, call: Call) -> Answer:
        """Answer small bodies at once and larger ones on a thread."""
        arguments = (call.body, call.content_type, call.accept)
        if len(call.body) <= _INLINE:
            return self._inference.invoke(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._inference.invoke, *arguments)
