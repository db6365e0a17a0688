"""Errors of calls that never reached a service, in the form that the service would use."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

_XML = {"content-type": "application/xml"}


def render_error(error: AwsError, service: str, request: Request, request_id: str) -> Reply:
    """S3's XML, the query services' XML, or AWS JSON for everything else."""
    headers = {"x-amzn-requestid": request_id, "x-amz-request-id": request_id}
    code, message = escape(error.code), escape(error.message)
    if service in {"s3", "s3express"}:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            f"<Resource>{escape(request.path)}</Resource><RequestId>{request_id}</RequestId></Error>"
        )
        return Reply(error.status, {**headers, **_XML}, b"" if request.method == "HEAD" else body.encode())
    if "x-amz-target" in request.headers or request.headers.get("content-type", "").startswith(
        "application/x-amz-json"
    ):
        document = json.dumps({"__type": error.code, "message": error.message})
        content_type = request.headers.get("content-type", "application/x-amz-json-1.1")
        return Reply(
            error.status, {**headers, "content-type": content_type, "x-amzn-errortype": error.code}, document.encode()
        )
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Reply(error.status, {**headers, "content-type": "text/xml"}, body.encode())
