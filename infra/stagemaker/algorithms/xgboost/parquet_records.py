"""Parquet: the first column is the label, the others are features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from stagemaker.algorithms.xgboost.arrow_tables import to_floats
from stagemaker.algorithms.xgboost.records import Floats, Records

_MAGIC = b"PAR1"
"""The first and the last four bytes of a file."""


def read_parquet(files: Sequence[Path]) -> Records:
    """The records of all files, in order; null is a missing value.

    The columns are those of the first file; the other files' are found by name, and one that a file lacks
    is null. Raises ValueError or TypeError for files that are not Parquet or hold other things
    than numbers.
    """
    try:
        table = parquet.read_table([str(file) for file in files], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(_with_names(str(error), files)) from error
    return _records(_values(table))


def read_parquet_stream(stream: bytes) -> Records:
    """The records of files that follow one another without a gap, as a pipe delivers them.

    They must have the same number of columns, whatever their names. Raises as `read_parquet` does.
    """
    return _records(np.vstack([_values(parquet.read_table(pa.BufferReader(file))) for file in _split(stream)]))


def _with_names(text: str, files: Sequence[Path]) -> str:
    """Arrow's text, with the names of files instead of where they lie outside the container."""
    for file in files:
        text = text.replace(str(file), file.name)
    return text


def _values(table: pa.Table) -> Floats:
    """The columns as numbers, without those that are the index of the pandas table that was written."""
    described = table.schema.pandas_metadata or {}
    # An index of consecutive numbers is described by an object and has no column.
    index = [column for column in described.get("index_columns", []) if isinstance(column, str)]
    return to_floats(table.drop_columns([column for column in index if column in table.column_names]))


def _records(values: Floats) -> Records:
    if values.shape[1] == 0:
        raise ValueError("the file has no columns")
    return Records(values[:, 1:], label=values[:, 0])


def _split(stream: bytes) -> Iterator[bytes]:
    """The files of a stream: each ends with the magic number, and the next one begins with it.

    The same eight bytes may occur within a file, so a part must also open as a file.
    """
    start = end = 0
    while start < len(stream):
        end = stream.find(_MAGIC + _MAGIC, max(end, start + len(_MAGIC)))
        end = len(stream) if end < 0 else end + len(_MAGIC)
        part = stream[start:end]
        if end == len(stream) or _opens(part):
            yield part
            start = end


def _opens(part: bytes) -> bool:
    try:
        parquet.ParquetFile(pa.BufferReader(part))
    except (pa.ArrowException, OSError):
        return False
    return True
