"""Which metrics a job logs, and those that the container computes because the library has none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from stagemaker.algorithms.xgboost.definition import MAXIMIZED_METRICS
from stagemaker.algorithms.xgboost.version import Version

LOG = logging.getLogger(__name__)

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """`native` names go to the library, `custom` ones are computed here; early stopping looks at `stopping`."""

    native: tuple[str, ...]
    custom: tuple[str, ...]
    stopping: str | None

    @property
    def maximizes(self) -> bool:
        """Whether more is taken as better for the metric that early stopping looks at.

        As in AWS's container, which looks the whole name up: `ndcg@5` is not in the list.
        """
        return self.stopping in MAXIMIZED_METRICS

    @property
    def is_taken_the_wrong_way(self) -> bool:
        """Whether that lookup misses a metric of which more is better."""
        name, at, _ = (self.stopping or "").partition("@")
        return bool(at) and name in MAXIMIZED_METRICS


def choose(hyperparameters: Mapping[str, Any], version: Version) -> Metrics:
    """The metrics of a job: eval_metric, and the tuning objective when the tuner gives one.

    Both together are sorted, as AWS does. With no native metric left the library logs the default of
    the objective; for old images that default is named here.
    """
    asked: list[str] = list(hyperparameters.get("eval_metric", []))
    stopping = asked[-1] if asked else None
    objective_metric = hyperparameters.get("_tuning_objective_metric")
    if objective_metric is not None:
        tuned = objective_metric.split(":", 1)[1]
        LOG.info("Setting up HPO optimized metric to be : %s", tuned)
        asked = sorted({*asked, tuned}) if asked else [tuned]
        stopping = tuned
    custom = tuple(metric for metric in asked if metric in CUSTOM_METRICS)
    native = tuple(metric for metric in asked if metric not in CUSTOM_METRICS)
    if not native:
        default = version.default_metric(hyperparameters.get("objective"))
        native = (default,) if default else ()
    return Metrics(native, custom, stopping)


def custom_metric(
    names: tuple[str, ...], objective: str | None
) -> Callable[[Any, xgboost.DMatrix], list[tuple[str, float]]]:
    """The function that the library calls after each round with its predictions and a data set."""

    def evaluate(predictions: Any, data: xgboost.DMatrix) -> list[tuple[str, float]]:
        label = data.get_label().astype(np.float64)
        return [(name, CUSTOM_METRICS[name](label, np.asarray(predictions), objective)) for name in names]

    return evaluate


def predicted_classes(predictions: NDArray[np.floating], objective: str | None) -> Labels:
    """Class numbers, shape (n,), from what the library predicts for `objective`."""
    if predictions.ndim > 1:
        return np.asarray(np.argmax(predictions, axis=-1), dtype=np.int64)
    if objective == "multi:softmax":
        return np.asarray(predictions, dtype=np.int64)
    threshold = 0.5 if objective in {"binary:logistic", "reg:logistic"} else 0.0
    return np.asarray(predictions > threshold, dtype=np.int64)


def _classes(label: Values, predictions: Any, objective: str | None) -> tuple[Labels, Labels]:
    """True and predicted class numbers. Raises ValueError when labels are not classes."""
    predicted = predicted_classes(predictions, objective)
    if not (label == np.floor(label)).all():
        kind = "multiclass" if predictions.ndim > 1 or objective == "multi:softmax" else "binary"
        raise ValueError(f"Classification metrics can't handle a mix of continuous and {kind} targets")
    return label.astype(np.int64), predicted


@dataclass(frozen=True, slots=True)
class _Counts:
    """Per class (all that occur in labels or predictions): hits, how often predicted, how often true."""

    classes: Labels
    hits: Values
    predicted: Values
    true: Values

    @classmethod
    def of(cls, label: Values, predictions: Any, objective: str | None) -> _Counts:
        true, predicted = _classes(label, predictions, objective)
        classes = np.union1d(true, predicted)

        def count(values: Labels) -> Values:
            return np.bincount(np.searchsorted(classes, values), minlength=len(classes)).astype(np.float64)

        return cls(classes, count(true[true == predicted]), count(predicted), count(true))

    @property
    def precision(self) -> Values:
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> Values:
        return _ratio(self.hits, self.true)

    @property
    def f1(self) -> Values:
        return _ratio(2 * self.hits, self.predicted + self.true)

    def of_class_one(self, values: Values) -> float:
        """The value of class 1. Raises ValueError, in scikit-learn's words, when there are more classes."""
        if not set(self.classes.tolist()) <= {0, 1}:
            raise ValueError(
                "Target is multiclass but average='binary'. Please choose another average setting, "
                "one of [None, 'micro', 'macro', 'weighted']."
            )
        return float(values[self.classes == 1].sum())


def _ratio(part: Values, whole: Values) -> Values:
    """The quotients, 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _accuracy(label: Values, predictions: Any, objective: str | None) -> float:
    counts = _Counts.of(label, predictions, objective)
    return float(counts.hits.sum() / counts.true.sum())


def _balanced_accuracy(label: Values, predictions: Any, objective: str | None) -> float:
    counts = _Counts.of(label, predictions, objective)
    return float(counts.recall[counts.true > 0].mean())


def _f1_macro(label: Values, predictions: Any, objective: str | None) -> float:
    return float(_Counts.of(label, predictions, objective).f1.mean())


def _f1_binary(label: Values, predictions: Any, objective: str | None) -> float:
    counts = _Counts.of(label, predictions, objective)
    return counts.of_class_one(counts.f1)


def _precision(label: Values, predictions: Any, objective: str | None) -> float:
    counts = _Counts.of(label, predictions, objective)
    return counts.of_class_one(counts.precision)


def _precision_macro(label: Values, predictions: Any, objective: str | None) -> float:
    return float(_Counts.of(label, predictions, objective).precision.mean())


def _recall(label: Values, predictions: Any, objective: str | None) -> float:
    counts = _Counts.of(label, predictions, objective)
    return counts.of_class_one(counts.recall)


def _recall_macro(label: Values, predictions: Any, objective: str | None) -> float:
    return float(_Counts.of(label, predictions, objective).recall.mean())


def _residuals(label: Values, predictions: Any) -> Values:
    if predictions.shape != label.shape:
        raise ValueError(f"y_true and y_pred have different number of output (1!={predictions.shape[1]})")
    return np.asarray(label - predictions, dtype=np.float64)


def _mse(label: Values, predictions: Any, _: str | None) -> float:
    return float(np.mean(_residuals(label, predictions) ** 2))


def _r2(label: Values, predictions: Any, _: str | None) -> float:
    residual = float(np.sum(_residuals(label, predictions) ** 2))
    total = float(np.sum((label - label.mean()) ** 2))
    if total == 0:
        return 1.0 if residual == 0 else 0.0
    return 1 - residual / total


CUSTOM_METRICS: Mapping[str, Callable[[Values, Any, str | None], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1_macro,
    "f1_binary": _f1_binary,
    "f1_macro": _f1_macro,
    "mse": _mse,
    "precision": _precision,
    "precision_macro": _precision_macro,
    # Averaged over all records, precision and recall are both the accuracy.
    "precision_micro": _accuracy,
    "r2": _r2,
    "recall": _recall,
    "recall_macro": _recall_macro,
    "recall_micro": _accuracy,
}
"""Metrics that AWS's container computes with scikit-learn; the figures are the same."""
