"""A training job, read and validated without any heavy import: a mistake is refused at once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagemaker.algorithms.xgboost.channels import PIPE, TRAIN, VALIDATION, validate_channels
from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.files import check_first_lines, data_files, warn_of_same_names
from stagemaker.algorithms.xgboost.pipes import drain
from stagemaker.algorithms.xgboost.validation import validate
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.layout import OPT_ML, Layout
from stagemaker.contract.training import read_channels, read_hyperparameters, read_resources

LOG = logging.getLogger(__name__)

CPUS_VARIABLE = "STAGEMAKER_CPUS"
"""How many cores this job may use; without it, all."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All that a training run needs to know; `checkpoints` is None without a CheckpointConfig.

    `train` may be empty where there are several hosts. `piped` says that the files of a channel are
    one, with all that came out of its pipe.
    """

    version: Version
    hyperparameters: Mapping[str, Any]
    content_type: ContentType
    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    piped: bool
    model: Path
    output_data: Path
    checkpoints: Path | None
    threads: int
    current_host: str
    hosts: tuple[str, ...]


def read_job(layout: Layout, environment: Mapping[str, str], drained: Path) -> TrainingJob:
    """Read what lies under /opt/ml/input and validate it in AWS's order. Pipes are emptied into `drained`.

    Raises UserError (FailureReason `ClientError: ...`) or AlgorithmError.
    """
    version = Version.from_environment(environment)
    strings = read_hyperparameters(layout)
    gpus = _visible_gpus()
    _log_start(strings, gpus)
    hyperparameters = validate(strings, version)
    channels = read_channels(layout)
    content_type = validate_channels(channels, version)
    resources = read_resources(layout)
    if len(resources.hosts) > 1 and "_kfold" in hyperparameters:
        raise UserError("Cross-validation (_kfold) trains on one host; set InstanceCount to 1.")
    LOG.info("Determined %d GPU(s) available on the instance.", gpus)
    _refuse_gpu_methods(hyperparameters, gpus)
    piped = channels[TRAIN].input_mode == PIPE
    files = {
        name: drain(_pipe(layout, name), drained / name) if piped else data_files(layout.channel(name))
        for name in (TRAIN, VALIDATION)
        if name in channels
    }
    for name, found in files.items():
        # With a sharded channel a host may get nothing of it; whether others have got something is seen later.
        if not found and (name != TRAIN or len(resources.hosts) == 1):
            raise UserError(f"No data in {_word(name)} channel path {_inside(layout, layout.channel(name))}")
    train, validation = files[TRAIN], files.get(VALIDATION, [])
    if not piped:
        warn_of_same_names(train, validation)
        for found in files.values():
            check_first_lines(found, content_type)
    for name in files:
        LOG.info("files path: %s", _inside(layout, layout.channel(name)))
    return TrainingJob(
        version=version,
        hyperparameters=hyperparameters,
        content_type=content_type,
        train=tuple(train),
        validation=tuple(validation),
        piped=piped,
        model=layout.model,
        output_data=layout.output_data,
        checkpoints=_checkpoints(layout),
        threads=threads(hyperparameters.get("nthread"), environment),
        current_host=resources.current_host,
        hosts=resources.hosts,
    )


def threads(nthread: int | None, environment: Mapping[str, str]) -> int:
    """How many threads to use: what the user asks for, at most the job's share of the cores."""
    share = int(environment.get(CPUS_VARIABLE) or os.cpu_count() or 1)
    return min(nthread, share) if nthread else share


def _log_start(strings: Mapping[str, str], gpus: int) -> None:
    LOG.info("Imported framework sagemaker_xgboost_container.training")
    for name, text in strings.items():
        try:
            json.loads(text)
        except ValueError:
            LOG.info("Failed to parse hyperparameter %s value %s to Json.\nReturning the value itself", name, text)
    if gpus == 0:
        LOG.info("No GPUs detected (normal if no gpus installed)")
    LOG.info("Running XGBoost Sagemaker in algorithm mode")


def _visible_gpus() -> int:
    return sum(1 for _ in Path("/dev").glob("nvidia[0-9]*"))


def _refuse_gpu_methods(hyperparameters: Mapping[str, Any], gpus: int) -> None:
    if hyperparameters.get("use_dask_gpu_training") == "true":
        raise UserError(
            "Some configurations unsuitable for Dask GPU training were found: "
            "Dask GPU training is not available here. Set use_dask_gpu_training to 'false'."
        )
    if hyperparameters.get("tree_method") == "gpu_hist" and gpus == 0:
        raise UserError(
            "Hyperparameter tree_method: gpu_hist needs a GPU and there is none on this instance. "
            "Use 'hist', or an instance type with a GPU."
        )


def _checkpoints(layout: Layout) -> Path | None:
    """The checkpoint folder, when the job has a CheckpointConfig."""
    if not layout.checkpoint_config.is_file():
        return None
    configured = Path(json.loads(layout.checkpoint_config.read_text())["LocalPath"])
    if configured.is_relative_to(OPT_ML):
        return layout.base / configured.relative_to(OPT_ML)
    return configured


def _pipe(layout: Layout, channel: str) -> Path:
    """The pipe of the first epoch; the data is read once."""
    return layout.data / f"{channel}_0"


def _word(channel: str) -> str:
    """AWS writes `training channel`, but `validation channel`."""
    return "training" if channel == TRAIN else channel


def _inside(layout: Layout, path: Path) -> str:
    """The path as a program in a container sees it, wherever the tree really lies."""
    return str(Path(OPT_ML) / path.relative_to(layout.base))
