"""Bodies of requests as the library's matrices, for users' handlers and as their default input_fn.

Users' modules import the functions from `sagemaker_xgboost_container.encoder`, as on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import xgboost

from stagemaker.algorithms.toolkit.conventions import Response
from stagemaker.algorithms.toolkit.encoding import UnsupportedFormatError, encode
from stagemaker.algorithms.toolkit.handlers import Defaults
from stagemaker.algorithms.xgboost.libsvm_records import parse_libsvm
from stagemaker.algorithms.xgboost.payload import parse_csv
from stagemaker.algorithms.xgboost.recordio import parse_recordio


def csv_to_dmatrix(input: str | bytes, dtype: Any = None) -> xgboost.DMatrix:  # noqa: A002 - AWS's name
    """The matrix of records without labels; blank cells are missing. Raises ValueError for text."""
    text = input if isinstance(input, str) else input.decode()
    values = parse_csv(text.strip())
    return xgboost.DMatrix(values if dtype is None else values.astype(dtype))


def libsvm_to_dmatrix(string_like: str | bytes) -> xgboost.DMatrix:
    """The matrix of lines that begin with a label. Raises ValueError for malformed ones."""
    data = string_like.encode() if isinstance(string_like, str) else bytes(string_like)
    return xgboost.DMatrix(parse_libsvm(data).features)


def recordio_protobuf_to_dmatrix(string_like: bytes) -> xgboost.DMatrix:
    """The matrix of RecordIO-protobuf records. Raises ValueError for bad data."""
    return xgboost.DMatrix(parse_recordio(bytes(string_like)).features)


def json_to_jsonlines(json_data: str | bytes | Mapping[str, Any]) -> bytes:
    """One line for each entry of the only member of an object. Raises ValueError when there are more."""
    document = json_data if isinstance(json_data, Mapping) else json.loads(json_data)
    if len(document) != 1:
        raise ValueError("JSON response is not compatible for conversion to jsonlines.")
    return b"".join(json.dumps(entry).encode() + b"\n" for entries in document.values() for entry in entries)


_DECODERS: Mapping[str, Callable[[Any], xgboost.DMatrix]] = {
    "text/csv": csv_to_dmatrix,
    "text/libsvm": libsvm_to_dmatrix,
    "text/x-libsvm": libsvm_to_dmatrix,
    "application/x-recordio-protobuf": recordio_protobuf_to_dmatrix,
}


def decode(obj: Any, content_type: str | None) -> xgboost.DMatrix:
    """The matrix of a body. Raises UnsupportedFormatError for a type that is none of the four."""
    name = (content_type or "").split(";", 1)[0].strip()
    if name not in _DECODERS:
        raise UnsupportedFormatError(name)
    return _DECODERS[name](obj)


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data, validate_features=False)


def _response(prediction: Any, accept: str) -> Response:
    return Response(encode(prediction, accept), mimetype=accept)


DEFAULTS = Defaults(input_fn=decode, predict_fn=_predict, output_fn=_response)
"""What the image does for handlers that a module lacks."""

DEFAULTS_OF_SEVERAL = Defaults(input_fn=decode, predict_fn=_predict, output_fn=encode)
"""The same where there are several models: Multi Model Server knows no response objects."""
