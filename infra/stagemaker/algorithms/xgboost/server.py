"""`serve`: loads the model and answers `/invocations` from it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.http_server import MEGABYTE
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.job import threads
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)

LENGTH_VARIABLE = "MAX_CONTENT_LENGTH"

_MAX_LENGTH = 20 * MEGABYTE
_INLINE = 32 * 1024
"""Bytes of a body that is answered on the event loop: handing it to a thread would cost more than it saves."""

_LATER = {"SAGEMAKER_PROGRAM": "Script mode", "SAGEMAKER_MULTI_MODEL": "A multi-model endpoint"}


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
    http_server.run(XGBoostService(Inference(predictor, version, environment), environment), environment)
    return 0


class XGBoostService:
    """The built-in algorithm behind the server: its model is loaded before anything listens."""

    def __init__(self, inference: Inference, environment: Mapping[str, str]) -> None:
        workers = threads(None, environment)
        self._inference = inference
        self.max_length = min(int(environment.get(LENGTH_VARIABLE) or 6 * MEGABYTE), _MAX_LENGTH)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._parameters = json.dumps(
            {
                "MaxConcurrentTransforms": workers,
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
