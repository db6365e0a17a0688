"""What the service must know of built-in XGBoost, as plain data that costs nothing to import.

Source: the metric table and the image list of AWS's open `sagemaker-xgboost-container` and SDK.
"""

from __future__ import annotations

from collections.abc import Mapping

REPOSITORIES: tuple[str, ...] = ("sagemaker-xgboost", "xgboost")
"""ECR repository names whose images this program stands for; `xgboost` is the legacy one (0.72)."""

TAGS: Mapping[str, tuple[str, ...]] = {
    "sagemaker-xgboost": (
        "0.90-1",
        "0.90-2",
        "1.0-1",
        "1.2-1",
        "1.2-2",
        "1.3-1",
        "1.5-1",
        "1.7-1",
        "3.0-5",
        "3.2-0",
        # The SDK adds a suffix for the three oldest.
        "0.90-1-cpu-py3",
        "0.90-2-cpu-py3",
        "1.0-1-cpu-py3",
    ),
    "xgboost": ("1", "latest"),
}
"""The image tags of each repository that are emulated."""

PRELOAD: tuple[str, ...] = ("stagemaker.algorithms.xgboost.program", "stagemaker.algorithms.xgboost.boosting")
"""The modules that take long to import: the library comes with them."""

MAXIMIZED_METRICS: tuple[str, ...] = (
    "accuracy",
    "auc",
    "aucpr",
    "balanced_accuracy",
    "f1",
    "f1_binary",
    "f1_macro",
    "map",
    "ndcg",
    "precision",
    "r2",
    "recall",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
)
"""Metrics where more is better, in AWS's order (the order shows in error messages)."""

MINIMIZED_METRICS: tuple[str, ...] = (
    "aft-nloglik",
    "cox-nloglik",
    "error",
    "gamma-deviance",
    "gamma-nloglik",
    "interval-regression-accuracy",
    "logloss",
    "mae",
    "mape",
    "merror",
    "mlogloss",
    "mphe",
    "mse",
    "poisson-nloglik",
    "rmse",
    "rmsle",
    "tweedie-nloglik",
)
"""Metrics where less is better, in AWS's order."""

METRICS: tuple[str, ...] = MAXIMIZED_METRICS + MINIMIZED_METRICS

METRIC_DEFINITIONS: tuple[tuple[str, str], ...] = tuple(
    (f"{data}:{metric}", rf".*\[[0-9]+\].*#011{data}-{metric}:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*")
    for data in ("train", "validation")
    for metric in METRICS
)
"""(Name, Regex) of the MetricDefinitions that the service adds to a job on these images.

They hold for log lines in which a tab has become `#011`. The form is that of AlgorithmSpecification in
answers of DescribeTrainingJob, as quoted in issue 121 of aws/sagemaker-xgboost-container; the
container's own list ends in `(\\S+)`, which would take the rest of a line with several metrics.
"""
