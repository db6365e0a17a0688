"""RecordIO-protobuf: read and written when protobuf is installed, refused by name otherwise."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import xgboost

from stagemaker.algorithms.xgboost import record_schema
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.recordio import parse_recordio, write_recordio

OptMl = Any  # the helper of conftest.py
RECORDIO = "application/x-recordio-protobuf"

# One dense record byte by byte, features 0.5 and 2, label 1: entries of the two maps, key and Value.
FEATURES = b"\x0a\x06values" + b"\x12\x0c\x12\x0a\x0a\x08" + struct.pack("<2f", 0.5, 2)
LABEL = b"\x0a\x06values" + b"\x12\x08\x12\x06\x0a\x04" + struct.pack("<f", 1)


def framed(payload: bytes) -> bytes:
    """A payload with its magic number, length and padding."""
    return struct.pack("<II", 0xCED7230A, len(payload)) + payload + bytes(-len(payload) % 4)


def record(**tensors: Any) -> bytes:
    """A framed record; features as (values, keys, shape), label as values."""
    message = record_schema.record_class()()
    values, keys, shape = tensors["features"]
    kind = tensors.get("kind", "float32_tensor")
    tensor = getattr(message.features["values"], kind)
    tensor.values.extend(values)
    tensor.keys.extend(keys)
    tensor.shape.extend(shape)
    if "label" in tensors:
        getattr(message.label["values"], kind).values.extend(tensors["label"])
    return framed(message.SerializeToString())


def test_without_protobuf_the_package_is_named(opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training a ClientError, with the way out."""
    record_schema.record_class.cache_clear()
    for module in ("descriptor_pb2", "descriptor_pool", "message_factory"):
        monkeypatch.setitem(sys.modules, f"google.protobuf.{module}", None)
    assert opt_ml.channel("train", framed(b""), RECORDIO).run({"num_round": 1}).reason == (
        "ClientError: RecordIO-protobuf cannot be read: the Python package 'protobuf' is not installed. "
        "Install it or use text/csv."
    )
    with pytest.raises(UserError, match="'protobuf' is not installed"):
        write_recordio([{"score": [1.0]}])


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x0a\x23", "truncated record at byte 0"),
        (b"\x00" * 8, "no RecordIO record at byte 0"),
        (struct.pack("<II", 0xCED7230A, 9) + b"1234", "truncated record at byte 0"),
        (b"", "no records found"),
    ],
)
def test_framing(data: bytes, fault: str) -> None:
    """Every record needs its magic number and all of its bytes."""
    with pytest.raises(ValueError, match=fault):
        parse_recordio(data)


@pytest.mark.skipif(find_spec("google") is None, reason="protobuf is not installed")
class TestWithProtobuf:
    """What needs the library."""

    def test_the_public_wire_form(self) -> None:
        """Bytes laid out by hand from the public schema."""
        message = b"\x0a" + bytes([len(FEATURES)]) + FEATURES + b"\x12" + bytes([len(LABEL)]) + LABEL
        records = parse_recordio(framed(message) * 2)
        assert records.features.tolist() == [[0.5, 2], [0.5, 2]]
        assert records.label is not None
        assert records.label.tolist() == [1, 1]

    @pytest.mark.parametrize("kind", ["float32_tensor", "float64_tensor", "int32_tensor"])
    def test_dense(self, kind: str) -> None:
        """All kinds of numbers, with and without a shape."""
        data = record(features=([1, 2], [], []), label=[1], kind=kind)
        data += record(features=([3, 4], [], [2]), label=[0], kind=kind)
        records = parse_recordio(data)
        assert records.features.tolist() == [[1, 2], [3, 4]]
        assert records.features.dtype == np.float32

    def test_sparse(self) -> None:
        """Keys are columns; a row of zeros has only its shape."""
        data = record(features=([5.0], [3], [6]), label=[1]) + record(features=([], [], [6]), label=[0])
        records = parse_recordio(data)
        assert records.features.shape == (2, 6)
        assert records.features.toarray().tolist() == [[0, 0, 0, 5, 0, 0], [0] * 6]

    @pytest.mark.parametrize(
        ("data", "fault"),
        [
            (lambda: framed(b"\xff\xff"), "a record is not a Record message"),
            (lambda: framed(b""), r"a record has no features\['values'\]"),
            (lambda: record(features=([1.0], [1, 2], [3])), "a record has 2 keys for 1 values"),
            (
                lambda: record(features=([1.0], [], []), label=[1]) + record(features=([1.0], [], [])),
                "1 labels for 2 records",
            ),
            (lambda: record(features=([1.0], [], []), label=[1, 0]), "a record has 2 values in its label"),
            (lambda: record(features=([1.0], [], []), label=[]) * 2, "a record has 0 values in its label"),
            # Beyond the library's 32 bits: taken as they stand, these keys and widths end the process.
            (lambda: record(features=([1.0], [2**31], [])), "a record has 2147483649 columns, more than 2147483648"),
            (lambda: record(features=([1.0], [2**64 - 1], [])), "a record has 18446744073709551616 columns"),
            (lambda: record(features=([1.0], [0], [2**64 - 1])), "a record has 18446744073709551615 columns"),
        ],
    )
    def test_bad_records(self, data: Callable[[], bytes], fault: str) -> None:
        """Refused by what is wrong with them."""
        with pytest.raises(ValueError, match=fault):
            parse_recordio(data())

    def test_training_equals_the_library(self, opt_ml: OptMl, churn: Any) -> None:
        """The churn data in RecordIO trains the model of the library on the same numbers."""
        data = b"".join(record(features=(row[1:], [], []), label=row[:1]) for row in churn.train.tolist())
        assert opt_ml.channel("train", data, RECORDIO).run({"num_round": 3, "objective": "binary:logistic"}).code == 0
        train, validation = churn.matrices()
        booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, train, 3)
        assert np.allclose(opt_ml.booster.predict(validation), booster.predict(validation), rtol=0, atol=1e-6)

    def test_without_labels(self, opt_ml: OptMl) -> None:
        """AWS's sentence."""
        data = record(features=([1.0], [], []))
        assert (
            opt_ml.channel("train", data, RECORDIO)
            .run({"num_round": 1})
            .reason.startswith("ClientError: Got input data without labels. Please check the input data set.")
        )

    def test_what_is_written_can_be_read(self) -> None:
        """Answers carry their values under the label."""
        data = write_recordio([{"score": [0.25]}, {"score": [0.5, 0.75]}])
        first = record_schema.record_class()()
        length = struct.unpack_from("<II", data)[1]
        first.ParseFromString(data[8 : 8 + length])
        assert list(first.label["score"].float32_tensor.values) == [0.25]
        assert len(data) % 4 == 0
