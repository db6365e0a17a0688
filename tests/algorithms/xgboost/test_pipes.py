"""Pipe mode, which images before 3.0 have."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from stagemaker.algorithms.xgboost import record_schema
from stagemaker.algorithms.xgboost.distributed import Cluster
from stagemaker.contract.training import ResourceConfig

OptMl = Any  # the helper of conftest.py
Table = Any
BINARY = {"num_round": 3, "objective": "binary:logistic", "eval_metric": "logloss"}


def run_piped(
    opt_ml: OptMl, content_type: str, contents: Mapping[str, bytes], hyperparameters: Any = BINARY, **options: Any
) -> Any:
    """A job of image 1.7-1 whose channels come through FIFOs, each written once."""
    writers = []
    for name, content in contents.items():
        opt_ml.channel(name, {}, content_type, "Pipe")
        opt_ml.layout.channel(name).rmdir()
        fifo = opt_ml.layout.data / f"{name}_0"
        os.mkfifo(fifo)
        writers.append(threading.Thread(target=fifo.write_bytes, args=(content,), daemon=True))
        writers[-1].start()
    outcome = opt_ml.run(hyperparameters, "1.7-1", **options)
    for writer in writers:
        writer.join(60)
    return outcome


def recordio(matrix: Any) -> bytes:
    """Dense records, label first in each row."""
    out = b""
    for label, *features in matrix.tolist():
        message = record_schema.record_class()()
        message.features["values"].float32_tensor.values.extend(features)
        message.label["values"].float32_tensor.values.append(label)
        payload = message.SerializeToString()
        out += (0xCED7230A).to_bytes(4, "little") + len(payload).to_bytes(4, "little") + payload
        out += bytes(-len(payload) % 4)
    return out


def parquet_files(matrix: Any) -> bytes:
    """Two files, one after the other."""
    out = b""
    for part in (matrix[:50], matrix[50:]):
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table({f"c{number}": column for number, column in enumerate(part.T)}), sink)
        out += sink.getvalue().to_pybytes()
    return out


@pytest.mark.parametrize("form", ["text/csv", "application/x-parquet", "application/x-recordio-protobuf"])
def test_a_pipe_trains_what_a_file_trains(opt_ml: OptMl, new_job: Any, churn: Table, form: str) -> None:
    """The same scores and the same model, train and validation; nothing of the data is left behind."""

    def content(part: str) -> bytes:
        match form:
            case "text/csv":
                return bytes(churn.csv(part).encode())
            case "application/x-parquet":
                return parquet_files(getattr(churn, part))
            case _:
                return recordio(getattr(churn, part))

    piped = run_piped(opt_ml, form, {part: content(part) for part in ("train", "validation")})
    job = new_job().channel("train", churn.csv("train")).channel("validation", churn.csv("validation"))
    filed = job.run(BINARY, "1.7-1")
    assert piped.code == 0
    assert piped.lines == filed.lines
    assert opt_ml.booster.save_raw("json") == job.booster.save_raw("json")
    assert [path.name for path in opt_ml.layout.base.glob(".*")] == []


def test_weights_come_through_a_pipe(opt_ml: OptMl) -> None:
    """csv_weights counts there too."""
    rows = b"1,0.5,3,1\n0,2,5,2\n1,1,2,3\n0,1,7,4\n"
    assert run_piped(opt_ml, "text/csv", {"train": rows}, {**BINARY, "csv_weights": 1}).code == 0
    assert opt_ml.booster.num_features() == 2


@pytest.mark.parametrize(
    ("form", "content", "name"),
    [
        ("text/csv", b"1,2\n0,x\n", "csv"),
        ("application/x-parquet", b"PAR1 and no more", "parquet"),
        ("application/x-recordio-protobuf", b"no records here", "recordio-protobuf"),
    ],
)
def test_what_cannot_be_read(opt_ml: OptMl, form: str, content: bytes, name: str) -> None:
    """The same heading as for files."""
    reason = run_piped(opt_ml, form, {"train": content}).reason
    assert reason.startswith(f"ClientError: Failed to load {name} data with exception:\n")


@pytest.mark.parametrize(("empty", "word"), [("train", "training"), ("validation", "validation")])
def test_a_pipe_with_nothing_in_it(opt_ml: OptMl, empty: str, word: str) -> None:
    """The sentence that an empty folder gets."""
    contents = {"train": b"1,2\n0,3\n", "validation": b"1,2\n0,3\n", empty: b""}
    assert run_piped(opt_ml, "text/csv", contents).reason == (
        f"ClientError: No data in {word} channel path /opt/ml/input/data/{empty}"
    )


def test_all_hosts_without_data(opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose pipe is empty drops out instead; with none left there is no data."""

    def asked(cluster: Cluster, has_data: bool, _: object) -> Cluster:
        return Cluster(cluster.current, cluster.hosts if has_data else ())

    monkeypatch.setattr("stagemaker.algorithms.xgboost.boosting.hosts_with_data", asked)
    hosts = ResourceConfig("algo-1", ("algo-1", "algo-2"), "ml.m5.large")
    assert run_piped(opt_ml, "text/csv", {"train": b""}, resources=hosts).reason == (
        "ClientError: No data in training channel path on any of the hosts"
    )
