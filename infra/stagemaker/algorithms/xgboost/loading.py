"""A channel's files as records, refused with AWS's words when they cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import xgboost
from xgboost.core import XGBoostError

from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.csv_records import read_csv
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.files import csv_delimiter
from stagemaker.algorithms.xgboost.library_errors import without_stack
from stagemaker.algorithms.xgboost.libsvm_records import read_libsvm
from stagemaker.algorithms.xgboost.parquet_records import read_parquet
from stagemaker.algorithms.xgboost.recordio import read_recordio
from stagemaker.algorithms.xgboost.records import Records

LOG = logging.getLogger(__name__)


def load(files: Sequence[Path], content_type: ContentType, *, csv_weights: bool) -> Records:
    """The records of a channel. Raises UserError for files that are not what `content_type` says."""
    readers: dict[ContentType, Callable[[], Records]] = {
        ContentType.CSV: lambda: read_csv(files, csv_delimiter(files[0]), weighted=csv_weights),
        ContentType.LIBSVM: lambda: read_libsvm(files),
        ContentType.PARQUET: lambda: read_parquet(files),
        ContentType.RECORDIO_PROTOBUF: lambda: read_recordio(files),
    }
    try:
        records = readers[content_type]()
    except (ValueError, OSError) as error:
        raise _unreadable(content_type, error) from error
    if records.label is None or records.rows == 0:
        raise UserError(
            "Got input data without labels. Please check the input data set. If training job is running on multiple "
            "instances, please switch to using single instance if number of records in the data set is less than "
            "number of workers (16 * number of instance) in the cluster."
        )
    return records


def to_dmatrix(records: Records, content_type: ContentType, threads: int) -> xgboost.DMatrix:
    """The library's matrix of `records`. Raises UserError for values that the library refuses."""
    try:
        return records.to_dmatrix(threads)
    except (XGBoostError, ValueError) as error:
        raise _unreadable(content_type, error) from error


def _unreadable(content_type: ContentType, error: Exception) -> UserError:
    return UserError(f"Failed to load {content_type} data with exception:\n{without_stack(error)}")
