"""Hyperparameters: one case or more for each row of the table, with AWS's texts."""

from __future__ import annotations

from typing import Any

import pytest

from stagemaker.algorithms.xgboost.errors import AlgorithmError, UserError
from stagemaker.algorithms.xgboost.hyperparameters import TABLE
from stagemaker.algorithms.xgboost.validation import validate
from stagemaker.algorithms.xgboost.version import Version

NEWEST = Version.of_tag("3.2-0")


def check(**strings: str) -> dict[str, Any]:
    """Validate, with the one that is required."""
    return validate({"num_round": "10", **strings}, NEWEST)


def refusal(**strings: str) -> str:
    """The text of the UserError."""
    with pytest.raises(UserError) as caught:
        check(**strings)
    return str(caught.value)


# name, a string at the edge of what is allowed, its value, a string beyond, the range in the message
NUMBERS = [
    ("num_round", "1", 1, "0", "[1, +inf)"),
    ("csv_weights", "1", 1, "2", "[0, 1]"),
    ("early_stopping_rounds", "1", 1, "0", "[1, +inf)"),
    ("verbosity", "3", 3, "4", "[0, 3]"),
    ("nthread", "1", 1, "0", "[1, +inf)"),
    ("eta", "1", 1.0, "1.5", "[0, 1]"),
    ("gamma", "0", 0.0, "-0.5", "[0, +inf)"),
    ("max_depth", "0", 0, "-1", "[0, +inf)"),
    ("min_child_weight", "0", 0.0, "-1.0", "[0, +inf)"),
    ("max_delta_step", "0", 0.0, "-1.0", "[0, +inf)"),
    ("subsample", "1", 1.0, "0.0", "(0, 1]"),
    ("colsample_bytree", "0.1", 0.1, "0.0", "(0, 1]"),
    ("colsample_bylevel", "0.1", 0.1, "1.1", "(0, 1]"),
    ("colsample_bynode", "0.1", 0.1, "0.0", "(0, 1]"),
    ("lambda", "0", 0.0, "-1.0", "[0, +inf)"),
    ("alpha", "0", 0.0, "-1.0", "[0, +inf)"),
    ("sketch_eps", "0.5", 0.5, "1.0", "(0, 1)"),
    ("scale_pos_weight", "0.1", 0.1, "0.0", "(0, +inf)"),
    ("refresh_leaf", "0", 0, "2", "[0, 1]"),
    ("max_leaves", "0", 0, "-1", "[0, +inf)"),
    ("max_bin", "0", 0, "-1", "[0, +inf)"),
    ("rate_drop", "1", 1.0, "1.1", "[0, 1]"),
    ("one_drop", "1", 1, "2", "[0, 1]"),
    ("skip_drop", "0", 0.0, "-0.1", "[0, 1]"),
    ("lambda_bias", "1", 1.0, "1.1", "[0, 1]"),
    ("tweedie_variance_power", "1.1", 1.1, "2.0", "(1, 2)"),
    ("base_score", "0", 0.0, "-1.0", "[0, +inf)"),
    ("_kfold", "2", 2, "1", "[2, +inf)"),
    ("_num_cv_round", "1", 1, "0", "[1, +inf)"),
    ("seed", "-2147483647", -2147483647, "2147483647", "(-2147483648, 2147483647)"),
    ("num_parallel_tree", "1", 1, "0", "[1, +inf)"),
    ("aft_loss_distribution_scale", "0", 0.0, "-1.0", "[0, +inf)"),
    ("prob_buffer_row", "2", 2, "1", "(1.0, +inf)"),
]

# name, an allowed value, the list in the message
CATEGORIES = [
    ("booster", "dart", "['gbtree', 'gblinear', 'dart']"),
    ("tree_method", "hist", "['auto', 'exact', 'approx', 'hist', 'gpu_hist']"),
    ("dsplit", "row", "['row', 'col']"),
    ("process_type", "default", "['default', 'update']"),
    ("grow_policy", "lossguide", "['depthwise', 'lossguide']"),
    ("predictor", "cpu_predictor", "['auto', 'cpu_predictor', 'gpu_predictor']"),
    ("sample_type", "weighted", "['uniform', 'weighted']"),
    ("normalize_type", "forest", "['tree', 'forest']"),
    ("save_model_on_termination", "true", "['true', 'false']"),
    ("aft_loss_distribution", "extreme", "['normal', 'logistic', 'extreme']"),
    ("deterministic_histogram", "false", "['true', 'false']"),
    ("sampling_method", "gradient_based", "['uniform', 'gradient_based']"),
    ("use_dask_gpu_training", "false", "['true', 'false']"),
]

OBJECTIVES = [
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
]


@pytest.mark.parametrize(("name", "edge", "value", "beyond", "interval"), NUMBERS, ids=[row[0] for row in NUMBERS])
def test_numbers_are_read_and_kept_in_their_range(
    name: str, edge: str, value: float, beyond: str, interval: str
) -> None:
    """The edge of the range is accepted, the next value is refused with the range in AWS's notation."""
    read = check(**{name: edge})[name]
    assert read == value
    assert type(read) is type(value)
    assert refusal(**{name: beyond}) == f"Hyperparameter {name}: {beyond} is not in {interval}"


@pytest.mark.parametrize(("name", "value", "choices"), CATEGORIES, ids=[row[0] for row in CATEGORIES])
def test_categories_are_refused_with_the_list_of_choices(name: str, value: str, choices: str) -> None:
    """A value of the list is kept as it is, another one refused with the list."""
    assert check(**{name: value})[name] == value
    assert refusal(**{name: "other"}) == f"Hyperparameter {name}: other is not in {choices}"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_is_accepted(objective: str) -> None:
    """Multi-class ones with num_class."""
    classes = {"num_class": "3"} if objective.startswith("multi:") else {}
    assert check(objective=objective, **classes)["objective"] == objective


def test_no_row_is_left_untested() -> None:
    """The cases of this file name every hyperparameter of the table."""
    tested = {row[0] for row in NUMBERS} | {row[0] for row in CATEGORIES}
    tested |= {"objective", "num_class", "_tuning_objective_metric", "eval_metric", "updater", "silent"}
    tested |= {"monotone_constraints", "interaction_constraints"}
    assert {row.name for row in TABLE} == tested


def test_num_round_is_required() -> None:
    """Nothing else is."""
    with pytest.raises(UserError, match=r"^Missing required hyperparameter: num_round$"):
        validate({"eta": "0.1"}, NEWEST)
    assert validate({"num_round": "3"}, NEWEST) == {"num_round": 3}


@pytest.mark.parametrize("name", ["silent", "single_precision_histogram", "n_estimators", "Eta", ""])
def test_unknown_names_are_fatal(name: str) -> None:
    """A misspelt or abolished hyperparameter fails the job."""
    assert refusal(**{name: "1"}) == f"Extraneous hyperparameter found: {name}"


def test_the_legacy_image_knows_silent() -> None:
    """The 0.72 image still has it."""
    assert validate({"num_round": "1", "silent": "0"}, Version.of_tag("latest"))["silent"] == 0


@pytest.mark.parametrize(
    ("name", "text"), [("max_depth", "5.5"), ("max_depth", ""), ("eta", "fast"), ("num_round", "ten")]
)
def test_text_that_is_no_number(name: str, text: str) -> None:
    """The message names the hyperparameter and Python's error."""
    assert refusal(**{name: text}) == f"Hyperparameter {name}: could not parse value (caused by ValueError)"


@pytest.mark.parametrize(
    ("alias", "name"),
    [("learning_rate", "eta"), ("min_split_loss", "gamma"), ("reg_lambda", "lambda"), ("reg_alpha", "alpha")],
)
def test_aliases(alias: str, name: str) -> None:
    """The library's other names stand for AWS's, and errors use the latter."""
    assert check(**{alias: "0.5"}) == {"num_round": 10, name: 0.5}
    assert refusal(**{alias: "-2"}).startswith(f"Hyperparameter {name}: -2.0 is not in ")


def test_parsing_comes_before_ranges_and_ranges_before_rules() -> None:
    """The first kind of mistake is the one that is reported."""
    assert "could not parse" in refusal(objective="multi:softmax", eta="7", max_depth="x")
    assert "is not in" in refusal(objective="multi:softmax", eta="7")
    assert "num_class" in refusal(objective="multi:softmax")


# Rules between hyperparameters


def test_multi_class_needs_num_class_and_others_do_not() -> None:
    """Both of AWS's sentences."""
    for objective in ("multi:softmax", "multi:softprob"):
        assert refusal(objective=objective) == "Require input for parameter 'num_class' for multi-classification"
    assert refusal(num_class="3") == (
        "Do not need to setup parameter 'num_class' for learning task other than multi-classification."
    )
    assert refusal(objective="multi:softmax", num_class="1") == "Hyperparameter num_class: 1 is not in [2, +inf)"


@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softmax", "count:poisson", ""])
def test_auc_is_for_binary_and_ranking_only(objective: str) -> None:
    """By AWS's rule multi-class is refused too."""
    given = {"objective": objective} if objective else {}
    if objective == "multi:softmax":
        given["num_class"] = "3"
    text = "Metric 'auc' can only be applied for classification and ranking problems."
    assert refusal(eval_metric="rmse,auc", **given) == text
    assert check(objective="binary:logistic", eval_metric="auc")["eval_metric"] == ["auc"]
    assert check(objective="rank:ndcg", eval_metric="auc")["eval_metric"] == ["auc"]


def test_aft_nloglik_is_for_aft_only() -> None:
    """AWS's sentence."""
    text = "Metric 'aft-nloglik' can only be applied for 'survival:aft' objective."
    assert refusal(objective="reg:gamma", eval_metric="aft-nloglik") == text
    assert check(objective="survival:aft", eval_metric="aft-nloglik")


def test_eval_metric_names() -> None:
    """A list without spaces; thresholds for three metrics only; everything else refused by name."""
    assert check(eval_metric="error@0.7,ndcg@5,map@3,rmse")["eval_metric"] == ["error@0.7", "ndcg@5", "map@3", "rmse"]
    assert refusal(eval_metric="rmse, mae").startswith(
        "Hyperparameter eval_metric: value ['rmse', ' mae'] not in range ['accuracy', 'auc', 'aucpr', "
    )
    assert refusal(eval_metric="rmse@3") == (
        "Metric 'rmse@3' is not supported. Parameter 'eval_metric' with customized threshold should be one of these "
        "options: 'error', 'ndcg', 'map'."
    )
    assert refusal(eval_metric="error@half") == "Threshold value 't' in 'error@t' expects float input."
    assert refusal(eval_metric="<function f at 0x1>") == (
        "User defined evaluation metric <function f at 0x1> is not supported yet."
    )


def test_tuning_objective_metric() -> None:
    """A validation metric of the table, with its prefix."""
    assert check(_tuning_objective_metric="validation:auc")["_tuning_objective_metric"] == "validation:auc"
    assert refusal(_tuning_objective_metric="train:auc").startswith(
        "Hyperparameter _tuning_objective_metric: train:auc is not in ['validation:accuracy', 'validation:auc', "
    )


def test_constraints_are_read_as_literals() -> None:
    """A tuple of signs, and nested lists of columns; both want a tree method that honours them."""
    checked = check(tree_method="hist", monotone_constraints="(1,0,-1)", interaction_constraints="[[1,2],[3,4]]")
    assert checked["monotone_constraints"] == (1, 0, -1)
    assert checked["interaction_constraints"] == [[1, 2], [3, 4]]
    assert refusal(monotone_constraints="(1,0)") == (
        "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
    )
    assert refusal(interaction_constraints="[[1,2]]", tree_method="auto") == (
        "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' "
        "or 'approx'."
    )
    assert refusal(tree_method="hist", monotone_constraints="(1,2)") == (
        "Hyperparameter monotone_constraints: value (1, 2) not in range [-1, 0, 1]"
    )
    assert refusal(tree_method="hist", interaction_constraints="[[0,2]]") == (
        "Hyperparameter interaction_constraints: value [[0, 2]] not in range [1, +inf)"
    )


@pytest.mark.parametrize("text", ["up", "__import__('os').getcwd()", "(1,", "(" * 5000])
def test_constraints_are_never_run_as_code(text: str) -> None:
    """AWS evaluates the string; here only literals are read."""
    assert refusal(tree_method="hist", monotone_constraints=text).startswith(
        "Hyperparameter monotone_constraints: could not parse value (caused by "
    )


def test_a_check_that_falls_over_is_an_algorithm_error() -> None:
    """One number where a tuple is wanted makes AWS's own check fail."""
    with pytest.raises(AlgorithmError) as caught:
        check(tree_method="hist", monotone_constraints="1")
    assert str(caught.value) == (
        "Hyperparameter monotone_constraints: unexpected failure when validating 1 (caused by TypeError)"
    )


def test_updaters() -> None:
    """What may be combined depends on booster and process type."""
    linear = "Linear updater should be one of these options: 'shotgun', 'coord_descent'."
    assert refusal(updater="boost").startswith("Hyperparameter updater: value ['boost'] not in range ['grow_colmaker',")
    assert refusal(booster="gblinear", updater="shotgun,coord_descent") == linear
    assert refusal(booster="gblinear", updater="prune") == linear
    assert refusal(process_type="update", updater="grow_colmaker") == (
        "process_type 'update' can only be used with updater 'refresh' and 'prune'"
    )
    assert refusal(updater="grow_colmaker,grow_histmaker").startswith("Only one tree grow plugin can be selected. ")
    assert refusal(updater="shotgun").startswith("Tree updater should be selected from these options: ")
    assert check(booster="gblinear", updater="shotgun")["updater"] == ["shotgun"]
    assert check(updater="grow_colmaker,prune")["updater"] == ["grow_colmaker", "prune"]
    assert check(process_type="update", updater="refresh,prune")
