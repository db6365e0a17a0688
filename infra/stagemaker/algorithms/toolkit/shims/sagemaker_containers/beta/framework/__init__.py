"""`from sagemaker_containers.beta.framework import encoders, worker, ...`, as AWS's scikit-learn examples have it.

`content_types`, `encoders`, `errors` and `worker` do what they do in AWS's image. The other modules can be
imported, as the examples do without using them, and refuse each use by name.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stagemaker.algorithms.toolkit import encoding
from stagemaker.algorithms.toolkit.conventions import Response
from stagemaker.algorithms.toolkit.errors import ClientError


class _Absent:
    """A module of the library that is not here."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(
            f"Stagemaker's images have no sagemaker_containers.beta.framework.{self._name}.{attribute}"
        )


content_types = SimpleNamespace(
    JSON=encoding.JSON,
    CSV=encoding.CSV,
    NPY=encoding.NPY,
    OCTET_STREAM=encoding.OCTET_STREAM,
    ANY=encoding.ANY,
    UTF8_TYPES=encoding.UTF8_TYPES,
)
encoders = SimpleNamespace(
    decode=encoding.decode,
    encode=encoding.encode,
    array_to_csv=encoding.array_to_csv,
    array_to_json=encoding.array_to_json,
    array_to_npy=encoding.array_to_npy,
    csv_to_numpy=encoding.csv_to_numpy,
    json_to_numpy=encoding.json_to_numpy,
    npy_to_numpy=encoding.npy_to_numpy,
)
errors = SimpleNamespace(ClientError=ClientError, UnsupportedFormatError=encoding.UnsupportedFormatError)
worker = SimpleNamespace(Response=Response)

entry_point = _Absent("entry_point")
env = _Absent("env")
files = _Absent("files")
functions = _Absent("functions")
logging = _Absent("logging")
mapping = _Absent("mapping")
modules = _Absent("modules")
params = _Absent("params")
runner = _Absent("runner")
server = _Absent("server")
transformer = _Absent("transformer")
