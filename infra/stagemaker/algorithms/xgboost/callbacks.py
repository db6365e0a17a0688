"""What happens after each boosting round."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import xgboost
from xgboost.callback import TrainingCallback

from stagemaker.algorithms.xgboost import checkpoints
from stagemaker.algorithms.xgboost.model_file import save_model
from stagemaker.algorithms.xgboost.version import Version


class RoundLog(TrainingCallback):
    """Prints `[i]<TAB>train-<m>:v<TAB>validation-<m>:v`, all metrics of train first.

    SageMaker reads its metrics from these lines, so they are flushed at once and no verbosity
    silences them. A resumed run goes on counting at `first_round`.
    """

    def __init__(self, first_round: int = 0) -> None:
        self._first = first_round

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:  # noqa: D102 - the library's
        scores = (
            f"{data}-{name}:{values[-1]:.5f}" for data, metrics in evals_log.items() for name, values in metrics.items()
        )
        sys.stdout.write("\t".join([f"[{self._first + epoch}]", *scores]) + "\n")
        sys.stdout.flush()
        return False


class SaveCheckpoint(TrainingCallback):
    """Writes a checkpoint after each round."""

    def __init__(self, folder: Path, version: Version, first_round: int = 0) -> None:
        self._folder, self._version, self._first = folder, version, first_round

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:  # noqa: D102 - the library's
        checkpoints.write(model, self._folder, self._first + epoch, self._version)
        return False


class SaveIntermediateModel(TrainingCallback):
    """Writes the model after each round, so that a stopped job leaves a usable one."""

    def __init__(self, file: Path, version: Version) -> None:
        self._file, self._version = file, version

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:  # noqa: D102 - the library's
        save_model(model, self._file, self._version)
        return False
