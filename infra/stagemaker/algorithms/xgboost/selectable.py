"""Selectable inference: the user names what is wanted of each prediction.

Source of keys, objectives and rules: `algorithm_mode/serve_utils.py` of AWS's open container.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

LOG = logging.getLogger(__name__)

VARIABLE = "SAGEMAKER_INFERENCE_OUTPUT"

_CLASSIFICATION = ("predicted_label", "labels", "raw_score", "raw_scores")
_PROBABILISTIC = ("predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores")
_REGRESSION = ("predicted_score",)

_VALID_KEYS: Mapping[str, tuple[str, ...]] = {
    "reg:squarederror": _REGRESSION,
    "reg:logistic": _REGRESSION,
    "reg:gamma": _REGRESSION,
    "reg:absoluteerror": _REGRESSION,
    "reg:tweedie": _REGRESSION,
    "binary:logistic": _PROBABILISTIC,
    "binary:logitraw": _CLASSIFICATION,
    "binary:hinge": _CLASSIFICATION,
    "multi:softmax": _CLASSIFICATION,
    "multi:softprob": _PROBABILISTIC,
}


def selected_keys(variable: str) -> list[str]:
    """The keys that SAGEMAKER_INFERENCE_OUTPUT names, in its order."""
    return variable.replace(" ", "").lower().split(",")


def select(predictions: Any, keys: Sequence[str], objective: str, num_class: int) -> list[dict[str, Any]]:
    """For each prediction what the keys ask for; a key that the objective does not have is NaN.

    `predictions` has shape (n,) or (n, num_class). Raises ValueError for an objective that has no
    selectable output.
    """
    if objective not in _VALID_KEYS:
        raise ValueError(f"Objective `{objective}` unsupported for selectable inference predictions.")
    valid = _VALID_KEYS[objective]
    unknown = [key for key in keys if key not in valid]
    if unknown:
        LOG.warning(
            "Selected key(s) %s incompatible for objective '%s'. Please use list of compatible selectable inference "
            "predictions: %s",
            set(unknown),
            objective,
            list(valid),
        )
    wanted = [key for key in _CONTENT if key in keys and key in valid]
    return [
        {
            **{key: _CONTENT[key](objective, prediction, num_class) for key in wanted},
            **dict.fromkeys(unknown, math.nan),
        }
        for prediction in predictions.tolist()
    ]


def to_csv(selections: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """One line for each prediction, values in the order of `keys`, lists in quotes."""
    return "\n".join(
        ",".join(f'"{record[key]}"' if isinstance(record[key], list) else str(record[key]) for key in keys)
        for record in selections
    )


def _predicted_label(objective: str, prediction: Any, _: int) -> Any:
    if objective == "multi:softprob":
        return prediction.index(max(prediction))
    if objective == "binary:logistic":
        return int(prediction > 0.5)
    return int(prediction > 0) if objective == "binary:logitraw" else prediction


def _labels(objective: str, _: Any, num_class: int) -> list[int]:
    return list(range(num_class)) if objective.startswith("multi:") else [0, 1]


def _score(objective: str, prediction: Any, _: int) -> Any:
    return max(prediction) if objective == "multi:softprob" else prediction


def _scores(objective: str, prediction: Any, _: int) -> list[float]:
    return prediction if objective == "multi:softprob" else [1.0 - prediction, prediction]


_CONTENT: Mapping[str, Callable[[str, Any, int], Any]] = {
    "predicted_label": _predicted_label,
    "labels": _labels,
    "probability": _score,
    "probabilities": _scores,
    "raw_score": _score,
    "raw_scores": _scores,
    "predicted_score": _score,
}
"""How each key is computed; its order is that of the keys in a JSON answer."""
