"""The body of a request as features: records without labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost
from scipy import sparse

from stagemaker.algorithms.xgboost import content_types
from stagemaker.algorithms.xgboost.arrow_tables import read_quickly
from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.csv_records import parse_table
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.files import sniff_delimiter
from stagemaker.algorithms.xgboost.recordio import parse_recordio
from stagemaker.algorithms.xgboost.records import Floats

_LARGE = 8192
"""Characters from which on Arrow's parser is the quicker one: it takes a quarter of a millisecond to set up."""
_SNIFFED = 512  # characters of the first line that AWS looks at for the delimiter


def parse(body: bytes, content_type_header: str | None, trained_columns: int) -> tuple[Any, ContentType]:
    """The features, an array of shape (n, k) or a CSR matrix, and the format that they came in.

    `trained_columns` settles how libsvm counts its columns (see `_libsvm`). Raises UserError for a
    content type that is not served and RuntimeError, in AWS's words, for a body that is not what its
    content type says.
    """
    content_type = content_types.parse(content_type_header)
    try:
        if content_type is ContentType.CSV:
            return _finite(parse_csv(body.strip().decode("utf-8"))), content_type
        if content_type is ContentType.LIBSVM:
            return _finite(_libsvm(body.strip().decode("utf-8"), trained_columns)), content_type
        if content_type is ContentType.RECORDIO_PROTOBUF:
            return _finite(parse_recordio(body).features), content_type
    except Exception as error:
        kind, text = str(type(error)), str(error)
        where = f"Loading {content_type} data failed with Exception, please ensure data is in {content_type} format:"
        raise RuntimeError(f"{where}\n {kind}\n {text}") from error
    raise UserError(f"Content-type {content_type_header} is not supported.")


def parse_csv(text: str) -> Floats:
    """Numbers without a label column, shape (lines, columns); blank cells are missing. Raises ValueError, csv.Error."""
    if not text:
        raise csv.Error("Could not determine delimiter")
    lines = text.split("\n")
    delimiter = _delimiter(lines[0])
    if len(text) > _LARGE and "\r" not in text and "" not in lines:
        table = read_quickly(text.encode(), delimiter, lines[0].count(delimiter) + 1, threads=False)
        if table is not None:
            return table
    if "" not in lines:
        try:
            return parse_table(lines, delimiter)
        except ValueError:
            pass  # blank cells, or a mistake: the slower way tells, and words the mistake as AWS does
    rows = [[float(cell or "nan") for cell in line.split(delimiter)] for line in lines]
    return np.array(rows, dtype=np.float64).astype(np.float32)


def _delimiter(line: str) -> str:
    """A single column has none: any will do."""
    try:
        return sniff_delimiter(line[:_SNIFFED])
    except UserError:
        return ","


def _finite(features: Any) -> Any:
    """The same features. Raises XGBoostError for infinity.

    The library's matrix, which AWS's container makes of a body, refuses it; prediction in place does not look.
    """
    if np.isinf(features.data if sparse.issparse(features) else features).any():
        xgboost.DMatrix(features, nthread=1)
    return features


def _libsvm(text: str, trained_columns: int) -> Any:
    """Tokens `index:value`; labels and everything else without a colon are ignored.

    A body that counts its columns from 1 is moved down by one when it would not fit the model
    otherwise. AWS's newest container moves it whenever column 0 is absent, which gives a model that
    was itself trained on such a file the wrong columns; that is not copied.
    """
    lines = [[token.split(":", 1) for token in line.split() if ":" in token] for line in text.split("\n")]
    columns = np.array([int(index) for tokens in lines for index, _ in tokens], dtype=np.int64)
    values = np.array([float(value) for tokens in lines for _, value in tokens], dtype=np.float32)
    if len(columns) and columns.min() < 0:
        raise ValueError("negative column index")
    width = int(columns.max()) + 1 if len(columns) else 0
    if width > trained_columns and columns.min() >= 1:
        columns, width = columns - 1, width - 1
    return sparse.csr_matrix((values, columns, _starts(lines)), shape=(len(lines), width))


def _starts(lines: Sequence[Sequence[object]]) -> Any:
    return np.concatenate([[0], np.cumsum([len(tokens) for tokens in lines])])
