"""Smithy RPC v2 CBOR, which botocore speaks to CloudWatch by default since 2025.

`POST /service/<service>/operation/<operation>`, one CBOR map in, one out. Timestamps are tag 1
(epoch seconds). Specification: smithy.io, "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import re
from typing import Any

import cbor2
from botocore.model import OperationModel, ServiceModel

from stagemaker.wire.error_names import error_names, query_error_header
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request
from stagemaker.wire.shapes import epoch_seconds, read_value, write_value

PROTOCOL = "rpc-v2-cbor"
_EPOCH_TAG = 1
_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)")


class CborCodec:
    """RPC v2 CBOR for the service of `model`, under its target prefix (botocore) or its service id."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        self.services = {str(model.metadata.get("targetPrefix", "")), str(model.metadata.get("serviceId", ""))}

    def operation_name(self, request: Request) -> str | None:
        """The last part of the path, when the header `smithy-protocol` names this protocol."""
        found = _PATH.fullmatch(request.path)
        if request.headers.get("smithy-protocol") != PROTOCOL or found is None or found[1] not in self.services:
            return None
        return found[2]

    def read(self, operation: OperationModel, request: Request) -> dict[str, Any]:
        """Raises AwsError SerializationException for a body that is not the CBOR it should be."""
        if operation.input_shape is None or not request.body:
            return {}
        try:
            document = cbor2.loads(request.body)
        except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
            raise AwsError("SerializationException", f"The request body is not CBOR: {error}") from error
        parameters: dict[str, Any] = read_value(operation.input_shape, document)
        return parameters

    def write(self, operation: OperationModel, result: dict[str, Any], request_id: str) -> Reply:
        """The result as one CBOR map; an operation without output answers an empty body."""
        if operation.output_shape is None:
            return Reply(200, _headers(request_id))
        document = write_value(operation.output_shape, result, timestamp=_tagged, blob=bytes)
        return Reply(200, {**_headers(request_id), "content-type": "application/cbor"}, cbor2.dumps(document))

    def write_error(self, error: AwsError, request_id: str) -> Reply:
        """`__type` holds the name of the exception's shape, `message` the text."""
        body = cbor2.dumps({"__type": error_names(self.model, error).shape, "message": error.message})
        headers = {**_headers(request_id), **query_error_header(self.model, error), "content-type": "application/cbor"}
        return Reply(error.status, headers, body)


def _headers(request_id: str) -> dict[str, str]:
    return {"smithy-protocol": PROTOCOL, "x-amzn-requestid": request_id}


def _tagged(value: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(_EPOCH_TAG, epoch_seconds(value))
