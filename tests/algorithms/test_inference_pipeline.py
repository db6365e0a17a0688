"""A scikit-learn container and the XGBoost one in a row, on real customers: what an inference pipeline does."""

from __future__ import annotations

import importlib
import io
import pickle
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from stagemaker.algorithms.sklearn.serving import default_input_fn, default_output_fn, default_predict_fn
from stagemaker.algorithms.toolkit import shims
from stagemaker.algorithms.toolkit.conventions import SageMakerContainers
from stagemaker.algorithms.toolkit.handlers import Defaults, Handlers
from stagemaker.algorithms.toolkit.messages import Call
from stagemaker.algorithms.toolkit.user_model import UserModel
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version

CUSTOMERS = Path(__file__).parents[2] / "datasets" / "churn" / "customers.csv"
FEATURIZER = """
import io, os, pickle
import pandas
from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker

def model_fn(model_dir):
    with open(os.path.join(model_dir, "columns.pickle"), "rb") as file:
        return pickle.load(file)

def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError(f"{content_type} is not supported")
    return pandas.read_csv(io.StringIO(body), header=None)

def predict_fn(data, model):
    return model.transform(data)

def output_fn(prediction, accept):
    return worker.Response(encoders.encode(prediction, accept), mimetype=accept)
"""


@pytest.fixture
def featurizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[UserModel, Any]:
    """The first container, and the columns that it serves."""
    compose, pre = (importlib.import_module(f"sklearn.{name}") for name in ("compose", "preprocessing"))
    table = rows()
    words = [
        number
        for number, kind in enumerate(table.dtypes)
        if not np.issubdtype(np.asarray(table[number]).dtype, np.number)
    ]
    numbers = [number for number in range(len(table.columns)) if number not in words]
    parts = [("numbers", pre.StandardScaler(), numbers), ("words", pre.OneHotEncoder(sparse_output=False), words)]
    columns = compose.ColumnTransformer(parts).fit(table)
    (tmp_path / "columns.pickle").write_bytes(pickle.dumps(columns))
    monkeypatch.syspath_prepend(shims.FOLDER)
    module = ModuleType("featurizer")
    exec(textwrap.dedent(FEATURIZER), module.__dict__)  # noqa: S102 - the user's script, as if imported
    defaults = Defaults(default_input_fn, default_predict_fn, default_output_fn)
    return UserModel(Handlers(module, defaults), SageMakerContainers(), str(tmp_path), {}), columns


def rows() -> pd.DataFrame:
    """Customers without header and label."""
    table = pd.read_csv(CUSTOMERS, nrows=400)
    return pd.DataFrame(table.drop(columns="churn").to_numpy(dtype=object)).infer_objects()


def test_raw_rows_to_answers(featurizer: tuple[UserModel, Any], tmp_path: Path) -> None:
    """The answer of the two libraries called in one process, to the last digit that single precision has."""
    first, columns = featurizer
    table = rows()
    features = columns.transform(table).astype(np.float32)
    label = (pd.read_csv(CUSTOMERS, nrows=400)["churn"] == "yes").to_numpy()
    matrix = xgboost.DMatrix(features, label=label, nthread=1)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 10)
    (tmp_path / "xgboost").mkdir()
    (tmp_path / "xgboost" / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    second = Inference(Predictor(tmp_path / "xgboost", {}), Version.of_tag("3.2-0"), {})

    text = io.StringIO()
    table.to_csv(text, header=False, index=False)
    # The platform hands the content type of each answer on to the next container.
    middle = first.answer(Call(text.getvalue().encode(), "text/csv", "text/csv"))
    assert (middle.status, middle.content_type) == (200, "text/csv; charset=utf-8")
    answer = second.invoke(middle.body, middle.content_type, None)
    assert answer.status == 200
    served = np.array(answer.body.decode().split(), dtype=np.float64)
    assert np.abs(served - booster.predict(matrix)).max() <= 1e-6
    assert np.unique(served).size > 50

    one = first.answer(Call(text.getvalue().splitlines()[0].encode(), "text/csv", "text/csv"))
    alone = second.invoke(one.body, one.content_type, None)
    assert float(alone.body) == pytest.approx(served[0], abs=1e-6)


def test_a_row_that_does_not_fit(featurizer: tuple[UserModel, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The first container answers 500 and logs why, and nothing reaches the second."""
    first, _ = featurizer
    assert first.answer(Call(b"1,2,3", "text/csv", "text/csv")).status == 500
    assert "X has 3 features" in caplog.text
