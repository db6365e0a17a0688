"""Parquet: the first column is the label, the others are features."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.records import Records, concatenate


def read_parquet(files: Iterable[Path]) -> Records:
    """The records of all files, in order; null is a missing value.

    Raises UserError when pyarrow is not installed, ValueError for files that are not Parquet and for
    columns that are not numbers.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            "Parquet cannot be read: the Python package 'pyarrow' is not installed. Install it or use text/csv."
        ) from None
    parts = []
    for file in files:
        table = parquet.ParquetFile(file).read()
        columns = [np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32) for column in table.columns]
        data = np.column_stack(columns)
        parts.append(Records(data[:, 1:], label=data[:, 0]))
    return concatenate(parts)
