"""k-fold cross-validation: `_kfold` models, `_num_cv_round` times over."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagemaker.algorithms.xgboost.boosting import History, Run, boost
from stagemaker.algorithms.xgboost.channels import TRAIN, VALIDATION
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.job import TrainingJob
from stagemaker.algorithms.xgboost.loading import to_dmatrix
from stagemaker.algorithms.xgboost.metrics import predicted_classes
from stagemaker.algorithms.xgboost.model_file import MODEL_NAME, save_model
from stagemaker.algorithms.xgboost.records import Records, concatenate

LOG = logging.getLogger(__name__)

Rows = NDArray[np.int64]


def cross_validate(job: TrainingJob, train: Records, validation: Records | None) -> None:
    """Train on folds of both channels' records together.

    Leaves `xgboost-model-0`, `-1` ... and `predictions.csv` (label, mean prediction or probability
    of the left-out rows, for classification also the most frequent class), and prints averaged
    metrics in one line for each repetition. A fold is scored on its own left-out rows.
    """
    kfold: int = job.hyperparameters["_kfold"]
    repetitions: int = job.hyperparameters.get("_num_cv_round", 1)
    try:
        records = concatenate([train] if validation is None else [train, validation])
    except ValueError as error:
        raise UserError(f"Failed to load {job.content_type} data with exception:\n{error}") from error
    LOG.info("Run %d-round of %d-fold cross validation with %d rows", repetitions, kfold, records.rows)
    if records.rows < kfold:
        raise UserError(f"Hyperparameter _kfold: {kfold} folds need as many rows, there are {records.rows}")
    predictions: list[NDArray[np.float32]] = []
    histories: list[History] = []
    random = np.random.default_rng(abs(job.hyperparameters.get("seed", 0)))
    for repetition in range(repetitions):
        left_out_predictions: Any = None
        for fold, left_out in enumerate(_folds(records, kfold, job.hyperparameters, random)):
            LOG.info("Train cross validation fold %d", fold + 1)
            number = repetition * kfold + fold
            predicted, history = _train_fold(job, records, left_out, number)
            if left_out_predictions is None:
                left_out_predictions = np.zeros((records.rows, *predicted.shape[1:]), dtype=np.float32)
            left_out_predictions[left_out] = predicted
            histories.append(history)
        predictions.append(left_out_predictions)
        LOG.info("The metrics of round %d cross validation", repetition + 1)
        _print_metrics(job, histories[-kfold:])
    _write_predictions(job, records, predictions)
    if repetitions > 1:
        LOG.info("The overall metrics of %d-round cross validation", repetitions)
        _print_metrics(job, histories)


def _train_fold(job: TrainingJob, records: Records, left_out: Rows, number: int) -> tuple[Any, History]:
    kept = np.setdiff1d(np.arange(records.rows), left_out)
    validation = to_dmatrix(job, records.take(left_out))
    run = Run(
        train=to_dmatrix(job, records.take(kept)),
        validation=validation,
        model=job.model / f"{MODEL_NAME}-{number}",
        checkpoints=None if job.checkpoints is None else job.checkpoints / f"model-{number}",
    )
    booster, history = boost(job, run)
    save_model(booster, run.model, job.version)
    return booster.predict(validation), history


def _is_classification(hyperparameters: Mapping[str, Any]) -> bool:
    return "num_class" in hyperparameters or hyperparameters.get("objective", "").startswith("binary:")


def _folds(
    records: Records, kfold: int, hyperparameters: Mapping[str, Any], random: np.random.Generator
) -> Iterator[Rows]:
    """The left-out rows of each fold, in order; for classification each class is dealt out evenly."""
    order = random.permutation(records.rows)
    if _is_classification(hyperparameters) and records.label is not None:
        order = order[np.argsort(records.label[order], kind="stable")]
    fold_of_row = np.empty(records.rows, dtype=np.int64)
    fold_of_row[order] = np.arange(records.rows) % kfold
    for fold in range(kfold):
        yield np.flatnonzero(fold_of_row == fold)


def _print_metrics(job: TrainingJob, histories: Sequence[History]) -> None:
    """One line with the last scores, averaged: each metric for train, then for validation."""
    scores = [
        f"{data}-{metric}:{np.mean([history[data][metric][-1] for history in histories]):.5f}"
        for metric in histories[0][TRAIN]
        for data in (TRAIN, VALIDATION)
    ]
    sys.stdout.write("\t".join([f"[{job.hyperparameters['num_round']}]", *scores]) + "\n")
    sys.stdout.flush()


def _write_predictions(job: TrainingJob, records: Records, predictions: Sequence[NDArray[np.float32]]) -> None:
    objective = job.hyperparameters.get("objective")
    columns: list[Any] = [records.label]
    if _is_classification(job.hyperparameters):
        classes = np.stack([predicted_classes(predicted, objective) for predicted in predictions])
        scores = [predicted.max(axis=-1) if predicted.ndim > 1 else predicted for predicted in predictions]
        columns += [np.mean(scores, axis=0), np.array([np.bincount(row).argmax() for row in classes.T])]
    else:
        columns.append(np.mean(predictions, axis=0))
    job.output_data.mkdir(parents=True, exist_ok=True)
    file = job.output_data / "predictions.csv"
    LOG.info("Storing predictions on validation set(s) in %s", file)
    np.savetxt(file, np.column_stack(columns), delimiter=",", fmt="%f")
