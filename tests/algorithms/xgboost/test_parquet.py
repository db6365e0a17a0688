"""Parquet files, whole and from a pipe."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from pyarrow import parquet

from stagemaker.algorithms.xgboost.parquet_records import read_parquet, read_parquet_stream
from stagemaker.algorithms.xgboost.records import Records

OptMl = Any  # the helper of conftest.py
PARQUET = "application/x-parquet"
BINARY = {"num_round": 3, "objective": "binary:logistic", "eval_metric": "logloss"}


def written(columns: Any, **options: Any) -> bytes:
    """A file of these columns, a dict or an Arrow table."""
    buffer = io.BytesIO()
    parquet.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), buffer, **options)
    return buffer.getvalue()


def columns_of(matrix: Any) -> dict[str, Any]:
    """A matrix as named columns, label first."""
    return {f"c{number}": column for number, column in enumerate(matrix.T)}


def values_of(tmp_path: Path, *files: bytes) -> Any:
    """Label and features of files read together."""
    paths = []
    for number, content in enumerate(files):
        paths.append(tmp_path / f"{number}.parquet")
        paths[-1].write_bytes(content)
    return together(read_parquet(paths))


def together(records: Records) -> Any:
    """Label and features as one array."""
    assert records.label is not None
    return np.column_stack([records.label, records.features])


@pytest.mark.parametrize("content_type", ["parquet", PARQUET])
@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_training_equals_that_on_the_same_numbers(opt_ml: OptMl, churn: Any, content_type: str, mode: str) -> None:
    """In several row groups; metrics to the last digit of the log, predictions to 1e-6."""
    for name in ("train", "validation"):
        table = written(columns_of(getattr(churn, name)), row_group_size=100)
        opt_ml.channel(name, table, content_type, mode)
    outcome = opt_ml.run(BINARY)
    train, validation = churn.matrices()
    history: dict[str, Any] = {}
    booster = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1},
        train,
        3,
        evals=[(train, "train"), (validation, "validation")],
        evals_result=history,
        verbose_eval=False,
    )
    for data in ("train", "validation"):
        assert outcome.scores(f"{data}-logloss") == [float(f"{x:.5f}") for x in history[data]["logloss"]]
    assert np.allclose(opt_ml.booster.predict(validation), booster.predict(validation), rtol=0, atol=1e-6)


def test_files_of_folders_are_one_table(opt_ml: OptMl, churn: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As Spark writes them: parts in folders, and a `_SUCCESS` that is no data."""
    caplog.set_level("INFO")
    half = len(churn.train) // 2
    parts = {
        "day=1/part-0.parquet": written(columns_of(churn.train[:half])),
        "day=2/part-1.snappy.parquet": written(columns_of(churn.train[half:]), compression="snappy"),
        "_SUCCESS": b"",
    }
    assert opt_ml.channel("train", parts, PARQUET).run(BINARY).code == 0
    rows, columns = churn.train.shape
    assert f"Train matrix has {rows} rows and {columns - 1} columns" in caplog.text


def test_null_is_missing_and_all_kinds_of_numbers_are_read(tmp_path: Path) -> None:
    """Whole, floating, boolean and decimal numbers, and text that spells one."""
    columns = {
        "label": pa.array([1, 0, 1], pa.int8()),
        "whole": pa.array([1, None, 3], pa.int64()),
        "unsigned": pa.array([1, 2, 3], pa.uint16()),
        "half": pa.array([0.5, None, 2.0], pa.float16()),
        "double": pa.array([0.1, float("nan"), 1e-50], pa.float64()),
        "flag": pa.array([True, False, None], pa.bool_()),
        "price": pa.array([Decimal("1.25"), Decimal("2.5"), Decimal("3.75")], pa.decimal128(9, 2)),
        "text": pa.array(["1", "2.5", "-3e2"]),
        "category": pa.array([7, 8, 7]).dictionary_encode(),
    }
    nan = np.nan
    expected = [
        [1, 1, 1, 0.5, np.float32(0.1), 1, 1.25, 1, 7],
        [0, nan, 2, nan, nan, 0, 2.5, 2.5, 8],
        [1, 3, 3, 2, 0, nan, 3.75, -300, 7],
    ]
    np.testing.assert_array_equal(values_of(tmp_path, written(columns)), np.array(expected, dtype=np.float32))


def test_the_index_of_a_pandas_table_is_no_column(tmp_path: Path) -> None:
    """Named or not; the container reads the file as pandas wrote it."""
    frame = pd.DataFrame({"label": [1.0, 0.0], "a": [2.0, 3.0]})
    expected = [[1, 2], [0, 3]]
    for indexed in (frame, frame.set_axis([5, 9]), frame.set_axis(pd.Index(["x", "y"], name="customer"))):
        file = io.BytesIO()
        indexed.to_parquet(file)
        assert values_of(tmp_path, file.getvalue()).tolist() == expected


def test_columns_of_later_files_are_found_by_name(tmp_path: Path) -> None:
    """In another order, of another type, and missing where they are missing."""
    first = written({"y": [1.0], "a": [2.0], "b": [3.0]})
    second = written({"b": pa.array([4], pa.int32()), "y": pa.array([0], pa.int32()), "extra": [9.0]})
    np.testing.assert_array_equal(values_of(tmp_path, first, second), [[1, 2, 3], [0, np.nan, 4]])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"label,a\n1,2\n", "Is this a 'parquet' file?"),
        (b"PAR1", "Parquet file size is 4 bytes"),
        (written({"y": [0, 1], "a": ["x", "y"]}), "could not convert string to float: 'x'"),
        (written({"y": [0], "a": pa.array([0], pa.timestamp("ns"))}), "a column holds timestamp[ns], not numbers"),
        (written({"y": [0], "a": [[1.0, 2.0]]}), ""),
        (written({"y": [None, 1.0], "a": [1.0, 2.0]}), "Label contains NaN, infinity or a value too large."),
        (written({"y": [0.0, 1.0], "a": [1e300, 2.0]}), "Input data contains `inf` or a value too large"),
    ],
    ids=["csv", "cut", "text", "time", "list", "label", "infinity"],
)
def test_what_cannot_be_read(opt_ml: OptMl, content: bytes, fault: str) -> None:
    """AWS's heading, and what the reader says; a file is named without the path that only this machine knows."""
    reason = opt_ml.channel("train", content, PARQUET).run(BINARY).reason
    assert str(opt_ml.layout.base) not in reason
    assert reason.startswith("ClientError: Failed to load parquet data with exception:\n")
    assert fault in reason
    assert "Stack trace" not in reason


def test_a_table_without_rows(opt_ml: OptMl) -> None:
    """AWS's sentence for data without labels."""
    content = written({"y": pa.array([], pa.float32()), "a": pa.array([], pa.float32())})
    reason = opt_ml.channel("train", content, PARQUET).run(BINARY).reason
    assert reason.startswith("ClientError: Got input data without labels. Please check the input data set.")


def test_a_stream_is_cut_where_a_file_ends() -> None:
    """Also when the eight bytes at which two files meet occur in one of them."""
    tricky = written({"y": [1.0, 0.0], "a": pa.array([b"PAR1PAR1", b"2"])}, compression="none", use_dictionary=False)
    assert b"PAR1PAR1" in tricky
    plain = [written({"y": [1.0], "a": [2.0]}), written({"b": [0.0], "c": [3.0]})]
    assert together(read_parquet_stream(b"".join(plain))).tolist() == [[1, 2], [0, 3]]
    with pytest.raises(ValueError, match="PAR1PAR1"):
        read_parquet_stream(tricky + plain[0])
    with pytest.raises(ValueError, match="Parquet"):
        read_parquet_stream(plain[0][:-1])
