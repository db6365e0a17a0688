"""`serve` of the scikit-learn image: the user's handlers, and the image's own for those that are missing.

Source: serving.py of AWS's open `sagemaker-scikit-learn-container`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stagemaker.algorithms.toolkit import serving
from stagemaker.algorithms.toolkit.conventions import Response, SageMakerContainers
from stagemaker.algorithms.toolkit.encoding import UTF8_TYPES, decode, encode
from stagemaker.algorithms.toolkit.handlers import Defaults
from stagemaker.algorithms.toolkit.models import MULTI_MODEL_VARIABLE
from stagemaker.contract.layout import Layout


def serve(layout: Layout, environment: Mapping[str, str]) -> int:
    """Serve the model, or several, until SIGTERM or SIGINT; the exit code, 1 when the module cannot be used."""
    if environment.get(MULTI_MODEL_VARIABLE, "").lower() == "true":
        return serving.serve_several(layout, environment, Defaults(default_input_fn, default_predict_fn, encode))
    defaults = Defaults(default_input_fn, default_predict_fn, default_output_fn)
    return serving.serve(layout, environment, defaults, SageMakerContainers())


def default_input_fn(input_data: str | bytes, content_type: str | None) -> Any:
    """The array of a JSON, CSV or NPY body; the first two as float32."""
    array = decode(input_data, content_type)
    return array.astype(np.float32) if content_type in UTF8_TYPES else array


def default_predict_fn(input_data: Any, model: Any) -> Any:
    """The model's predictions: never probabilities."""
    return model.predict(input_data)


def default_output_fn(prediction: Any, accept: str) -> Response:
    """The predictions as JSON, CSV or NPY."""
    return Response(encode(prediction, accept), mimetype=accept)
