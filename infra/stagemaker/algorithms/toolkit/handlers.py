"""The handlers of the user's module and the order in which they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an image does for a handler that the user's module lacks. model_fn has no default in any image."""

    input_fn: Handler
    predict_fn: Handler
    output_fn: Handler


class Handlers:
    """model_fn, and what answers a request: either transform_fn or input_fn, predict_fn and output_fn.

    A handler gets its documented arguments and no context: that came with sagemaker-inference's pull
    request 109 of August 2022, and the scikit-learn and XGBoost images pin releases from before (1.2.0 and 1.5.5).

    Raises ValueError when the module has transform_fn beside one of the three.
    """

    def __init__(self, module: ModuleType, defaults: Defaults) -> None:
        own = {name: getattr(module, name, None) for name in ("input_fn", "predict_fn", "output_fn")}
        self._transform_fn: Handler | None = getattr(module, "transform_fn", None)
        if self._transform_fn and any(own.values()):
            raise ValueError("Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn")
        self._model_fn: Handler = getattr(module, "model_fn", _no_model_fn)
        self._input_fn: Handler = own["input_fn"] or defaults.input_fn
        self._predict_fn: Handler = own["predict_fn"] or defaults.predict_fn
        self._output_fn: Handler = own["output_fn"] or defaults.output_fn

    def load(self, model_dir: str) -> Any:
        """The model of the user, by model_fn."""
        return self._model_fn(model_dir)

    def transform(self, model: Any, body: str | bytes, content_type: str | None, accept: str) -> Any:
        """What the last handler returns: a body, or (body, content type), or a response object."""
        if self._transform_fn:
            return self._transform_fn(model, body, content_type, accept)
        data = self._input_fn(body, content_type)
        prediction = self._predict_fn(data, model)
        return self._output_fn(prediction, accept)


def _no_model_fn(_: str) -> Any:
    raise NotImplementedError("Please provide a model_fn implementation.")
