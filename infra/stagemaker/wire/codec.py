"""What a wire protocol must do, and AWS JSON, the protocol of SageMaker and Logs."""

from __future__ import annotations

import base64
import json
import math
from typing import Any, Protocol

from botocore.model import OperationModel, ServiceModel

from stagemaker.wire.error_names import error_names, query_error_header
from stagemaker.wire.errors import AwsError, UnsupportedError
from stagemaker.wire.message import Reply, Request
from stagemaker.wire.shapes import epoch_seconds, read_value, write_value


class Codec(Protocol):
    """One of AWS's wire protocols, on the server's side."""

    def operation_name(self, request: Request) -> str | None:
        """The operation that `request` names in this protocol; None: it is in another one."""
        ...

    def read(self, operation: OperationModel, request: Request) -> dict[str, Any]:
        """The parameters, typed by the model but not yet validated. The body is not compressed."""
        ...

    def write(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> Reply:
        """A success."""
        ...

    def write_error(self, error: AwsError, request_id: str) -> Reply:
        """A refusal."""
        ...


class JsonCodec:
    """AWS JSON 1.0 and 1.1: POST /, the operation in `X-Amz-Target`."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        self.prefix = str(model.metadata.get("targetPrefix", ""))
        self.content_type = f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.1')}"

    def operation_name(self, request: Request) -> str | None:
        """The part of `X-Amz-Target` after the service's prefix."""
        prefix, dot, name = request.headers.get("x-amz-target", "").rpartition(".")
        return name if dot and prefix == self.prefix else None

    def read(self, operation: OperationModel, request: Request) -> dict[str, Any]:
        """Raises AwsError SerializationException for a body that is not the JSON it should be."""
        try:
            document = json.loads(request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise AwsError("SerializationException", f"The request body is not JSON: {error}") from error
        if operation.input_shape is None:
            return {}
        parameters: dict[str, Any] = read_value(operation.input_shape, document)
        return parameters

    def write(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> Reply:
        """The result as JSON; an operation without output answers an empty body."""
        body = b""
        if operation.output_shape is not None:
            body = json.dumps(
                write_value(operation.output_shape, result, timestamp=epoch_seconds, blob=_base64, number=_number)
            ).encode()
        return Reply(200, self._headers(request_id), body)

    def write_error(self, error: AwsError, request_id: str) -> Reply:
        """`__type` holds the code, `message` the text."""
        code = error.code
        if compatible := query_error_header(self.model, error):
            code = error_names(self.model, error).shape
        body = json.dumps({"__type": code, "message": error.message}).encode()
        return Reply(error.status, {**self._headers(request_id), **compatible, "x-amzn-errortype": code}, body)

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"content-type": self.content_type, "x-amzn-requestid": request_id}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def find_operation(model: ServiceModel, name: str) -> OperationModel:
    """The model of an operation, or UnsupportedError when the service has none of that name."""
    if name not in model.operation_names:
        raise UnsupportedError(f"{model.service_name} has no operation named {name}")
    return model.operation_model(name)
