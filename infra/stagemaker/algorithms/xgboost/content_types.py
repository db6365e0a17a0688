"""Content types: which format a MIME type stands for."""

from __future__ import annotations

from enum import StrEnum

from stagemaker.algorithms.xgboost.errors import UserError


class ContentType(StrEnum):
    """The formats; the value is the word that AWS's messages use."""

    CSV = "csv"
    LIBSVM = "libsvm"
    PARQUET = "parquet"
    RECORDIO_PROTOBUF = "recordio-protobuf"


_NAMES = {
    "csv": ContentType.CSV,
    "libsvm": ContentType.LIBSVM,
    "parquet": ContentType.PARQUET,
    "recordio-protobuf": ContentType.RECORDIO_PROTOBUF,
    "text/csv": ContentType.CSV,
    "text/libsvm": ContentType.LIBSVM,
    "text/x-libsvm": ContentType.LIBSVM,
    "application/x-parquet": ContentType.PARQUET,
    "application/x-recordio-protobuf": ContentType.RECORDIO_PROTOBUF,
}

ACCEPTED: tuple[str, ...] = tuple(_NAMES)
"""Every spelling that the algorithm accepts, in AWS's order."""

DEFAULT = "text/libsvm"
"""What a channel without ContentType holds: the reason why CSV without one fails."""


def parse(header: str | None) -> ContentType:
    """The format that a Content-Type header names; parameters after `;` are allowed.

    Raises UserError for an unknown type, and for CSV whose label_size is not 1.
    """
    if header is None:
        return ContentType.LIBSVM
    name, *rest = (part.strip() for part in header.lower().split(";"))
    if name not in _NAMES:
        raise UserError(f"{header} is not an accepted ContentType: {', '.join(ACCEPTED)}.")
    content_type = _NAMES[name]
    parameters = dict(part.split("=", 1) for part in rest if "=" in part)
    label_size = parameters.get("label_size", "1").strip('"')
    if content_type is ContentType.CSV and label_size != "1":
        raise UserError(
            f"{header} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
        )
    return content_type
