"""Labelled records in memory, whatever format they came in. Imports numpy, scipy and xgboost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]

MAX_COLUMNS = 2**31
"""Columns of sparse data. The library counts them in 32 bits and ends the process where a number does not fit."""


@dataclass(frozen=True, slots=True)
class Records:
    """n records: `features` is a dense float32 array of shape (n, k) or a CSR matrix.

    `label`, `weight` and `query` (ids of groups for ranking, in order) have shape (n,) or are None.
    """

    features: Any
    label: Floats | None
    weight: Floats | None = None
    query: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """The number of records."""
        return int(self.features.shape[0])

    @property
    def columns(self) -> int:
        """The number of features."""
        return int(self.features.shape[1])

    def take(self, rows: NDArray[np.int64]) -> Records:
        """The records with these row numbers."""
        return Records(
            self.features[rows],
            label=None if self.label is None else self.label[rows],
            weight=None if self.weight is None else self.weight[rows],
            query=None if self.query is None else self.query[rows],
        )

    def to_dmatrix(self, threads: int) -> xgboost.DMatrix:
        """The library's matrix. Raises XGBoostError for values that it refuses, such as infinity."""
        return xgboost.DMatrix(self.features, label=self.label, weight=self.weight, qid=self.query, nthread=threads)


def concatenate(parts: Sequence[Records]) -> Records:
    """All records in order. Raises ValueError when dense parts differ in width, or only some have weights."""
    if len(parts) == 1:
        return parts[0]
    return Records(
        _stack([part.features for part in parts]),
        label=_join([part.label for part in parts]),
        weight=_join([part.weight for part in parts]),
        query=_join([part.query for part in parts]),
    )


def _stack(features: Sequence[Any]) -> Any:
    if not any(sparse.issparse(part) for part in features):
        return np.concatenate(features)
    width = max(part.shape[1] for part in features)
    widened = [sparse.csr_matrix(part) for part in features]
    for part in widened:
        part.resize(part.shape[0], width)
    return sparse.vstack(widened, format="csr")


def _join(columns: Sequence[Any]) -> Any:
    """One column of all parts. Raises ValueError when only some of them have it."""
    if all(column is None for column in columns):
        return None
    if any(column is None for column in columns):
        raise ValueError("some files have labels, weights or query ids and others have none")
    return np.concatenate(columns)
