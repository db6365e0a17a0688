"""`serve` in script mode: the user's module, and what the image does for handlers that it lacks."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import sys
import textwrap
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xgboost

from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.conventions import SageMakerContainers
from stagemaker.algorithms.toolkit.encoding import UnsupportedFormatError
from stagemaker.algorithms.toolkit.handlers import Handlers
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.serving import HandlerService
from stagemaker.algorithms.xgboost import encoder, server
from stagemaker.algorithms.xgboost.recordio import write_recordio
from stagemaker.contract.layout import Layout

FEATURES = np.random.default_rng(11).normal(size=(60, 3)).round(2).astype(np.float32)


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    """A model of three columns."""
    matrix = xgboost.DMatrix(FEATURES, label=FEATURES[:, 0] > 0, nthread=1)
    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 5)


def handlers(booster: xgboost.Booster, **functions: Any) -> HandlerService:
    """The image's handlers around a module that has model_fn and these functions."""
    module = ModuleType("users")
    module.__dict__.update({"model_fn": lambda _: booster, **functions})
    return HandlerService(Handlers(module, encoder.DEFAULTS), SageMakerContainers(), "/opt/ml/model", {})


def send(service: Any, body: bytes, content_type: str, accept: str | None = None) -> Answer:
    """One request."""
    answer: Answer = asyncio.run(service.invoke(Call(body, content_type, accept)))
    return answer


def csv_of(rows: Any) -> bytes:
    """Records as CSV."""
    return "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()


def recordio_of(rows: Any) -> bytes:
    """Dense records: `write_recordio` writes labels, whose field number is 2 where features have 1."""
    out = write_recordio({"values": row} for row in rows.tolist())
    frames = []
    while out:
        (length,) = struct.unpack_from("<I", out, 4)
        frames.append(out[:8] + b"\x0a" + out[9 : 8 + length + -length % 4])
        out = out[8 + length + -length % 4 :]
    return b"".join(frames)


BODIES = {
    "text/csv": csv_of(FEATURES),
    "text/csv; charset=utf-8": csv_of(FEATURES),
    "text/libsvm": "".join(f"0 0:{a} 1:{b} 2:{c}\n" for a, b, c in FEATURES.tolist()).encode(),
    "text/x-libsvm": "".join(f"1 0:{a} 1:{b} 2:{c}\n" for a, b, c in FEATURES.tolist()).encode(),
    "application/x-recordio-protobuf": recordio_of(FEATURES),
}


@pytest.mark.parametrize("content_type", BODIES)
def test_model_fn_alone_is_enough(booster: xgboost.Booster, content_type: str) -> None:
    """The image reads CSV, libsvm and RecordIO-protobuf and answers JSON, CSV or NPY; JSON when nothing is asked."""
    service, body = handlers(booster), BODIES[content_type]
    expected = booster.predict(xgboost.DMatrix(FEATURES, nthread=1)).tolist()
    answer = send(service, body, content_type)
    assert (answer.status, answer.content_type) == (HTTPStatus.OK, "application/json")
    assert json.loads(answer.body) == expected
    assert [float(x) for x in send(service, body, content_type, "text/csv").body.split()] == pytest.approx(expected)
    assert np.load(io.BytesIO(send(service, body, content_type, "application/x-npy").body)).tolist() == expected


@pytest.mark.parametrize(
    ("body", "content_type", "accept"),
    [
        (b"[1]", "application/json", None),
        (b"1,x,3", "text/csv", None),
        (b"1,2,3,4,5", "text/csv", None),
        (b"1,2,3", "text/csv", "application/jsonlines"),
    ],
)
def test_what_the_image_cannot_do_is_a_500(
    booster: xgboost.Booster, body: bytes, content_type: str, accept: str | None
) -> None:
    """A type that is not decoded or encoded, text, too many columns: the reason stands in the log alone."""
    answer = send(handlers(booster), body, content_type, accept)
    assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"Internal Server Error" in answer.body


def test_transform_fn_does_it_all(booster: xgboost.Booster) -> None:
    """In place of the other three."""
    service = handlers(booster, transform_fn=lambda model, body, content_type, accept: (body.upper(), accept))
    assert send(service, b"abc", "text/csv", "text/plain").body == b"ABC"


def test_a_module_in_the_model(tmp_path: Path, booster: xgboost.Booster, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` imports it with AWS's packages at hand; input_fn and output_fn stand around the image's predict_fn."""
    (tmp_path / "model" / "code").mkdir(parents=True)
    booster.save_model(tmp_path / "model" / "own.ubj")
    (tmp_path / "model" / "code" / "xgboost_handlers.py").write_text(
        textwrap.dedent("""
            import json
            import os
            import xgboost as xgb
            from sagemaker_containers.beta.framework import content_types
            from sagemaker_xgboost_container import encoder as xgb_encoders

            def model_fn(model_dir):
                booster = xgb.Booster()
                booster.load_model(os.path.join(model_dir, "own.ubj"))
                return booster

            def input_fn(body, content_type):
                if content_type == content_types.JSON:
                    body, content_type = json.loads(body)["rows"], "text/csv"
                return xgb_encoders.decode(body, content_type)

            def output_fn(prediction, accept):
                return f"{len(prediction)} rows", "text/plain"
        """)
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SM_MODEL_DIR", "")
    answers = []

    def run(service: Any, *_: object) -> None:
        body = json.dumps({"rows": csv_of(FEATURES).decode()}).encode()
        answers.append(send(service, body, "application/json").body)
        answers.append(send(service, csv_of(FEATURES[:2]), "text/csv").body)

    monkeypatch.setattr(http_server, "run", run)
    environment = {
        "SAGEMAKER_PROGRAM": "xgboost_handlers.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "STAGEMAKER_CPUS": "1",
    }
    try:
        assert server.serve(Layout(tmp_path), environment) == 0
    finally:
        sys.modules.pop("xgboost_handlers", None)
    assert answers == [b"60 rows", b"2 rows"]


def test_matrices_by_aws_s_names() -> None:
    """csv_to_dmatrix, libsvm_to_dmatrix, recordio_protobuf_to_dmatrix, decode and json_to_jsonlines."""
    expected = [[0.5, np.nan], [1.0, 2.0]]
    for matrix in (
        encoder.csv_to_dmatrix("0.5,\n1,2\n"),
        encoder.csv_to_dmatrix(b"0.5,\n1,2", dtype=np.float64),
        encoder.libsvm_to_dmatrix(b"1 0:0.5\n0 0:1 1:2\n"),
        encoder.decode("1 0:0.5\n0 0:1 1:2\n", "text/libsvm; charset=utf-8"),
    ):
        data = matrix.get_data()
        dense = np.full(data.shape, np.nan)
        dense[data.nonzero()] = data.data
        np.testing.assert_array_equal(dense, expected)
    assert encoder.recordio_protobuf_to_dmatrix(recordio_of(FEATURES)).num_row() == 60
    assert encoder.json_to_jsonlines('{"predictions": [{"score": 1}, {"score": 2}]}') == b'{"score": 1}\n{"score": 2}\n'
    with pytest.raises(ValueError, match="not compatible"):
        encoder.json_to_jsonlines({"a": [], "b": []})
    with pytest.raises(UnsupportedFormatError, match="application/json"):
        encoder.decode(b"{}", "application/json")
