"""The hyperparameters of the built-in algorithm, as data.

The container injects no default: what is not given is left to the library. Source of names, types
and ranges: `algorithm_mode/hyperparameter_validation.py` of AWS's open container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from stagemaker.algorithms.xgboost.definition import METRICS
from stagemaker.algorithms.xgboost.ranges import Choice, EvalMetricNames, Interval, Range


class Kind(Enum):
    """How the string of a hyperparameter is read."""

    INTEGER = auto()
    CONTINUOUS = auto()
    CATEGORICAL = auto()
    COMMA_SEPARATED_LIST = auto()
    TUPLE = auto()
    NESTED_LIST = auto()

    @property
    def is_collection(self) -> bool:
        """Whether the range holds for the elements."""
        return self in {Kind.COMMA_SEPARATED_LIST, Kind.TUPLE, Kind.NESTED_LIST}


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One row of the table. `only_legacy` rows exist in the 0.72 image alone."""

    name: str
    kind: Kind
    range: Range
    required: bool = False
    only_legacy: bool = False


def _integer(name: str, interval: str, *, required: bool = False) -> Hyperparameter:
    return Hyperparameter(name, Kind.INTEGER, Interval(interval), required=required)


def _continuous(name: str, interval: str) -> Hyperparameter:
    return Hyperparameter(name, Kind.CONTINUOUS, Interval(interval))


def _categorical(name: str, *values: str) -> Hyperparameter:
    return Hyperparameter(name, Kind.CATEGORICAL, Choice(*values))


ALIASES: Mapping[str, str] = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
}

TABLE: tuple[Hyperparameter, ...] = (
    _integer("num_round", "[1, +inf)", required=True),
    _integer("csv_weights", "[0, 1]"),
    _integer("early_stopping_rounds", "[1, +inf)"),
    _categorical("booster", "gbtree", "gblinear", "dart"),
    _integer("verbosity", "[0, 3]"),
    _integer("nthread", "[1, +inf)"),
    _continuous("eta", "[0, 1]"),
    _continuous("gamma", "[0, +inf)"),
    _integer("max_depth", "[0, +inf)"),
    _continuous("min_child_weight", "[0, +inf)"),
    _continuous("max_delta_step", "[0, +inf)"),
    _continuous("subsample", "(0, 1]"),
    _continuous("colsample_bytree", "(0, 1]"),
    _continuous("colsample_bylevel", "(0, 1]"),
    _continuous("colsample_bynode", "(0, 1]"),
    _continuous("lambda", "[0, +inf)"),
    _continuous("alpha", "[0, +inf)"),
    _categorical("tree_method", "auto", "exact", "approx", "hist", "gpu_hist"),
    _continuous("sketch_eps", "(0, 1)"),
    _continuous("scale_pos_weight", "(0, +inf)"),
    Hyperparameter(
        "updater",
        Kind.COMMA_SEPARATED_LIST,
        Choice(
            "grow_colmaker",
            "distcol",
            "grow_histmaker",
            "grow_skmaker",
            "sync",
            "refresh",
            "prune",
            "shotgun",
            "coord_descent",
        ),
    ),
    _categorical("dsplit", "row", "col"),
    _integer("refresh_leaf", "[0, 1]"),
    _categorical("process_type", "default", "update"),
    _categorical("grow_policy", "depthwise", "lossguide"),
    _integer("max_leaves", "[0, +inf)"),
    _integer("max_bin", "[0, +inf)"),
    _categorical("predictor", "auto", "cpu_predictor", "gpu_predictor"),
    Hyperparameter("monotone_constraints", Kind.TUPLE, Choice(-1, 0, 1)),
    Hyperparameter("interaction_constraints", Kind.NESTED_LIST, Interval("[1, +inf)")),
    _categorical("sample_type", "uniform", "weighted"),
    _categorical("normalize_type", "tree", "forest"),
    _continuous("rate_drop", "[0, 1]"),
    _integer("one_drop", "[0, 1]"),
    _continuous("skip_drop", "[0, 1]"),
    _continuous("lambda_bias", "[0, 1]"),
    _continuous("tweedie_variance_power", "(1, 2)"),
    _categorical(
        "objective",
        # Not an objective, but in AWS's list: the library refuses it later.
        "aft_loss_distribution",
        "binary:logistic",
        "binary:logitraw",
        "binary:hinge",
        "count:poisson",
        "multi:softmax",
        "multi:softprob",
        "rank:pairwise",
        "rank:ndcg",
        "rank:map",
        "reg:linear",
        "reg:squarederror",
        "reg:logistic",
        "reg:gamma",
        "reg:pseudohubererror",
        "reg:squaredlogerror",
        "reg:absoluteerror",
        "reg:tweedie",
        "survival:aft",
        "survival:cox",
    ),
    _integer("num_class", "[2, +inf)"),
    _continuous("base_score", "[0, +inf)"),
    _integer("_kfold", "[2, +inf)"),
    _integer("_num_cv_round", "[1, +inf)"),
    _categorical("_tuning_objective_metric", *(f"validation:{metric}" for metric in METRICS)),
    Hyperparameter("eval_metric", Kind.COMMA_SEPARATED_LIST, EvalMetricNames(*METRICS)),
    _integer("seed", f"({-(2**31)}, {2**31 - 1})"),
    _integer("num_parallel_tree", "[1, +inf)"),
    _categorical("save_model_on_termination", "true", "false"),
    _categorical("aft_loss_distribution", "normal", "logistic", "extreme"),
    _continuous("aft_loss_distribution_scale", "[0, +inf)"),
    _categorical("deterministic_histogram", "true", "false"),
    _categorical("sampling_method", "uniform", "gradient_based"),
    _integer("prob_buffer_row", "(1.0, +inf)"),
    _categorical("use_dask_gpu_training", "true", "false"),
    Hyperparameter("silent", Kind.INTEGER, Interval("[0, 1]"), only_legacy=True),
)

CONTAINER_ONLY: frozenset[str] = frozenset(
    {
        "num_round",
        "csv_weights",
        "early_stopping_rounds",
        "_kfold",
        "_num_cv_round",
        "_tuning_objective_metric",
        "eval_metric",
        "save_model_on_termination",
        "use_dask_gpu_training",
        "prob_buffer_row",
        "silent",
    }
)
"""Hyperparameters that the container acts on itself; all others are the library's parameters."""
