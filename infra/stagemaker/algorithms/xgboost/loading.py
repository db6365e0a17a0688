"""A channel's files as records, refused with AWS's words when they cannot be read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import xgboost
from xgboost.core import XGBoostError

from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.csv_records import read_csv
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.files import csv_delimiter
from stagemaker.algorithms.xgboost.job import TrainingJob
from stagemaker.algorithms.xgboost.library_errors import without_stack
from stagemaker.algorithms.xgboost.libsvm_records import read_libsvm
from stagemaker.algorithms.xgboost.parquet_records import read_parquet, read_parquet_stream
from stagemaker.algorithms.xgboost.recordio import read_recordio
from stagemaker.algorithms.xgboost.records import Records

LOG = logging.getLogger(__name__)


_PIPE_DELIMITER = ","
"""AWS's reader of pipes takes no other."""

_BYTES_PER_COLUMN = 150
"""What the library takes at least for a column, be it empty: with 3.2, 10 million of them train in 3.5 GB."""


def load(job: TrainingJob, files: Sequence[Path]) -> Records:
    """The records of a channel's files. Raises UserError for files that are not what the job says."""
    pa.set_cpu_count(job.threads)  # Arrow's readers would take all cores, whatever the job's share
    return read(files, job.content_type, weighted=job.hyperparameters.get("csv_weights") == 1, piped=job.piped)


def read(files: Sequence[Path], content_type: ContentType, *, weighted: bool, piped: bool) -> Records:
    """The records of files, or (`piped`) of the one that a pipe was emptied into. Raises UserError."""
    readers: dict[ContentType, Callable[[], Records]] = {
        ContentType.CSV: lambda: read_csv(
            files, _PIPE_DELIMITER if piped else csv_delimiter(files[0]), weighted=weighted
        ),
        ContentType.LIBSVM: lambda: read_libsvm(files),
        ContentType.PARQUET: lambda: read_parquet_stream(files[0].read_bytes()) if piped else read_parquet(files),
        ContentType.RECORDIO_PROTOBUF: lambda: read_recordio(files),
    }
    try:
        records = readers[content_type]()
    except UserError:
        raise
    except Exception as error:  # a broken file may raise anything in a reader, and AWS's loader takes all of it
        raise _unreadable(content_type, error) from error
    if records.label is None or records.rows == 0:
        raise UserError(
            "Got input data without labels. Please check the input data set. If training job is running on multiple "
            "instances, please switch to using single instance if number of records in the data set is less than "
            "number of workers (16 * number of instance) in the cluster."
        )
    return records


def to_dmatrix(job: TrainingJob, records: Records) -> xgboost.DMatrix:
    """The library's matrix of `records`.

    Raises UserError for values that the library refuses, and for more columns than memory: one wrong column
    number would have the system kill the job, or others, without a word.
    """
    needed, memory = records.columns * _BYTES_PER_COLUMN, _memory()
    if needed > memory and job.hyperparameters.get("booster") != "gblinear":
        told = f"{records.columns} columns need more than {needed >> 30} GB of memory, this machine has {memory >> 30}"
        raise _unreadable(job.content_type, ValueError(told))
    try:
        return records.to_dmatrix(job.threads)
    except (XGBoostError, ValueError) as error:
        raise _unreadable(job.content_type, error) from error


def _memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _unreadable(content_type: ContentType, error: Exception) -> UserError:
    return UserError(f"Failed to load {content_type} data with exception:\n{without_stack(error)}")
