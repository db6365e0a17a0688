"""Any request: it is answered, with one of the status codes that AWS's server has."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stagemaker.algorithms.xgboost.content_types import ACCEPTED
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version

STATUSES = {200, 204, 400, 406, 415, 500}
FRAME = struct.pack("<II", 0xCED7230A, 4)
# A record by hand, {"values": {values: [1.0], keys: [2**64 - 1]}}: taken as it stands, it ended the server.
_TENSOR = b"\x0a\x04" + struct.pack("<f", 1) + b"\x12\x0a" + b"\xff" * 9 + b"\x01"
_ENTRY = b"\x0a\x06values" + b"\x12" + bytes([len(_TENSOR) + 2]) + b"\x12" + bytes([len(_TENSOR)]) + _TENSOR
_RECORD = b"\x0a" + bytes([len(_ENTRY)]) + _ENTRY
SPARSE_BEYOND = struct.pack("<II", 0xCED7230A, len(_RECORD)) + _RECORD + bytes(-len(_RECORD) % 4)
CELLS = st.sampled_from(
    ["1", "-2.5", "", " ", "nan", "inf", "1e39", "x", '"', "0:1", "1:2", "-1:3", "9" * 30 + ":1", "1:"]
)
TEXTS = st.lists(st.lists(CELLS, max_size=5).map(tuple), max_size=4).flatmap(
    lambda rows: st.sampled_from([",", " ", "\t", ";"]).map(lambda mark: "\n".join(mark.join(row) for row in rows))
)
BODIES = TEXTS.map(str.encode) | st.binary(max_size=40) | st.binary(max_size=12).map(FRAME.__add__)
TYPES = st.sampled_from([None, "", "text/csv; label_size=2", "application/json", "CSV", *ACCEPTED]) | st.text(
    max_size=9
)
ACCEPTS = st.sampled_from([None, "", "*/*", "text/csv", "application/json", "application/jsonlines", "text/html"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three columns and two classes."""
    features = np.random.default_rng(2).normal(size=(40, 3))
    matrix = xgboost.DMatrix(features, label=features[:, 0] > 0, nthread=1)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 2)
    made = tmp_path_factory.mktemp("model")
    (made / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    return made


@pytest.mark.parametrize(
    "environment", [{}, {"SAGEMAKER_BATCH": "true"}, {"SAGEMAKER_INFERENCE_OUTPUT": "labels,none"}]
)
def test_every_request_is_answered(folder: Path, environment: dict[str, Any]) -> None:
    """Whatever the body, its type and what is accepted: nothing is raised, and success has a body."""
    inference = Inference(Predictor(folder, environment), Version.of_tag("3.2-0"), environment)

    @settings(max_examples=150, derandomize=True)
    @example(b"1 2147483648:1\n", "text/libsvm", None)
    @example(b"1 18446744073709551616:1\n", "text/libsvm", None)
    @example(b"1,2,3\n" * 3, "text/csv", "application/jsonlines")
    @example(SPARSE_BEYOND, "application/x-recordio-protobuf", None)
    @given(BODIES, TYPES, ACCEPTS)
    def check(body: bytes, content_type: str | None, accept: str | None) -> None:
        answer = inference.invoke(body, content_type, accept)
        assert int(answer.status) in STATUSES
        assert (answer.status == 204) == (body == b"")
        assert bool(answer.body) or answer.status == 204

    check()
