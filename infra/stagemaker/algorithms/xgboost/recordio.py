"""RecordIO-protobuf: `aialgs.data.Record` messages, each framed with a magic number and its length.

SageMaker's algorithms read records whose features and label lie under the key `values`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from stagemaker.algorithms.xgboost.record_schema import record_class
from stagemaker.algorithms.xgboost.records import MAX_COLUMNS, Records, concatenate

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
        record = record_class()()
        try:
            record.ParseFromString(payload)
        except Exception as error:  # protobuf's DecodeError; its module is only there with protobuf
            raise ValueError(f"a record is not a Record message: {error}") from error
        if "values" not in record.features:
            raise ValueError("a record has no features['values']")
        rows.append(_tensor(record.features["values"]))
        if "values" in record.label:
            labels.append(_label(record.label["values"]))
    if not rows:
        raise ValueError("no records found")
    label = np.array(labels, dtype=np.float32) if labels else None
    if label is not None and len(label) != len(rows):
        raise ValueError(f"{len(label)} labels for {len(rows)} records")
    if all(keys is None for _, keys, _ in rows):
        return Records(np.vstack([values for values, _, _ in rows]).astype(np.float32), label=label)
    return Records(_sparse(rows), label=label)


def write_recordio(records: Iterable[Mapping[str, Sequence[float]]]) -> bytes:
    """One framed record for each mapping: its values as float32 tensors under `label`."""
    out = bytearray()
    for values in records:
        record = record_class()()
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


def _label(value: Any) -> float:
    values, _, _ = _tensor(value)
    if len(values) != 1:
        raise ValueError(f"a record has {len(values)} values in its label")
    return float(values[0])


def _tensor(value: Any) -> tuple[Any, Any, int | None]:
    """Values, keys (None when dense) and the width, if stated, of a Value message."""
    kind = value.WhichOneof("value")
    if kind not in _TENSORS:
        raise ValueError(f"a tensor is of kind {kind}, which is not supported")
    tensor = getattr(value, kind)
    values = np.array(tensor.values, dtype=_TENSORS[kind])
    width = int(tensor.shape[-1]) if len(tensor.shape) else None
    # A row of zeros has neither values nor keys, only a shape.
    is_dense = len(tensor.keys) == 0 and len(values) > 0
    return values, (None if is_dense else np.array(tensor.keys, dtype=np.uint64)), width


def _sparse(rows: Sequence[tuple[Any, Any, int | None]]) -> Any:
    lines = []
    for values, keys, width in rows:
        columns = np.arange(len(values)) if keys is None else keys
        if len(columns) != len(values):
            raise ValueError(f"a record has {len(columns)} keys for {len(values)} values")
        needed = max(width or 0, int(columns.max()) + 1 if len(columns) else 0)
        if needed > MAX_COLUMNS:
            raise ValueError(f"a record has {needed} columns, more than {MAX_COLUMNS}")
        lines.append((values, columns.astype(np.int64), needed))
    indptr = np.concatenate([[0], np.cumsum([len(values) for values, _, _ in lines])])
    values = np.concatenate([values for values, _, _ in lines]).astype(np.float32)
    columns = np.concatenate([columns for _, columns, _ in lines])
    return sparse.csr_matrix((values, columns, indptr), shape=(len(lines), max(needed for _, _, needed in lines)))
