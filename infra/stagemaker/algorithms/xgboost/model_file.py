"""The artifact `xgboost-model`: written whole or not at all, read in either of its forms."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import xgboost

from stagemaker.algorithms.xgboost.version import Version

MODEL_NAME = "xgboost-model"
TEMPORARY_SUFFIX = ".sagemaker-ignore"
"""SageMaker's upload agent leaves files of this name alone."""


def save_model(booster: xgboost.Booster, file: Path, version: Version) -> None:
    """Write the model: UBJSON, which the library's `load_model` reads, or a pickle for images up to 1.2."""
    content = pickle.dumps(booster) if version.pickles_model else bytes(booster.save_raw("ubj"))
    _write(file, content)


def save_checkpoint(booster: xgboost.Booster, file: Path) -> None:
    """Write a checkpoint in UBJSON."""
    _write(file, bytes(booster.save_raw("ubj")))


def load_model(file: Path) -> tuple[xgboost.Booster, bool]:
    """The model in `file`, and whether it was a pickle. As AWS's loader, tries a pickle first.

    A pickle runs code when it is read: it is the customer's own model in the customer's own job.
    Raises RuntimeError when it is neither.
    """
    content = file.read_bytes()
    try:
        unpickled = pickle.loads(content)  # noqa: S301 - images up to 1.2 write their models as pickles
        if isinstance(unpickled, xgboost.Booster):
            return unpickled, True
        as_pickle = f"a pickle of {type(unpickled).__name__}, not of a Booster"
    except Exception as error:  # noqa: BLE001 - a pickle may raise anything
        as_pickle = str(error)
    try:
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        return booster, False
    except xgboost.core.XGBoostError as error:
        reason = str(error).split("\nStack trace:", 1)[0]
        raise RuntimeError(f"Model at {file} cannot be loaded:\n{as_pickle}\n{reason}") from error


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=TEMPORARY_SUFFIX)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o644)  # mkstemp's 0600 would follow the file into the archive
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
