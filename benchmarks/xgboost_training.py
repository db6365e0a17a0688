"""The built-in XGBoost program on 1 M x 30 rows, beside a plain script that reads the same file.

Both start a process, read, train the same model on as many threads, score it after each round and write it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Comparison, compare, seconds
from stagemaker.contract.layout import BASE_DIR_VARIABLE, Layout
from stagemaker.contract.training import ChannelConfig, ResourceConfig, write_training_config

ROWS, COLUMNS, ROUNDS = 1_000_000, 30, 20
THREADS = os.cpu_count() or 1

# What a user would write: pandas reads both formats. Its reader of CSV was the quickest of those tried beside
# numpy's and the library's own, which is deprecated and which AWS's container uses.
_PLAIN = """
import sys
import pandas
import xgboost

file, model = sys.argv[1:3]
table = pandas.read_csv(file, header=None) if file.endswith(".csv") else pandas.read_parquet(file)
train = xgboost.DMatrix(table.iloc[:, 1:], label=table.iloc[:, 0])
booster = xgboost.train(
    {"objective": "binary:logistic", "nthread": %d}, train, %d, evals=[(train, "train")], verbose_eval=True
)
booster.save_model(model)
""" % (THREADS, ROUNDS)  # noqa: UP031 - a format string would double the braces


def write_files(folder: Path) -> None:
    """`table.csv` and `table.parquet`: the same numbers, label first."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv, parquet

    generator = np.random.default_rng(7)
    features = generator.normal(size=(ROWS, COLUMNS)).astype(np.float32).round(4)
    label = features[:, 0] + features[:, 1] * features[:, 2] + generator.normal(size=ROWS) > 0
    table = pa.table({"label": label.astype(np.int64), **{f"x{i}": features[:, i] for i in range(COLUMNS)}})
    csv.write_csv(table, folder / "table.csv", csv.WriteOptions(include_header=False))
    parquet.write_table(table, folder / "table.parquet")


def built_in(folder: Path, file: Path, content_type: str) -> float:
    """Seconds of the program's process on a prepared `/opt/ml`."""
    layout = Layout(folder / "ml")
    layout.make()
    channel = layout.channel("train")
    channel.mkdir(exist_ok=True)
    for old in channel.iterdir():
        old.unlink()
    (channel / file.name).hardlink_to(file)
    hyperparameters = {"objective": "binary:logistic", "num_round": str(ROUNDS), "nthread": str(THREADS)}
    hosts = ResourceConfig("algo-1", ("algo-1",), "ml.m5.large")
    write_training_config(layout, hyperparameters, [ChannelConfig("train", content_type)], hosts)
    environment = {**os.environ, BASE_DIR_VARIABLE: str(layout.base)}
    command = [sys.executable, "-m", "stagemaker.algorithms.xgboost", "train"]
    return seconds(lambda: subprocess.run(command, env=environment, check=True, capture_output=True))


def plain(folder: Path, file: Path) -> float:
    """Seconds of the script's process."""
    command = [sys.executable, "-c", _PLAIN, str(file), str(folder / "model.ubj")]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def run() -> Iterator[Comparison]:
    """A comparison for each format."""
    with tempfile.TemporaryDirectory(prefix="stagemaker-bench-") as name:
        folder = Path(name)
        write_files(folder)
        for kind, content_type in (("csv", "text/csv"), ("parquet", "application/x-parquet")):
            file = folder / f"table.{kind}"
            yield compare(
                f"built-in XGBoost on 1 M x {COLUMNS} rows of {kind.upper() if kind == 'csv' else 'Parquet'}, "
                f"{ROUNDS} rounds, beside pandas and xgboost",
                lambda file=file, content_type=content_type: built_in(folder, file, content_type),  # type: ignore[misc]  # mypy has no type for lambdas with defaults
                lambda file=file: plain(folder, file),  # type: ignore[misc]  # the same
                runs=3,
            )


if __name__ == "__main__":
    for comparison in run():
        print(comparison.row(), flush=True)
