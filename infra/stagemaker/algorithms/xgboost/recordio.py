"""RecordIO-protobuf: `aialgs.data.Record` messages, each framed with a magic number and its length.

The schema is public (package aialgs.data, proto2). Its descriptors are built at run time, so that no
generated module ties us to one release of protobuf.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.records import Records, concatenate

_MAGIC = 0xCED7230A
_LENGTH_MASK = (1 << 29) - 1  # the top three bits are a continuation flag, always 0 in SageMaker's data
_TENSORS = {"float32_tensor": np.float32, "float64_tensor": np.float64, "int32_tensor": np.int32}


def read_recordio(files: Iterable[Path]) -> Records:
    """The records of all files, in order. Raises UserError without protobuf, ValueError for bad data."""
    return concatenate([parse_recordio(file.read_bytes()) for file in files])


def parse_recordio(data: bytes) -> Records:
    """The records in `data`; `label` is None when no record has one.

    The features are sparse when any record has keys, else dense. Raises ValueError for bad framing
    or messages.
    """
    rows, labels = [], []
    for payload in _frames(data):
        record = _record_class()()
        try:
            record.ParseFromString(payload)
        except Exception as error:  # protobuf's DecodeError; its module is only there with protobuf
            raise ValueError(f"a record is not a Record message: {error}") from error
        if "values" not in record.features:
            raise ValueError("a record has no features['values']")
        rows.append(_tensor(record.features["values"]))
        if "values" in record.label:
            labels.append(_tensor(record.label["values"])[0])
    if not rows:
        raise ValueError("no records found")
    label = np.concatenate(labels).astype(np.float32) if labels else None
    if label is not None and len(label) != len(rows):
        raise ValueError(f"{len(label)} labels for {len(rows)} records")
    if all(keys is None for _, keys, _ in rows):
        return Records(np.vstack([values for values, _, _ in rows]).astype(np.float32), label=label)
    return Records(_sparse(rows), label=label)


def write_recordio(records: Iterable[Mapping[str, Sequence[float]]]) -> bytes:
    """One framed record for each mapping: its values as float32 tensors under `label`."""
    out = bytearray()
    for values in records:
        record = _record_class()()
        for key, numbers in values.items():
            record.label[key].float32_tensor.values.extend(numbers)
        payload = record.SerializeToString()
        out += struct.pack("<II", _MAGIC, len(payload)) + payload + bytes(-len(payload) % 4)
    return bytes(out)


def _frames(data: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise ValueError(f"truncated record at byte {offset}")
        magic, length = struct.unpack_from("<II", data, offset)
        if magic != _MAGIC:
            raise ValueError(f"no RecordIO record at byte {offset}")
        length &= _LENGTH_MASK
        if offset + 8 + length > len(data):
            raise ValueError(f"truncated record at byte {offset}")
        yield data[offset + 8 : offset + 8 + length]
        offset += 8 + length + -length % 4


def _tensor(value: Any) -> tuple[Any, Any, int | None]:
    """Values, keys (None when dense) and the width, if stated, of a Value message."""
    kind = value.WhichOneof("value")
    if kind not in _TENSORS:
        raise ValueError(f"a tensor is of kind {kind}, which is not supported")
    tensor = getattr(value, kind)
    values = np.array(tensor.values, dtype=_TENSORS[kind])
    sparse_row = len(tensor.keys) > 0 or len(tensor.shape) > 0
    width = int(tensor.shape[-1]) if len(tensor.shape) else None
    return values, (np.array(tensor.keys, dtype=np.int64) if sparse_row else None), width


def _sparse(rows: Sequence[tuple[Any, Any, int | None]]) -> Any:
    lines = []
    for values, keys, width in rows:
        columns = np.arange(len(values)) if keys is None else keys
        if len(columns) != len(values):
            raise ValueError(f"a record has {len(columns)} keys for {len(values)} values")
        needed = max(width or 0, int(columns.max()) + 1 if len(columns) else 0)
        lines.append((values, columns, needed))
    indptr = np.concatenate([[0], np.cumsum([len(values) for values, _, _ in lines])])
    values = np.concatenate([values for values, _, _ in lines]).astype(np.float32)
    columns = np.concatenate([columns for _, columns, _ in lines])
    return sparse.csr_matrix((values, columns, indptr), shape=(len(lines), max(needed for _, _, needed in lines)))


@cache
def _record_class() -> Any:
    """The message class `aialgs.data.Record`. Raises UserError when protobuf is not installed."""
    try:
        descriptor_pb2 = importlib.import_module("google.protobuf.descriptor_pb2")
        descriptor_pool = importlib.import_module("google.protobuf.descriptor_pool")
        message_factory = importlib.import_module("google.protobuf.message_factory")
    except ImportError:
        raise UserError(
            "RecordIO-protobuf cannot be read: the Python package 'protobuf' is not installed. "
            "Install it or use text/csv."
        ) from None
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="aialgs/data/record.proto", package="aialgs.data", syntax="proto2")
    for name, value_type in (
        ("Float32Tensor", field.TYPE_FLOAT),
        ("Float64Tensor", field.TYPE_DOUBLE),
        ("Int32Tensor", field.TYPE_INT32),
    ):
        tensor = file.message_type.add(name=name)
        for number, (part, part_type) in enumerate(
            (("values", value_type), ("keys", field.TYPE_UINT64), ("shape", field.TYPE_UINT64)), start=1
        ):
            tensor.field.add(
                name=part, number=number, label=field.LABEL_REPEATED, type=part_type
            ).options.packed = True
    content = file.message_type.add(name="Bytes")
    content.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=field.TYPE_BYTES)
    content.field.add(name="content_type", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="value")
    for part, number, type_name in (
        ("float32_tensor", 2, "Float32Tensor"),
        ("float64_tensor", 3, "Float64Tensor"),
        ("int32_tensor", 7, "Int32Tensor"),
        ("bytes", 9, "Bytes"),
    ):
        value.field.add(
            name=part,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".aialgs.data.{type_name}",
            oneof_index=0,
        )
    record = file.message_type.add(name="Record")
    for part, number in (("features", 1), ("label", 2)):
        entry = record.nested_type.add(name=f"{part.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
        entry.field.add(
            name="value",
            number=2,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=".aialgs.data.Value",
        )
        record.field.add(
            name=part,
            number=number,
            label=field.LABEL_REPEATED,
            type=field.TYPE_MESSAGE,
            type_name=f".aialgs.data.Record.{part.capitalize()}Entry",
        )
    for part, number in (("uid", 3), ("metadata", 4), ("configuration", 5)):
        record.field.add(name=part, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))
