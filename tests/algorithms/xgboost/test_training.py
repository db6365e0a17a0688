"""Training: the same figures and the same model as the library, with AWS's lines and words around it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from stagemaker.algorithms.xgboost import boosting, callbacks, checkpoints
from stagemaker.algorithms.xgboost.errors import AlgorithmError
from stagemaker.algorithms.xgboost.job import read_job, threads
from stagemaker.algorithms.xgboost.version import Version

OptMl = Any  # the helpers of conftest.py
Table = Any

ROUNDS = 8


def library(table: Table, parameters: dict[str, Any], rounds: int = ROUNDS) -> tuple[xgboost.Booster, dict[str, Any]]:
    """What the library makes of the same data, called directly."""
    train, validation = table.matrices()
    history: dict[str, Any] = {}
    booster = xgboost.train(
        {**parameters, "nthread": 1},
        train,
        rounds,
        evals=[(train, "train"), (validation, "validation")],
        evals_result=history,
        verbose_eval=False,
    )
    return booster, history


def run_table(opt_ml: OptMl, table: Table, hyperparameters: dict[str, Any], **options: Any) -> Any:
    """The same by the built-in algorithm."""
    opt_ml.channel("train", table.csv("train")).channel("validation", table.csv("validation"))
    return opt_ml.run({"num_round": ROUNDS, **hyperparameters}, **options)


def same_model(opt_ml: OptMl, booster: xgboost.Booster, table: Table) -> bool:
    """Whether the artifact predicts as `booster` does."""
    _, validation = table.matrices()
    return np.allclose(opt_ml.booster.predict(validation), booster.predict(validation), rtol=0, atol=1e-6)


def same_figures(outcome: Any, history: dict[str, Any]) -> bool:
    """Whether the round lines hold the library's scores, to the five digits that they show."""
    return all(
        np.allclose(outcome.scores(f"{data}-{metric}"), values, rtol=0, atol=5.0001e-6)
        for data, scores in history.items()
        for metric, values in scores.items()
    )


BINARY_CASES: list[dict[str, Any]] = [
    {"objective": "binary:logistic", "eval_metric": "auc,logloss,error,aucpr,error@0.3", "max_depth": 4, "eta": 0.3},
    {"objective": "binary:logitraw", "scale_pos_weight": 5.5, "min_child_weight": 2, "gamma": 0.5},
    {"objective": "binary:hinge", "tree_method": "exact", "max_delta_step": 1},
    {"objective": "reg:logistic", "booster": "dart", "rate_drop": 0.3, "one_drop": 1, "skip_drop": 0.2, "seed": 7},
    {"objective": "binary:logistic", "subsample": 0.7, "colsample_bytree": 0.5, "seed": 3, "eval_metric": "auc"},
    {"objective": "binary:logistic", "grow_policy": "lossguide", "max_leaves": 5, "max_bin": 32, "max_depth": 0},
    {"objective": "binary:logistic", "num_parallel_tree": 3, "colsample_bynode": 0.5, "colsample_bylevel": 0.9},
    {"objective": "binary:logistic", "booster": "gblinear", "alpha": 0.1, "updater": "coord_descent"},
    {"objective": "binary:logistic", "tree_method": "approx", "lambda": 3, "base_score": 0.2},
]
REGRESSION_CASES: list[dict[str, Any]] = [
    {},
    {"objective": "reg:squarederror", "eval_metric": "rmse,mae,mape,rmsle,mphe"},
    {"objective": "reg:gamma"},
    {"objective": "reg:tweedie", "tweedie_variance_power": 1.2},
    {"objective": "count:poisson"},
    {"objective": "reg:pseudohubererror"},
    {"objective": "reg:squaredlogerror"},
    {"objective": "reg:absoluteerror"},
    {"objective": "survival:cox"},
    {"objective": "reg:squarederror", "booster": "dart", "sample_type": "weighted", "normalize_type": "forest"},
    {"objective": "reg:squarederror", "sampling_method": "gradient_based", "subsample": 0.5, "seed": 11},
]
MULTI_CASES: list[dict[str, Any]] = [
    {"objective": "multi:softmax", "num_class": 3, "eval_metric": "merror,mlogloss"},
    {"objective": "multi:softprob", "num_class": 3},
]


def parameters_of(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters as the library wants them."""
    metrics = hyperparameters.get("eval_metric")
    return {**hyperparameters, **({"eval_metric": metrics.split(",")} if metrics else {})}


@pytest.mark.parametrize("hyperparameters", BINARY_CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_binary_equals_the_library(opt_ml: OptMl, churn: Table, hyperparameters: dict[str, Any]) -> None:
    """On customers who left or stayed: train and validation metrics, and predictions to 1e-6."""
    booster, history = library(churn, parameters_of(hyperparameters))
    outcome = run_table(opt_ml, churn, hyperparameters)
    assert outcome.code == 0
    assert len(outcome.lines) == ROUNDS
    assert same_figures(outcome, history)
    assert same_model(opt_ml, booster, churn)


@pytest.mark.parametrize("hyperparameters", REGRESSION_CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_regression_equals_the_library(opt_ml: OptMl, concrete: Table, hyperparameters: dict[str, Any]) -> None:
    """On the strength of concrete; without an objective too."""
    booster, history = library(concrete, parameters_of(hyperparameters))
    outcome = run_table(opt_ml, concrete, hyperparameters)
    assert outcome.code == 0
    assert same_figures(outcome, history)
    assert same_model(opt_ml, booster, concrete)


@pytest.mark.parametrize("hyperparameters", MULTI_CASES, ids=lambda case: case["objective"])
def test_multi_class_equals_the_library(opt_ml: OptMl, penguins: Table, hyperparameters: dict[str, Any]) -> None:
    """On species of penguins, with missing measurements."""
    booster, history = library(penguins, parameters_of(hyperparameters))
    outcome = run_table(opt_ml, penguins, hyperparameters)
    assert outcome.code == 0
    assert same_figures(outcome, history)
    assert same_model(opt_ml, booster, penguins)


@pytest.mark.parametrize("objective", ["rank:pairwise", "rank:ndcg", "rank:map"])
def test_ranking_with_groups_equals_the_library(opt_ml: OptMl, churn: Table, objective: str) -> None:
    """Libsvm with qid: customers ranked within groups of twenty."""
    groups = np.arange(len(churn.train)) // 20
    lines = [
        f"{row[0]:.0f} qid:{group} " + " ".join(f"{column}:{value!r}" for column, value in enumerate(row[1:]))
        for row, group in zip(churn.train.tolist(), groups, strict=True)
    ]
    outcome = opt_ml.channel("train", "\n".join(lines), "text/libsvm").run(
        {"num_round": ROUNDS, "objective": objective, "eval_metric": "ndcg@5,map"}
    )
    matrix = xgboost.DMatrix(churn.train[:, 1:], label=churn.train[:, 0], qid=groups, nthread=1)
    history: dict[str, Any] = {}
    booster = xgboost.train(
        {"objective": objective, "eval_metric": ["ndcg@5", "map"], "nthread": 1},
        matrix,
        ROUNDS,
        evals=[(matrix, "train")],
        evals_result=history,
        verbose_eval=False,
    )
    assert same_figures(outcome, history)
    assert np.allclose(opt_ml.booster.predict(matrix), booster.predict(matrix), rtol=0, atol=1e-6)


def test_sparse_and_dense_data_train_the_same_model(opt_ml: OptMl, churn: Table) -> None:
    """A libsvm file that states every value equals the CSV file."""
    lines = [
        f"{row[0]:.0f} " + " ".join(f"{column}:{value!r}" for column, value in enumerate(row[1:]))
        for row in churn.train.tolist()
    ]
    opt_ml.channel("train", "\n".join(lines), "libsvm").run({"num_round": ROUNDS, "objective": "binary:logistic"})
    booster, _ = library(churn, {"objective": "binary:logistic"})
    assert same_model(opt_ml, booster, churn)


def test_weights_count(opt_ml: OptMl, churn: Table) -> None:
    """csv_weights: the second column, in train and validation alike."""
    weights = np.random.default_rng(0).integers(1, 9, size=len(churn.train)).astype(np.float32)
    rows = np.column_stack([churn.train[:, 0], weights, churn.train[:, 1:]])
    text = "".join(",".join(repr(value) for value in row) + "\n" for row in rows.tolist())
    outcome = (
        opt_ml.channel("train", text)
        .channel("validation", text)
        .run({"num_round": ROUNDS, "objective": "binary:logistic", "csv_weights": 1})
    )
    matrix = xgboost.DMatrix(churn.train[:, 1:], label=churn.train[:, 0], weight=weights, nthread=1)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, ROUNDS)
    assert np.allclose(opt_ml.booster.predict(matrix), booster.predict(matrix), rtol=0, atol=1e-6)
    assert outcome.scores("train-logloss") == outcome.scores("validation-logloss")


def test_constraints_reach_the_library(opt_ml: OptMl, concrete: Table) -> None:
    """Monotone and interaction constraints, as the library understands them given as text."""
    monotone = {"tree_method": "hist", "monotone_constraints": "(1,0,0,-1)"}
    assert run_table(opt_ml, concrete, monotone).code == 0
    assert same_model(opt_ml, library(concrete, monotone)[0], concrete)
    interaction = {"tree_method": "hist", "interaction_constraints": "[[1, 2], [3, 4, 5]]"}
    assert run_table(opt_ml, concrete, interaction).code == 0
    assert same_model(opt_ml, library(concrete, interaction)[0], concrete)
    assert not same_model(opt_ml, library(concrete, {"tree_method": "hist"})[0], concrete)


def test_reg_linear_is_squarederror(opt_ml: OptMl, concrete: Table, caplog: pytest.LogCaptureFixture) -> None:
    """The old name trains the new objective, without the library's complaint."""
    assert run_table(opt_ml, concrete, {"objective": "reg:linear"}).code == 0
    assert same_model(opt_ml, library(concrete, {})[0], concrete)
    assert "deprecated" not in caplog.text


# Lines


def test_round_lines(opt_ml: OptMl, churn: Table) -> None:
    """Real tabs, all metrics of train before those of validation, five digits, no silencing."""
    hyperparameters = {"objective": "binary:logistic", "eval_metric": "auc,f1,error", "verbosity": 0, "num_round": 2}
    lines = run_table(opt_ml, churn, hyperparameters).lines
    assert [cell.split(":")[0] for cell in lines[1].split("\t")] == [
        "[1]",
        "train-auc",
        "train-error",
        "train-f1",
        "validation-auc",
        "validation-error",
        "validation-f1",
    ]
    assert all(len(cell.split(".")[1]) == 5 for cell in lines[0].split("\t")[1:])


def test_without_validation_only_train_is_logged(opt_ml: OptMl, churn: Table) -> None:
    """One metric, the objective's default."""
    outcome = opt_ml.channel("train", churn.csv("train")).run({"num_round": 1, "objective": "binary:logistic"})
    assert len(outcome.lines) == 1
    assert outcome.lines[0].startswith("[0]\ttrain-logloss:0.")
    assert outcome.lines[0].count("\t") == 1


def test_log_lines(opt_ml: OptMl, churn: Table, caplog: pytest.LogCaptureFixture) -> None:
    """The image's own lines, in its order."""
    caplog.set_level("INFO")
    run_table(opt_ml, churn, {"objective": "binary:logistic", "predictor": "cpu_predictor"})
    text = "\n".join(caplog.messages)
    expected = [
        "Imported framework sagemaker_xgboost_container.training",
        "Failed to parse hyperparameter objective value binary:logistic to Json.\nReturning the value itself",
        "No GPUs detected (normal if no gpus installed)",
        "Running XGBoost Sagemaker in algorithm mode",
        "Determined 0 GPU(s) available on the instance.",
        "Determined delimiter of CSV input is ','",
        "files path: /opt/ml/input/data/train",
        "Single node training.",
        f"Train matrix has {len(churn.train)} rows and {churn.train.shape[1] - 1} columns",
        f"Validation matrix has {len(churn.validation)} rows",
        'Parameters: { "predictor" } are not used.',
    ]
    places = [text.find(line) for line in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_custom_metrics_are_logged_beside_the_default(opt_ml: OptMl, churn: Table) -> None:
    """With only custom metrics asked for, the library still logs the objective's default."""
    outcome = run_table(opt_ml, churn, {"objective": "binary:logistic", "eval_metric": "accuracy"})
    _, validation = churn.matrices()
    right = (opt_ml.booster.predict(validation) > 0.5) == (churn.validation[:, 0] == 1)
    assert outcome.scores("validation-accuracy")[-1] == pytest.approx(right.mean(), abs=5e-6)
    assert len(outcome.scores("validation-logloss")) == ROUNDS


def test_the_tuning_objective_is_logged(opt_ml: OptMl, churn: Table) -> None:
    """Though eval_metric does not name it."""
    hyperparameters = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "_tuning_objective_metric": "validation:auc",
    }
    assert len(run_table(opt_ml, churn, hyperparameters).scores("validation-auc")) == ROUNDS


# Early stopping, checkpoints, cross-validation


@pytest.mark.parametrize(("metric", "maximize"), [("auc", True), ("logloss", False)])
def test_early_stopping_keeps_the_best_rounds(opt_ml: OptMl, churn: Table, metric: str, maximize: bool) -> None:
    """It looks at the last metric on validation, and cuts the model back to the best round."""
    hyperparameters = {
        "objective": "binary:logistic",
        "eval_metric": f"error,{metric}",
        "early_stopping_rounds": 3,
        "num_round": 200,
        "eta": 0.5,
    }
    outcome = run_table(opt_ml, churn, hyperparameters)
    scores = outcome.scores(f"validation-{metric}")
    best = int(np.argmax(scores) if maximize else np.argmin(scores))
    assert len(scores) == best + 4 < 200
    assert opt_ml.booster.num_boosted_rounds() == best + 1
    assert opt_ml.booster.attr("best_iteration") == str(best)


def test_early_stopping_takes_a_metric_at_a_rank_the_wrong_way(opt_ml: OptMl, caplog: pytest.LogCaptureFixture) -> None:
    """AWS's container finds `ndcg@1` in no list and minimizes it; here the log says so."""
    lines = "".join(f"{row * 7 % 3} qid:{row // 10} 1:{row % 5} 2:{row * 3 % 11}\n" for row in range(60))
    ranking = {"objective": "rank:ndcg", "early_stopping_rounds": 2, "num_round": 60}
    for metric, warned in (("ndcg@1,ndcg", False), ("ndcg,ndcg@1", True)):
        caplog.clear()
        job = opt_ml.channel("train", lines, "libsvm").channel("validation", lines, "libsvm")
        scores = job.run({**ranking, "eval_metric": metric}).scores(f"validation-{metric.split(',')[1]}")
        best = int(np.argmin(scores) if warned else np.argmax(scores))
        assert opt_ml.booster.num_boosted_rounds() == best + 1
        assert ("takes less of ndcg@1 as better" in caplog.text) is warned


def test_early_stopping_of_a_custom_metric_and_of_a_linear_model(opt_ml: OptMl, churn: Table) -> None:
    """A metric of the container's own can stop; a linear model is not cut back."""
    hyperparameters = {"objective": "binary:logistic", "early_stopping_rounds": 2, "num_round": 100}
    outcome = run_table(opt_ml, churn, {**hyperparameters, "_tuning_objective_metric": "validation:f1"})
    assert len(outcome.lines) < 100
    linear = run_table(opt_ml, churn, {**hyperparameters, "eval_metric": "auc", "booster": "gblinear", "eta": 1})
    assert linear.code == 0
    assert len(linear.lines) < 100


@pytest.mark.parametrize(("metric", "validation"), [("auc", False), (None, True)])
def test_early_stopping_needs_validation_and_a_metric(
    opt_ml: OptMl, churn: Table, caplog: pytest.LogCaptureFixture, metric: str | None, validation: bool
) -> None:
    """As in AWS's container it has no effect otherwise; here the log says so."""
    opt_ml.channel("train", churn.csv("train"))
    if validation:
        opt_ml.channel("validation", churn.csv("validation"))
    hyperparameters = {"objective": "binary:logistic", "early_stopping_rounds": 1, "num_round": 30, "eta": 1}
    outcome = opt_ml.run({**hyperparameters, **({"eval_metric": metric} if metric else {})})
    assert len(outcome.lines) == 30
    assert "early_stopping_rounds has no effect without " in caplog.text


@pytest.mark.parametrize(("tag", "last"), [("3.2-0", "xgboost-checkpoint_9.ubj"), ("1.7-1", "xgboost-checkpoint.9")])
def test_a_stopped_job_goes_on_from_its_checkpoint(
    opt_ml: OptMl, new_job: Callable[[], Any], concrete: Table, caplog: pytest.LogCaptureFixture, tag: str, last: str
) -> None:
    """Five checkpoints stay; the next run counts on, and ends in the model of an unbroken run."""
    folder = opt_ml.checkpoints()
    run_table(opt_ml, concrete, {"num_round": 10}, tag=tag)
    assert len(list(folder.iterdir())) == 5
    assert (folder / last).is_file()
    caplog.set_level("INFO")
    outcome = run_table(opt_ml, concrete, {"num_round": 15}, tag=tag)
    assert [line.split("\t")[0] for line in outcome.lines] == ["[10]", "[11]", "[12]", "[13]", "[14]"]
    assert f"Checkpoint loaded from {folder / last}" in caplog.text
    assert "Resuming from iteration 10" in caplog.text
    unbroken = new_job()
    whole = run_table(unbroken, concrete, {"num_round": 15}, tag=tag)
    assert whole.lines[10:] == outcome.lines
    assert same_model(opt_ml, unbroken.booster, concrete)


def test_checkpoints_that_are_broken_or_being_uploaded(opt_ml: OptMl, concrete: Table) -> None:
    """A broken one is passed over, one that is being uploaded is not removed."""
    folder = opt_ml.checkpoints()
    run_table(opt_ml, concrete, {"num_round": 3})
    (folder / "xgboost-checkpoint_9.ubj").write_bytes(b"{broken")
    booster, done = checkpoints.latest(folder)
    assert done == 3
    assert booster is not None
    (folder / "xgboost-checkpoint_0.ubj.sagemaker-uploading").touch()
    checkpoints.write(booster, folder, 20, Version.of_tag("3.2-0"))
    names = {file.name for file in folder.glob("xgboost-checkpoint_*.ubj")}
    assert names == {"xgboost-checkpoint_0.ubj", "xgboost-checkpoint_20.ubj"}
    (folder / "xgboost-checkpoint_0.ubj.sagemaker-uploaded").touch()
    checkpoints.write(booster, folder, 21, Version.of_tag("3.2-0"))
    assert not (folder / "xgboost-checkpoint_0.ubj").exists()


def test_a_finished_checkpoint_trains_no_more(opt_ml: OptMl, concrete: Table) -> None:
    """As many rounds as asked for are already there: the model is the checkpoint."""
    opt_ml.checkpoints()
    run_table(opt_ml, concrete, {"num_round": 4})
    outcome = run_table(opt_ml, concrete, {"num_round": 4})
    assert outcome.code == 0
    assert outcome.lines == []
    assert opt_ml.booster.num_boosted_rounds() == 4


def test_cross_validation(opt_ml: OptMl, churn: Table) -> None:
    """K models for each repetition, averaged metrics in one line each, predictions for every row."""
    hyperparameters = {
        "objective": "binary:logistic",
        "eval_metric": "auc,logloss",
        "num_round": 4,
        "_kfold": 3,
        "_num_cv_round": 2,
    }
    outcome = run_table(opt_ml, churn, hyperparameters)
    assert outcome.code == 0
    names = sorted(file.name for file in opt_ml.layout.model.iterdir())
    assert names == [f"xgboost-model-{fold}" for fold in range(6)]
    averages = [line for line in outcome.lines if line.startswith("[4]")]
    assert len(averages) == 3
    assert [cell.split(":")[0] for cell in averages[0].split("\t")[1:]] == [
        "train-auc",
        "validation-auc",
        "train-logloss",
        "validation-logloss",
    ]
    last_rounds = [line for line in outcome.lines if line.startswith("[3]")]
    scores = [float(line.split("validation-auc:")[1].split("\t")[0]) for line in last_rounds]
    assert float(averages[-1].split("validation-auc:")[1].split("\t")[0]) == pytest.approx(np.mean(scores), abs=2e-5)
    rows = np.loadtxt(opt_ml.layout.output_data / "predictions.csv", delimiter=",")
    both = np.concatenate([churn.train, churn.validation])
    assert rows.shape == (len(both), 3)
    np.testing.assert_array_equal(rows[:, 0], both[:, 0])
    assert set(rows[:, 2]) == {0.0, 1.0}
    assert np.all((rows[:, 1] > 0) & (rows[:, 1] < 1))


def test_folds_leave_each_row_out_once_and_keep_the_classes(opt_ml: OptMl, penguins: Table) -> None:
    """Predictions of three classes, and of a regression, come from models that have not seen the row."""
    hyperparameters = {"objective": "multi:softprob", "num_class": 3, "num_round": 3, "_kfold": 4}
    assert run_table(opt_ml, penguins, hyperparameters).code == 0
    rows = np.loadtxt(opt_ml.layout.output_data / "predictions.csv", delimiter=",")
    assert (rows[:, 2] == rows[:, 0]).mean() > 0.9
    assert run_table(opt_ml, penguins, {"num_round": 3, "_kfold": 4}).code == 0
    assert np.loadtxt(opt_ml.layout.output_data / "predictions.csv", delimiter=",").shape == (len(rows), 2)


def test_more_folds_than_rows(opt_ml: OptMl) -> None:
    """Refused, with both numbers."""
    outcome = opt_ml.channel("train", "1,2\n0,3\n").run({"num_round": 1, "_kfold": 5})
    assert outcome.reason == "ClientError: Hyperparameter _kfold: 5 folds need as many rows, there are 2"


# Failures of the library


@pytest.mark.parametrize(
    ("hyperparameters", "labels", "reason"),
    [
        ({"objective": "binary:logistic"}, "012", "ClientError: label must be in [0,1] for logistic regression"),
        ({"objective": "reg:logistic"}, "022", "ClientError: label must be in [0,1] for logistic regression"),
        (
            {"objective": "binary:logistic", "base_score": 1.5},
            "011",
            "ClientError: base_score must be in (0,1) for logistic loss",
        ),
        ({"objective": "multi:softmax", "num_class": 3}, "123", "ClientError: label must be in [0, num_class)"),
        ({"objective": "multi:softprob", "num_class": 2}, "012", "ClientError: label must be in [0, num_class)"),
    ],
)
def test_labels_that_do_not_fit_the_objective(
    opt_ml: OptMl, hyperparameters: dict[str, Any], labels: str, reason: str
) -> None:
    """In the words of the release that AWS's list was written for."""
    text = "".join(f"{label},{row},{row % 2}\n" for row, label in enumerate(labels))
    assert opt_ml.channel("train", text).run({"num_round": 2, **hyperparameters}).reason == reason


@pytest.mark.parametrize(
    ("hyperparameters", "kind", "part"),
    [
        ({"objective": "count:poisson"}, "ClientError", "label must be non-negative for Poisson/Tweedie regression."),
        ({"objective": "reg:tweedie"}, "ClientError", "label must be non-negative for Poisson/Tweedie regression."),
        (
            {"objective": "multi:softmax", "num_class": 3, "eval_metric": "rmse"},
            "ClientError",
            "label and prediction size not match",
        ),
        ({"eval_metric": "mlogloss"}, "ClientError", "label must be in [0, num_class)"),
        ({"eval_metric": "f1_binary"}, "ClientError", "Target is multiclass but average='binary'"),
        ({"objective": "aft_loss_distribution"}, "AlgorithmError", "Unknown objective function"),
        ({"objective": "survival:aft"}, "AlgorithmError", "labels_lower_bound"),
        ({"updater": "grow_skmaker"}, "AlgorithmError", "Unknown tree updater grow_skmaker"),
        ({"max_bin": 1}, "AlgorithmError", "should be greater equal to 2"),
        ({"eval_metric": "tweedie-nloglik"}, "AlgorithmError", "must be in format tweedie-nloglik@rho"),
    ],
)
def test_other_failures_of_the_library(opt_ml: OptMl, hyperparameters: dict[str, Any], kind: str, part: str) -> None:
    """The customer's are ClientErrors, the rest comes under AWS's heading; neither shows a stack."""
    labels = (-1, 3, 2, 1) if kind == "ClientError" and "objective" in hyperparameters else (0, 1, 2, 3)
    text = "".join(f"{label},{row},{row % 2}\n" for row, label in enumerate(labels))
    if hyperparameters.get("objective") == "multi:softmax":
        text = text.replace("-1,", "0,").replace("3,1", "0,1")
    reason = opt_ml.channel("train", text).run({"num_round": 2, **hyperparameters}).reason
    heading = "XGB train call failed with exception:\n " if kind == "AlgorithmError" else ""
    assert reason.startswith(f"{kind}: {heading}")
    assert part in reason
    assert "Stack trace" not in reason


def test_validation_that_is_wider_than_train(opt_ml: OptMl) -> None:
    """The customer's data, so a ClientError; narrower is accepted, as the library accepts it."""
    opt_ml.channel("train", "1,2,3\n0,4,5\n").channel("validation", "1,2,3,4\n")
    reason = opt_ml.run({"num_round": 1}).reason
    assert reason.startswith("ClientError: ")
    assert "Number of columns does not match number of features in booster." in reason
    opt_ml.channel("validation", "1,2\n0,2\n")
    assert opt_ml.run({"num_round": 1}).code == 0


def test_one_class_only_is_a_warning(opt_ml: OptMl, caplog: pytest.LogCaptureFixture) -> None:
    """AUC of a single class cannot be computed; the library warns and the job goes on."""
    outcome = opt_ml.channel("train", "0,1,2\n0,3,4\n").run(
        {"num_round": 1, "objective": "binary:logistic", "eval_metric": "auc"}
    )
    assert outcome.code == 0
    assert "contains only positive or negative samples" in caplog.text


# Artifacts, versions, threads


@pytest.mark.parametrize("tag", ["3.2-0", "3.0-5", "1.7-1", "1.5-1", "1.3-1"])
def test_the_artifact_loads_in_the_library(opt_ml: OptMl, churn: Table, tag: str) -> None:
    """A native model, and nothing else in the folder."""
    run_table(opt_ml, churn, {"objective": "binary:logistic"}, tag=tag)
    assert [file.name for file in opt_ml.layout.model.iterdir()] == ["xgboost-model"]
    booster = xgboost.Booster(model_file=bytearray((opt_ml.layout.model / "xgboost-model").read_bytes()))
    assert same_model(opt_ml, booster, churn)


@pytest.mark.parametrize("tag", ["1.2-2", "1.2-1", "1.0-1", "1.0-1-cpu-py3", "0.90-2", "0.90-1", "1", "latest"])
def test_old_images_pickle_their_model(opt_ml: OptMl, churn: Table, tag: str) -> None:
    """Up to 1.2 the file is a pickled Booster, and the default metric is the error."""
    outcome = run_table(opt_ml, churn, {"objective": "binary:logistic"}, tag=tag)
    assert len(outcome.scores("validation-error")) == ROUNDS
    booster = pickle.loads((opt_ml.layout.model / "xgboost-model").read_bytes())  # noqa: S301 - written just now
    assert isinstance(booster, xgboost.Booster)
    assert same_model(opt_ml, booster, churn)


def test_an_unknown_tag_is_refused(opt_ml: OptMl) -> None:
    """With the tags that there are."""
    outcome = opt_ml.channel("train", "1,2\n0,3\n").run({"num_round": 1}, tag="2.0-1")
    assert outcome.reason.startswith("AlgorithmError: XGBoost image tag '2.0-1' is not known; known tags: 0.90-1, ")


def test_intermediate_models_are_whole(opt_ml: OptMl, churn: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """With save_model_on_termination the model of each round lies in place before the next begins."""
    seen: list[int] = []
    after = callbacks.SaveIntermediateModel.after_iteration

    def watch(self: Any, model: Any, epoch: int, evals_log: Any) -> bool:
        stop = after(self, model, epoch, evals_log)
        seen.append(opt_ml.booster.num_boosted_rounds())
        return stop

    monkeypatch.setattr(callbacks.SaveIntermediateModel, "after_iteration", watch)
    run_table(opt_ml, churn, {"save_model_on_termination": "true", "num_round": 4})
    assert seen == [1, 2, 3, 4]


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's nthread, at most the job's share; the share without it; else all cores."""
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert threads(None, {}) == 6
    assert threads(4, {}) == 4
    assert threads(8, {"STAGEMAKER_CPUS": "2"}) == 2
    assert threads(1, {"STAGEMAKER_CPUS": "2"}) == 1
    assert threads(None, {"STAGEMAKER_CPUS": "2"}) == 2


def test_the_verbosity_of_one_job_ends_with_it(opt_ml: OptMl) -> None:
    """It is a global setting of the library."""
    before = xgboost.get_config()["verbosity"]
    opt_ml.channel("train", "1,2\n0,3\n").run({"num_round": 1, "verbosity": 3})
    assert xgboost.get_config()["verbosity"] == before


def test_gpu_hist_on_a_gpu(opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its new name for the library; refused when the library cannot use the GPU."""
    monkeypatch.setattr("stagemaker.algorithms.xgboost.job._visible_gpus", lambda: 1)
    opt_ml.channel("train", "1,2\n0,3\n").write({"num_round": 1, "tree_method": "gpu_hist"})
    job = read_job(opt_ml.layout, {"STAGEMAKER_CPUS": "1"}, opt_ml.layout.base)
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": True})
    assert boosting.library_parameters(job) == {"tree_method": "hist", "device": "cuda", "nthread": 1}
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": False})
    with pytest.raises(AlgorithmError, match="built without CUDA"):
        boosting.library_parameters(job)


def test_checkpoints_may_lie_elsewhere(opt_ml: OptMl, tmp_path: Path) -> None:
    """A LocalPath outside /opt/ml is taken as it stands."""
    opt_ml.layout.checkpoint_config.write_text(f'{{"LocalPath": "{tmp_path / "elsewhere"}"}}')
    opt_ml.channel("train", "1,2\n0,3\n").run({"num_round": 2})
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2
