"""Bodies from and to arrays: what AWS's open `sagemaker-containers` library decodes and encodes by itself.

Users' handlers call it too, as `sagemaker_containers.beta.framework.encoders`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
OCTET_STREAM = "application/octet-stream"
ANY = "*/*"
UTF8_TYPES = [JSON, CSV]
"""Bodies of these types reach input_fn as text, all others as bytes. A parameter after `;` makes another type."""


class UnsupportedFormatError(Exception):
    """A content type that is not decoded or encoded without a handler of the user's."""

    def __init__(self, content_type: object) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Implement input_fn to read the request or output_fn to write the response."
        )


def json_to_numpy(string_like: str | bytes, dtype: Any = None) -> Any:
    """An array of the JSON value, whatever its shape. Raises ValueError for what is no JSON or ragged."""
    return np.array(json.loads(string_like), dtype=dtype)


def csv_to_numpy(string_like: str, dtype: Any = None) -> Any:
    """An array of the records, without dimensions of length 1: a single record has one dimension only.

    That single record is why scikit-learn's `Expected 2D array` is so often met on AWS. Cells are
    numbers, or text when some are not. Raises ValueError for rows of different length and bad quoting.
    """
    try:
        rows = list(csv.reader(io.StringIO(string_like), strict=True))
    except csv.Error as error:
        raise ValueError(f"Error while decoding csv: {error}") from error
    cells = np.array(rows).squeeze()
    try:
        return cells.astype(dtype or np.float64)
    except ValueError:
        if dtype is not None:
            raise
        return cells


def npy_to_numpy(npy_array: bytes) -> Any:
    """The array of an NPY file. Raises ValueError for one of pickled objects.

    AWS's older images unpickle it, and run whatever a client puts there; the newest ones do not.
    """
    return np.load(io.BytesIO(npy_array), allow_pickle=False)


def array_to_json(array_like: Any) -> str:
    """JSON, in which arrays and numpy's numbers stand as lists and numbers. Raises TypeError for other objects."""

    def default(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    return json.dumps(array_like, default=default)


def array_to_csv(array_like: Any) -> str:
    """A line for each row; one dimension stands as a column. Raises ValueError for a single value."""
    array = np.array(array_like)
    if array.ndim == 0:
        raise ValueError("a single value is not encoded as csv")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(array.reshape(-1, 1) if array.ndim == 1 else array)
    return text.getvalue()


def array_to_npy(array_like: Any) -> bytes:
    """An NPY file. Objects would have to be pickled, and nothing here would read them again: ValueError."""
    file = io.BytesIO()
    np.save(file, array_like, allow_pickle=False)
    return file.getvalue()


_DECODERS: Mapping[str, Callable[[Any], Any]] = {NPY: npy_to_numpy, CSV: csv_to_numpy, JSON: json_to_numpy}
_ENCODERS: Mapping[str, Callable[[Any], str | bytes]] = {NPY: array_to_npy, CSV: array_to_csv, JSON: array_to_json}


def decode(obj: Any, content_type: str | None) -> Any:
    """The array of a body. Raises UnsupportedFormatError for another type than JSON, CSV and NPY."""
    decoder = _DECODERS.get(content_type or "")
    if decoder is None:
        raise UnsupportedFormatError(content_type)
    return decoder(obj)


def encode(array_like: Any, content_type: str | None) -> str | bytes:
    """The body of an array. Raises UnsupportedFormatError for another type than JSON, CSV and NPY."""
    encoder = _ENCODERS.get(content_type or "")
    if encoder is None:
        raise UnsupportedFormatError(content_type)
    return encoder(array_like)
