"""The metrics that the container computes itself: figures by hand and by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stagemaker.algorithms.xgboost import metrics
from stagemaker.algorithms.xgboost.metrics import CUSTOM_METRICS, choose, predicted_classes
from stagemaker.algorithms.xgboost.version import Version

NEWEST = Version.of_tag("3.2-0")
# true 1: two hits, one miss; true 0: three hits, two false alarms
LABEL = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=np.float64)
PROBABILITY = np.array([0.9, 0.6, 0.5, 0.1, 0.2, 0.4, 0.7, 0.8])

BINARY = [
    ("accuracy", 5 / 8),
    ("balanced_accuracy", (2 / 3 + 3 / 5) / 2),
    ("precision", 2 / 4),
    ("recall", 2 / 3),
    ("f1_binary", 2 * 2 / (4 + 3)),
    ("f1", (4 / 7 + 6 / 9) / 2),
    ("f1_macro", (4 / 7 + 6 / 9) / 2),
    ("precision_macro", (2 / 4 + 3 / 4) / 2),
    ("precision_micro", 5 / 8),
    ("recall_macro", (2 / 3 + 3 / 5) / 2),
    ("recall_micro", 5 / 8),
]


@pytest.mark.parametrize(("name", "value"), BINARY)
def test_binary_figures(name: str, value: float) -> None:
    """Counted by hand from one confusion matrix, a probability of exactly one half being class 0."""
    assert CUSTOM_METRICS[name](LABEL, PROBABILITY, "binary:logistic") == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 3 / 5),
        ("balanced_accuracy", (1 / 2 + 1 / 1 + 1 / 2) / 3),
        ("f1_macro", (2 * 1 / 3 + 2 * 1 / 2 + 2 * 1 / 4 + 0) / 4),
        ("precision_macro", (1 / 1 + 1 / 1 + 1 / 2 + 0) / 4),
        ("recall_macro", (1 / 2 + 1 / 1 + 1 / 2 + 0) / 4),
        ("recall_micro", 3 / 5),
    ],
)
def test_multi_class_figures(name: str, value: float) -> None:
    """Class 3 is predicted but never true: it counts in macro averages, not in balanced accuracy."""
    label = np.array([0, 0, 1, 2, 2], dtype=np.float64)
    classes = np.array([0, 2, 1, 2, 3])
    assert CUSTOM_METRICS[name](label, classes.astype(np.float32), "multi:softmax") == pytest.approx(value)
    assert CUSTOM_METRICS[name](label, np.eye(4)[classes], "multi:softprob") == pytest.approx(value)


def test_regression_figures() -> None:
    """Mse and r2 of plain numbers; a constant label has no variance to explain."""
    label, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert CUSTOM_METRICS["mse"](label, predicted, None) == pytest.approx((0.25 + 0 + 1) / 3)
    assert CUSTOM_METRICS["r2"](label, predicted, None) == pytest.approx(1 - 1.25 / (14 / 3))
    assert CUSTOM_METRICS["r2"](np.ones(3), predicted, None) == 0
    assert CUSTOM_METRICS["r2"](np.ones(3), np.ones(3), None) == 1


@pytest.mark.parametrize("name", ["precision", "recall", "f1_binary"])
def test_binary_metrics_refuse_more_classes(name: str) -> None:
    """The sentence that AWS lists among customers' errors."""
    with pytest.raises(ValueError, match="Target is multiclass but average='binary'"):
        CUSTOM_METRICS[name](np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]), "multi:softmax")


def test_classes_cannot_be_fractions() -> None:
    """Class metrics of a regression on fractions are refused, as scikit-learn refuses them."""
    with pytest.raises(ValueError, match="can't handle a mix of continuous and binary targets"):
        CUSTOM_METRICS["accuracy"](np.array([0.5, 1.0]), np.array([0.5, 1.0]), "reg:squarederror")


@pytest.mark.parametrize(
    ("objective", "predictions", "classes"),
    [
        ("binary:logistic", [0.4, 0.5, 0.6], [0, 0, 1]),
        ("reg:logistic", [0.4, 0.5, 0.6], [0, 0, 1]),
        ("binary:logitraw", [-0.1, 0.0, 0.1], [0, 0, 1]),
        ("binary:hinge", [0.0, 1.0], [0, 1]),
        ("multi:softmax", [0.0, 2.0], [0, 2]),
        ("multi:softprob", [[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]], [1, 0]),
        (None, [-1.0, 0.3], [0, 1]),
    ],
)
def test_classes_by_objective(objective: str | None, predictions: list[Any], classes: list[int]) -> None:
    """The threshold belongs to what the objective predicts."""
    assert predicted_classes(np.array(predictions), objective).tolist() == classes


def test_every_metric_of_the_table_has_an_owner() -> None:
    """Thirteen are the container's own, the others are the library's."""
    assert len(CUSTOM_METRICS) == 13
    chosen = choose({"eval_metric": ["f1", "rmse", "r2", "mae"]}, NEWEST)
    assert chosen == metrics.Metrics(native=("rmse", "mae"), custom=("f1", "r2"), stopping="mae")


def test_the_tuning_objective_is_added_and_sorted() -> None:
    """The tuner's metric decides early stopping; given twice it counts once."""
    hyperparameters = {"eval_metric": ["rmse", "mae"], "_tuning_objective_metric": "validation:auc"}
    assert choose(hyperparameters, NEWEST) == metrics.Metrics(("auc", "mae", "rmse"), (), "auc")
    assert choose({"_tuning_objective_metric": "validation:auc"}, NEWEST).native == ("auc",)
    same = {"eval_metric": ["auc"], "_tuning_objective_metric": "validation:auc"}
    assert choose(same, NEWEST) == metrics.Metrics(("auc",), (), "auc")


@pytest.mark.parametrize(
    ("tag", "objective", "default"),
    [
        ("latest", "binary:logistic", "error"),
        ("1.2-2", "binary:logistic", "error"),
        ("1.2-1", "multi:softprob", "merror"),
        ("1.0-1", "binary:logitraw", "auc"),
        ("1.3-1", "binary:logistic", None),
        ("1.7-1", "reg:gamma", "gamma-nloglik"),
        ("1.7-1", "rank:pairwise", "map"),
        ("3.2-0", "reg:gamma", None),
        ("1.2-1", "reg:squarederror", None),
        ("1.2-1", None, None),
    ],
)
def test_old_images_have_their_own_defaults(tag: str, objective: str | None, default: str | None) -> None:
    """Named explicitly where the installed library has another default."""
    hyperparameters = {} if objective is None else {"objective": objective}
    assert choose(hyperparameters, Version.of_tag(tag)).native == ((default,) if default else ())


def test_more_is_better_for_some() -> None:
    """Early stopping must know the direction."""
    assert choose({"eval_metric": ["auc"]}, NEWEST).maximizes
    assert choose({"eval_metric": ["f1"]}, NEWEST).maximizes
    assert not choose({"eval_metric": ["rmse"]}, NEWEST).maximizes
