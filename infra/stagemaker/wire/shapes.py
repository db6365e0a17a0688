"""Values between their JSON or CBOR form and Python, by shape.

The codecs differ only in how they write blobs, timestamps and numbers; everything else is here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from stagemaker.wire.errors import AwsError, ValidationError

Scalar = Callable[[Any], Any]

_INTEGERS = {"integer": range(-(2**31), 2**31), "long": range(-(2**63), 2**63)}
_FLOATS = frozenset({"float", "double"})
_UNBOUNDED = frozenset({"NaN", "Infinity", "-Infinity"})
"""JSON has no such numbers, so AWS writes them as strings."""
_NAMES = {
    dict: "object",
    list: "array",
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
    bool: "BOOLEAN",
}


def read_value(shape: Shape, value: Any, path: str = "") -> Any:
    """Python's form of a decoded `value`; absent and null members are left out.

    Raises AwsError SerializationException for a value of the wrong type, ValidationError for a
    member that the model does not know: it would have no effect, and nobody would be told.
    """
    match shape:
        case StructureShape():
            return _read_structure(shape, _typed(value, dict, shape, path), path)
        case ListShape():
            items = _typed(value, list, shape, path)
            return [read_value(shape.member, item, f"{path}[{i}]") for i, item in enumerate(items)]
        case MapShape():
            entries = _typed(value, dict, shape, path)
            return {
                _read_string(k, shape.key, path): read_value(shape.value, v, f"{path}.{k}")
                for k, v in entries.items()
                if v is not None
            }
    return _read_scalar(shape, value, path)


def _read_scalar(shape: Shape, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "string":
        return _read_string(value, shape, path)
    if kind in _INTEGERS:
        return _read_integer(value, shape, path)
    if kind in _FLOATS:
        return _read_float(value, shape, path)
    if kind == "boolean":
        return _typed(value, bool, shape, path)
    if kind == "timestamp":
        return to_datetime(value, path)
    if kind == "blob":
        return _read_blob(value, path)
    return value


def _read_structure(shape: StructureShape, value: dict[str, Any], path: str) -> dict[str, Any]:
    members = shape.members
    for name in value:
        if name not in members and name != "__type":
            raise ValidationError(
                f"{path + '.' if path else ''}{name} is not a member of {shape.name} in the API model of this stage"
            )
    return {
        name: read_value(member, value[name], f"{path}.{name}" if path else name)
        for name, member in members.items()
        if value.get(name) is not None
    }


def _typed(value: Any, kind: type, shape: Shape, path: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong_type(value, shape, path)
    return value


def _read_string(value: Any, shape: Shape, path: str) -> str:
    text: str = _typed(value, str, shape, path)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair: no disk or answer can hold it
            raise AwsError("SerializationException", f"'{path}' is not Unicode text: {error.reason}") from error
    return text


def _read_integer(value: Any, shape: Shape, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(value, shape, path)
    if value not in _INTEGERS[shape.type_name]:
        raise AwsError("SerializationException", f"{value} is out of the range of {shape.type_name} at '{path}'")
    return value


def _read_float(value: Any, shape: Shape, path: str) -> float:
    if isinstance(value, bool) or (not isinstance(value, int | float) and value not in _UNBOUNDED):
        raise _wrong_type(value, shape, path)
    try:
        return float(value)
    except OverflowError as error:
        raise AwsError("SerializationException", f"The number at '{path}' is out of the range of double") from error


def _wrong_type(value: Any, shape: Shape, path: str) -> AwsError:
    found = _NAMES.get(type(value), type(value).__name__)
    return AwsError("SerializationException", f"{found} can not be converted to {shape.type_name} at '{path}'")


def _read_blob(value: Any, path: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise AwsError("SerializationException", f"'{path}' is not base64: {error}") from error


def to_datetime(value: Any, path: str = "") -> datetime:
    """An aware datetime from epoch seconds, ISO 8601 text or a datetime."""
    try:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, str):
            return to_datetime(datetime.fromisoformat(value))
        if isinstance(value, bool):
            raise TypeError  # else True would be one second past midnight in 1970
        return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise AwsError("SerializationException", f"'{path}' is not a timestamp: {value!r}") from error


def write_value(shape: Shape, value: Any, *, timestamp: Scalar, blob: Scalar, number: Scalar = float) -> Any:
    """The encodable form of `value`: modelled members only, nothing that is None.

    `number` writes float and double members: a whole number stays one of that type.
    """
    match shape:
        case StructureShape():
            return {
                name: write_value(member, value[name], timestamp=timestamp, blob=blob, number=number)
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case ListShape():
            return [write_value(shape.member, item, timestamp=timestamp, blob=blob, number=number) for item in value]
        case MapShape():
            return {
                k: write_value(shape.value, v, timestamp=timestamp, blob=blob, number=number) for k, v in value.items()
            }
    if shape.type_name == "timestamp":
        return timestamp(value)
    if shape.type_name == "blob":
        return blob(value)
    if shape.type_name in _FLOATS:
        return number(value)
    return value


def epoch_seconds(value: datetime | float) -> float:
    """A timestamp in epoch seconds with milliseconds, as AWS's JSON has it."""
    return round(value.timestamp() if isinstance(value, datetime) else float(value), 3)
