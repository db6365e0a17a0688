"""Errors as each protocol writes them, for calls that never reach a service's own codec."""

from __future__ import annotations

import json
from enum import Enum
from xml.sax.saxutils import escape

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply


class ErrorForm(Enum):
    """The three ways in which AWS's services write errors."""

    S3 = "S3's XML"
    QUERY = "the query services' XML"
    JSON = "AWS JSON"


def error_reply(
    error: AwsError,
    form: ErrorForm,
    request_id: str,
    *,
    method: str = "POST",
    path: str = "/",
    content_type: str = "application/x-amz-json-1.1",
) -> Reply:
    """`error` in `form`. `path` is named in S3's, `content_type` is JSON's; a HEAD gets no body."""
    code, message = escape(error.code), escape(error.message)
    headers = {"x-amzn-requestid": request_id, "x-amz-request-id": request_id}
    match form:
        case ErrorForm.S3:
            headers["content-type"] = "application/xml"
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
                f"<Resource>{escape(path)}</Resource><RequestId>{request_id}</RequestId></Error>"
            )
        case ErrorForm.QUERY:
            headers["content-type"] = "text/xml"
            whose = "Sender" if error.status < 500 else "Receiver"
            body = (
                f"<ErrorResponse><Error><Type>{whose}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
        case ErrorForm.JSON:
            headers |= {"content-type": content_type, "x-amzn-errortype": error.code}
            body = json.dumps({"__type": error.code, "message": error.message})
    return Reply(error.status, headers, b"" if method == "HEAD" else body.encode())
