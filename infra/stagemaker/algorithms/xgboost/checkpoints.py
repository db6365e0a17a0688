"""Checkpoints of a run: where the next round starts, and which files stay.

A managed spot job is stopped at any time and started again on the same folder.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import xgboost

from stagemaker.algorithms.xgboost.model_file import save_checkpoint
from stagemaker.algorithms.xgboost.version import Version

LOG = logging.getLogger(__name__)

_NAME = re.compile(r"xgboost-checkpoint(?:\.(\d+)|_(\d+)\.ubj)")
_KEPT = 5
_UPLOADING = ".sagemaker-uploading"
_UPLOADED = ".sagemaker-uploaded"


def latest(folder: Path | None) -> tuple[xgboost.Booster | None, int]:
    """The newest readable checkpoint and how many rounds it holds; (None, 0) without one."""
    if folder is None or not folder.is_dir():
        return None, 0
    found = sorted(((round_, file) for file in folder.iterdir() if (round_ := _round(file)) is not None), reverse=True)
    for round_, file in found:
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(file.read_bytes()))
        except xgboost.core.XGBoostError:
            LOG.warning("Checkpoint %s cannot be read, trying the one before.", file)
            continue
        LOG.info("Checkpoint loaded from %s", file)
        LOG.info("Resuming from iteration %d", round_ + 1)
        return booster, round_ + 1
    return None, 0


def write(booster: xgboost.Booster, folder: Path, round_: int, version: Version) -> None:
    """Save the state after round `round_` and remove all but the newest five.

    A file that SageMaker is uploading is left for the next time.
    """
    save_checkpoint(booster, folder / version.checkpoint_name(round_))
    for file in folder.iterdir():
        old = _round(file)
        if old is not None and old <= round_ - _KEPT and not _is_uploading(file):
            file.unlink(missing_ok=True)


def _round(file: Path) -> int | None:
    match = _NAME.fullmatch(file.name)
    return int(match[1] or match[2]) if match else None


def _is_uploading(file: Path) -> bool:
    uploading, uploaded = (file.with_name(file.name + suffix) for suffix in (_UPLOADING, _UPLOADED))
    return uploading.exists() and not uploaded.exists()
