"""AWS's query protocol: form fields in, XML out. Older CloudWatch clients, IAM, STS, SNS ... speak it.

A request is `Action=PutMetricData&Version=...&MetricData.member.1.MetricName=...`, in the body or in
the query string: lists and maps are spelt by numbered names, every value is text.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from stagemaker.wire.error_names import error_names
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request
from stagemaker.wire.shapes import read_value, to_datetime

_ACTION = re.compile(r"(?:^|&)Action=([^&]*)")
_ENVELOPE = frozenset(
    # Fields of the protocol and of signatures in the query string: no member of any operation.
    {"Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SecurityToken"}
    | {f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")}
    | {"X-Amz-Security-Token"}
)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Tree = dict[str, "Tree | str"]


class QueryCodec:
    """The query protocol for the service of `model`."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        self.namespace = str(model.metadata.get("xmlNamespace", ""))

    def operation_name(self, request: Request) -> str | None:
        """The field `Action`."""
        found = _ACTION.search(_form(request).decode(errors="replace"))
        return unquote_plus(found[1]) if found else None

    def read(self, operation: OperationModel, request: Request) -> dict[str, Any]:
        """Raises AwsError MalformedQueryString, and SerializationException for text of the wrong type."""
        try:
            fields = parse_qsl(_form(request).decode(), keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise AwsError("MalformedQueryString", f"The form is not UTF-8: {error}") from error
        if operation.input_shape is None:
            return {}
        tree = _tree((name, value) for name, value in fields if name not in _ENVELOPE)
        parameters: dict[str, Any] = read_value(operation.input_shape, _document(operation.input_shape, tree))
        return parameters

    def write(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> Reply:
        """`<OperationResponse>` around the result, in the wrapper that the model names."""
        shape = operation.output_shape
        content = ""
        if shape is not None:
            content = "".join(_structure_xml(shape, result))
            if wrapper := shape.serialization.get("resultWrapper"):
                content = _element(wrapper, content)
        metadata = _element("ResponseMetadata", _element("RequestId", _text(request_id)))
        return self._reply(200, f"{operation.name}Response", content + metadata, request_id)

    def write_error(self, error: AwsError, request_id: str) -> Reply:
        """`<ErrorResponse>` with the error's code in the query protocol."""
        names = error_names(self.model, error)
        content = _element("Type", names.fault) + _element("Code", _text(names.query))
        content += _element("Message", _text(error.message))
        body = _element("Error", content) + _element("RequestId", _text(request_id))
        return self._reply(error.status, "ErrorResponse", body, request_id)

    def _reply(self, status: int, root: str, content: str, request_id: str) -> Reply:
        document = f'<{root} xmlns="{_text(self.namespace)}">{content}</{root}>'
        return Reply(status, {"content-type": "text/xml", "x-amzn-requestid": request_id}, document.encode())


def _form(request: Request) -> bytes:
    """The fields as sent. A POST carries them in its body, a GET in its query string."""
    if request.method != "POST":
        return request.query.encode()
    is_form = request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded")
    return request.body if is_form else b""


# --- reading -------------------------------------------------------------------------------------


def _tree(fields: Iterator[tuple[str, str]]) -> Tree:
    """`a.b.1=x` as {"a": {"b": {"1": "x"}}}."""
    root: Tree = {}
    for name, value in fields:
        *parents, last = name.split(".")
        node = root
        for parent in parents:
            child = node.setdefault(parent, {})
            if isinstance(child, str):
                raise AwsError("MalformedQueryString", f"{name} and a field that it is part of are both given")
            node = child
        if last in node:
            raise AwsError("MalformedQueryString", f"{name} is given twice")
        node[last] = value
    return root


def _document(shape: Shape, node: Tree | str) -> Any:
    """What JSON would have held; text stays text where it does not fit, so that `read_value` refuses it."""
    match shape:
        case StructureShape() if isinstance(node, dict):
            return _structure_document(shape, node)
        case ListShape():
            if node == "":  # how an empty list is written
                return []
            return [_document(shape.member, item) for item in _numbered(shape, node, shape.member, "member")]
        case MapShape():
            if node == "":
                return {}
            return dict(_pair(shape, entry) for entry in _numbered(shape, node, None, "entry"))
    return _scalar(shape, node)


def _structure_document(shape: StructureShape, node: Tree) -> dict[str, Any]:
    """By member; a field that is no member keeps its name, so that `read_value` can refuse it."""
    members = {_field_name(member, name): name for name, member in shape.members.items()}
    return {
        members.get(field, field): _document(shape.members[members[field]], child) if field in members else child
        for field, child in node.items()
    }


def _field_name(shape: Shape, name: str) -> str:
    """The field of a member. A flattened list goes by the name of its items when they have one."""
    if isinstance(shape, ListShape) and shape.serialization.get("flattened"):
        return str(shape.member.serialization.get("name", shape.serialization.get("name", name)))
    return str(shape.serialization.get("name", name))


def _numbered(shape: Shape, node: Tree | str, member: Shape | None, default: str) -> list[Tree | str]:
    """The items of a list or map in the order of their numbers."""
    items: Tree | str | None = node
    if not shape.serialization.get("flattened") and isinstance(node, dict):
        items = node.get(str(member.serialization.get("name", default)) if member else default)
    if not isinstance(items, dict) or not all(number.isascii() and number.isdigit() for number in items):
        raise AwsError("MalformedQueryString", f"The items of {shape.name} are not numbered as .{default}.1, .2 ...")
    return [items[number] for number in sorted(items, key=int)]


def _pair(shape: MapShape, entry: Tree | str) -> tuple[str, Any]:
    key_field, value_field = _field_name(shape.key, "key"), _field_name(shape.value, "value")
    if not isinstance(entry, dict) or not isinstance(key := entry.get(key_field), str):
        raise AwsError("MalformedQueryString", f"An entry of {shape.name} has no {key_field}")
    return key, _document(shape.value, entry.get(value_field, ""))


def _scalar(shape: Shape, text: Tree | str) -> Any:
    if isinstance(text, dict) or "_" in text:  # which Python would take inside a number
        return text
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}.get(text.lower(), text)
    except ValueError:
        return text
    return text


# --- writing -------------------------------------------------------------------------------------


def _element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"


def _text(value: str) -> str:
    # XML has no control characters, not even by reference; and a parser turns a bare carriage return
    # into a line feed, so that one is written as a reference.
    return html.escape(_NOT_XML.sub("\ufffd", value)).replace("\r", "&#xD;")


def _structure_xml(shape: StructureShape, value: dict[str, Any]) -> Iterator[str]:
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield _xml(member, value[name], _field_name(member, name))


def _xml(shape: Shape, value: Any, name: str) -> str:
    flattened = shape.serialization.get("flattened")
    match shape:
        case StructureShape():
            return _element(name, "".join(_structure_xml(shape, value)))
        case ListShape():
            item_name = name if flattened else shape.member.serialization.get("name", "member")
            content = "".join(_xml(shape.member, item, item_name) for item in value)
            return content if flattened else _element(name, content)
        case MapShape():
            entry_name = name if flattened else "entry"
            content = "".join(
                _element(
                    entry_name,
                    _xml(shape.key, key, _field_name(shape.key, "key"))
                    + _xml(shape.value, entry, _field_name(shape.value, "value")),
                )
                for key, entry in value.items()
            )
            return content if flattened else _element(name, content)
    return _element(name, _scalar_text(shape, value))


def _scalar_text(shape: Shape, value: Any) -> str:
    match shape.type_name:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return iso_8601(to_datetime(value))
        case "blob":
            return base64.b64encode(value).decode()
        case "float" | "double":
            return repr(float(value))
    return _text(str(value))


def iso_8601(value: datetime) -> str:
    """`2026-01-31T12:00:00Z`, with milliseconds where there are any."""
    moment = value.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
