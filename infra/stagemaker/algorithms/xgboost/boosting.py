"""The training itself: one call of the library on the job's data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost
from xgboost.callback import EarlyStopping, TrainingCallback

from stagemaker.algorithms.xgboost import checkpoints, metrics
from stagemaker.algorithms.xgboost.callbacks import RoundLog, SaveCheckpoint, SaveIntermediateModel
from stagemaker.algorithms.xgboost.channels import TRAIN, VALIDATION
from stagemaker.algorithms.xgboost.distributed import Cluster, hosts_with_data, is_master, leave, together
from stagemaker.algorithms.xgboost.errors import AlgorithmError, UserError
from stagemaker.algorithms.xgboost.hyperparameters import CONTAINER_ONLY
from stagemaker.algorithms.xgboost.job import TrainingJob
from stagemaker.algorithms.xgboost.library_errors import translated
from stagemaker.algorithms.xgboost.loading import load, to_dmatrix
from stagemaker.algorithms.xgboost.model_file import MODEL_NAME, save_model
from stagemaker.contract.hosts import address_of

LOG = logging.getLogger(__name__)

History = dict[str, dict[str, list[float]]]
"""Scores of each round, by data set and metric."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the library: data, and where its files go."""

    train: xgboost.DMatrix
    validation: xgboost.DMatrix | None
    model: Path
    checkpoints: Path | None
    is_master: bool = True
    """Whether this host prints the rounds and writes files."""


def train(job: TrainingJob) -> None:
    """Train and leave `xgboost-model`, or k models for cross-validation.

    Of several hosts the first one with data leaves the model. Raises UserError for data that cannot be
    used, AlgorithmError when the library fails.
    """
    cluster = hosts_with_data(Cluster(job.current_host, job.hosts), bool(job.train), address_of)
    if not cluster.hosts:
        raise UserError("No data in training channel path on any of the hosts")
    if cluster.current not in cluster.hosts:
        leave(cluster.hosts)
        return
    train_records = load(job, job.train)
    validation_records = load(job, job.validation) if job.validation else None
    with together(cluster, address_of):
        LOG.info("Train matrix has %d rows and %d columns", train_records.rows, train_records.columns)
        if validation_records is not None:
            LOG.info("Validation matrix has %d rows", validation_records.rows)
        if "_kfold" in job.hyperparameters:
            from stagemaker.algorithms.xgboost.cross_validation import cross_validate

            cross_validate(job, train_records, validation_records)
            return
        run = Run(
            train=to_dmatrix(job, train_records),
            validation=None if validation_records is None else to_dmatrix(job, validation_records),
            model=job.model / MODEL_NAME,
            checkpoints=job.checkpoints,
            is_master=is_master(cluster),
        )
        booster, _ = boost(job, run)
        if run.is_master:
            save_model(booster, run.model, job.version)


def boost(job: TrainingJob, run: Run) -> tuple[xgboost.Booster, History]:
    """Run the library, going on from a checkpoint if there is one. Raises as `train` does."""
    chosen = metrics.choose(job.hyperparameters, job.version)
    parameters = library_parameters(job)
    if chosen.native:
        parameters["eval_metric"] = list(chosen.native)
    evaluated = [(run.train, TRAIN)]
    if run.validation is not None:
        evaluated.append((run.validation, VALIDATION))
    start, done = checkpoints.latest(run.checkpoints)
    history: History = {}
    try:
        # The level of the library's log is global: without the context it would outlive this run.
        with xgboost.config_context():
            booster = xgboost.train(
                parameters,
                run.train,
                num_boost_round=max(0, job.hyperparameters["num_round"] - done),
                evals=evaluated,
                custom_metric=metrics.custom_metric(chosen.custom, parameters.get("objective"))
                if chosen.custom
                else None,
                evals_result=history,
                callbacks=_callbacks(job, run, chosen, done),
                xgb_model=start,
                verbose_eval=False,
            )
    except Exception as error:  # whatever the library raises, the customer learns it as FailureReason
        raise translated(error, job.hyperparameters) from error
    return booster, history


def library_parameters(job: TrainingJob) -> dict[str, Any]:
    """The hyperparameters as the installed library wants them.

    Parameters that the installed library no longer knows are passed all the same: it says so in the
    log. Raises AlgorithmError for gpu_hist when the library was built without CUDA.
    """
    given: Mapping[str, Any] = job.hyperparameters
    parameters = {name: value for name, value in given.items() if name not in CONTAINER_ONLY}
    parameters["nthread"] = job.threads
    if given.get("objective") == "reg:linear":  # renamed in release 1.0
        parameters["objective"] = "reg:squarederror"
    if "updater" in given:
        parameters["updater"] = ",".join(given["updater"])
    if "monotone_constraints" in given:
        parameters["monotone_constraints"] = tuple(given["monotone_constraints"])
    if "interaction_constraints" in given:
        # As text the numbers are columns (from 0); as a list the library looks for feature names.
        parameters["interaction_constraints"] = str([list(group) for group in given["interaction_constraints"]])
    if given.get("tree_method") == "gpu_hist":  # so called until release 2.0
        if not xgboost.build_info()["USE_CUDA"]:
            raise AlgorithmError("tree_method gpu_hist: the installed XGBoost library is built without CUDA.")
        parameters.update(tree_method="hist", device="cuda")
    return parameters


def _callbacks(job: TrainingJob, run: Run, chosen: metrics.Metrics, first_round: int) -> Sequence[TrainingCallback]:
    callbacks: list[TrainingCallback] = []
    if run.is_master:
        callbacks.append(RoundLog(first_round))
        if run.checkpoints is not None:
            callbacks.append(SaveCheckpoint(run.checkpoints, job.version, first_round))
        if job.hyperparameters.get("save_model_on_termination") == "true":
            callbacks.append(SaveIntermediateModel(run.model, job.version))
    rounds = job.hyperparameters.get("early_stopping_rounds")
    if rounds is None:
        return callbacks
    if run.validation is None or chosen.stopping is None:
        # As in AWS's container, which says nothing.
        missing = "a validation channel" if run.validation is None else "eval_metric"
        LOG.warning("early_stopping_rounds has no effect without %s.", missing)
        return callbacks
    if chosen.is_taken_the_wrong_way:
        LOG.warning(
            "early_stopping_rounds takes less of %s as better, as AWS's container does for names with '@': "
            "the model is cut back to its worst round. Name the metric without '@' last.",
            chosen.stopping,
        )
    callbacks.append(
        EarlyStopping(
            rounds=rounds,
            metric_name=chosen.stopping,
            data_name=VALIDATION,
            maximize=chosen.maximizes,
            # Linear models cannot be cut back to their best round.
            save_best=job.hyperparameters.get("booster") != "gblinear",
        )
    )
    return callbacks
