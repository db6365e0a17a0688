"""libsvm: `label[:weight] [qid:group] index:value ...`, one record a line.

Column numbers are taken as they stand (0-based); a file that counts from 1 has an empty column 0, as
with the library's own reader. That reader is not used: it crashes the process on malformed lines.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stagemaker.algorithms.xgboost.records import MAX_COLUMNS, Records, concatenate

Integers = NDArray[np.int64]

_COMMENT = re.compile(rb"#[^\n]*")
_QUERY = re.compile(rb"[ \t]qid:(\d+)(?=\s|$)")
_TWO_COLONS = re.compile(rb":[^\s:]*:")


def read_libsvm(files: Iterable[Path]) -> Records:
    """The records of all files, in order. Raises ValueError with file and line for a malformed line."""
    parts = []
    for file in files:
        try:
            parts.append(parse_libsvm(file.read_bytes()))
        except ValueError as error:
            raise ValueError(f"file '{file.name}': {error}") from error
    return _together(parts)


def parse_libsvm(data: bytes) -> Records:
    """The records in `data`. `weight` is None when no line has one; lines without one get 1.

    Raises ValueError that names the first malformed line.
    """
    data = _COMMENT.sub(b"", data)
    queries = _QUERY.findall(data)
    data = _QUERY.sub(b"", data)
    label_tokens, features = _shape(data)
    if queries and len(queries) != len(features):
        raise ValueError(f"{len(queries)} of {len(features)} lines have a qid: all lines or none must have one")
    if len(features) == 0:
        return Records(sparse.csr_matrix((0, 0), dtype=np.float32), label=np.zeros(0, dtype=np.float32))
    numbers = _numbers(data)
    per_line = label_tokens + 2 * features
    if len(numbers) != per_line.sum():
        raise ValueError(_first_fault(data))
    starts = np.concatenate([[0], np.cumsum(per_line)[:-1]]).astype(np.int64)
    weights = None
    if (label_tokens == 2).any():
        weights = np.ones(len(features), dtype=np.float32)
        weights[label_tokens == 2] = numbers[starts[label_tokens == 2] + 1]
    is_feature = np.ones(len(numbers), dtype=bool)
    is_feature[starts] = False
    is_feature[starts[label_tokens == 2] + 1] = False
    columns, values = numbers[is_feature].reshape(-1, 2).T
    if not ((columns >= 0) & (columns < MAX_COLUMNS) & (columns == np.floor(columns))).all():
        raise ValueError(_first_fault(data))
    matrix = sparse.csr_matrix(
        (values.astype(np.float32), columns.astype(np.int64), np.concatenate([[0], np.cumsum(features)])),
        shape=(len(features), int(columns.max()) + 1 if columns.size else 0),
    )
    matrix.sort_indices()
    query = np.array([int(group) for group in queries], dtype=np.int64) if queries else None
    return Records(matrix, label=numbers[starts].astype(np.float32), weight=weights, query=query)


def _shape(data: bytes) -> tuple[Integers, Integers]:
    """Per line that is not blank: 1 or 2 numbers of the label (2 with a weight), and the count of features."""
    if _TWO_COLONS.search(data):
        raise ValueError(_first_fault(data))
    label_tokens, features = [], []
    for line in data.split(b"\n"):
        tokens = line.split()
        if not tokens:
            continue
        weighted = b":" in tokens[0]
        if line.count(b":") != len(tokens) - (0 if weighted else 1):
            raise ValueError(_first_fault(data))
        label_tokens.append(2 if weighted else 1)
        features.append(len(tokens) - 1)
    return np.array(label_tokens, dtype=np.int64), np.array(features, dtype=np.int64)


def _numbers(data: bytes) -> NDArray[np.float64]:
    """All numbers of the text; fewer when something in it is no number (numpy stops there, or raises)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return np.fromstring(data.replace(b":", b" "), dtype=np.float64, sep=" ")
        except ValueError:
            return np.empty(0)


def _first_fault(data: bytes) -> str:
    for number, line in enumerate(data.split(b"\n"), start=1):
        for position, token in enumerate(line.split()):
            if not _is_token(token, is_label=position == 0):
                shown = token.decode(errors="replace")[:50]
                wanted = "<label>[:<weight>]" if position == 0 else "<index>:<value>"
                return f"line {number}: '{shown}' is not {wanted}"
    return "not libsvm"


def _is_token(token: bytes, *, is_label: bool) -> bool:
    parts = token.split(b":")
    if len(parts) > 2 or (len(parts) != 2 and not is_label):
        return False
    try:
        for part in parts:
            float(part)
    except ValueError:
        return False
    return is_label or (parts[0].isdigit() and int(parts[0]) < MAX_COLUMNS)


def _together(parts: list[Records]) -> Records:
    """One table of all files. Where only some files have weights, the rows of the others weigh one."""
    parts = [part for part in parts if part.rows] or parts[:1]
    if any(part.weight is not None for part in parts):
        parts = [
            part if part.weight is not None else replace(part, weight=np.ones(part.rows, dtype=np.float32))
            for part in parts
        ]
    return concatenate(parts)
