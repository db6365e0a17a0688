"""How a request reaches the handlers and how their result, or error, goes back.

AWS has two serving libraries for users' handlers, and an image is built on one of them.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from stagemaker.algorithms.toolkit.encoding import ANY, JSON, UTF8_TYPES, UnsupportedFormatError
from stagemaker.algorithms.toolkit.messages import Answer, Call

DEFAULT_ACCEPT_VARIABLE = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"

# What Flask says of any exception; the reason stands in the log alone (aws/sagemaker-python-sdk, issue 2067).
ERROR_PAGE = b"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request. \
Either the server is overloaded or there is an error in the application.</p>
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as handlers get it."""

    body: str | bytes
    content_type: str | None
    accept: str


class Conventions(Protocol):
    """One of the two libraries."""

    def request(self, call: Call, default_accept: str) -> Request:
        """What the handlers get. Raises ValueError for a body that is not the text it claims to be."""
        ...

    def answer(self, result: Any, accept: str) -> Answer:
        """The answer that the result of the last handler means. Raises when it means none."""
        ...

    def failure(self, error: BaseException) -> Answer:
        """The answer for an exception."""
        ...


class Response:
    """What output_fn may return in place of a body: `sagemaker_containers.beta.framework.worker.Response`.

    `mimetype` is application/json when it is not given, `accept` means nothing (it was deprecated).
    """

    def __init__(
        self,
        response: Any = None,
        accept: object = None,
        status: int | str = 200,
        headers: Any = None,
        mimetype: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        self.response = response
        self.status_code = int(status.split()[0]) if isinstance(status, str) else int(status)
        self.headers: dict[str, str] = {str(name): str(value) for name, value in dict(headers or {}).items()}
        self.mimetype = mimetype or JSON

    def get_data(self) -> bytes:
        """The body. Raises TypeError when it is neither text, nor bytes, nor parts of these."""
        if self.response is None:
            return b""
        if isinstance(self.response, str | bytes | bytearray):
            return _bytes(self.response)
        return b"".join(_bytes(part) for part in self.response)


class SageMakerContainers:
    """`sagemaker-containers`: a Flask application. Its answers are Flask's."""

    def request(self, call: Call, default_accept: str) -> Request:
        """Missing headers count as application/json; text that is not UTF-8 is mended."""
        content_type = call.content_type or JSON
        body = call.body.decode(errors="replace") if content_type in UTF8_TYPES else call.body
        return Request(body, content_type, _accept(call, default_accept))

    def answer(self, result: Any, accept: str) -> Answer:
        """A pair is body and type; text alone is HTML, as in any view of Flask's; a dictionary is JSON."""
        if isinstance(result, tuple):
            result = Response(result[0], mimetype=result[1])
        elif isinstance(result, str | bytes | bytearray):
            result = Response(result, mimetype="text/html")
        elif isinstance(result, dict):
            result = Response(json.dumps(result, sort_keys=True, separators=(",", ":")) + "\n", mimetype=JSON)
        # Flask's own response objects have these too.
        if not all(hasattr(result, name) for name in ("get_data", "status_code", "headers", "mimetype")):
            raise TypeError(f"the last handler returned {type(result).__name__}, which is no response")
        headers = {str(name).lower(): str(value) for name, value in dict(result.headers).items()}
        content_type = headers.pop("content-type", None) or _with_charset(str(result.mimetype))
        headers.pop("content-length", None)
        return Answer(HTTPStatus(result.status_code), _bytes(result.get_data()), content_type, tuple(headers.items()))

    def failure(self, error: BaseException) -> Answer:
        """Status 500 and nothing of the reason, for any exception, for a content type that is not decoded too.

        The library would say 415 or 406 there, but the scikit-learn image hands its own defaults to it, whose
        exceptions it takes for the user's.
        """
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, ERROR_PAGE, "text/html")


class SageMakerInference:
    """`sagemaker-inference`: handlers under Multi Model Server."""

    def request(self, call: Call, default_accept: str) -> Request:
        """A content type that is missing stays missing; JSON and CSV must be UTF-8."""
        body = call.body.decode() if call.content_type in UTF8_TYPES else call.body
        return Request(body, call.content_type, _accept(call, default_accept))

    def answer(self, result: Any, accept: str) -> Answer:
        """A pair is body and type; all else has the type that was accepted. What is not text or bytes is JSON."""
        body, content_type = (result[0], result[1]) if isinstance(result, tuple) else (result, accept)
        text = body if isinstance(body, str | bytes | bytearray) else json.dumps(body, indent=2)
        return Answer(HTTPStatus.OK, _bytes(text), str(content_type))

    def failure(self, error: BaseException) -> Answer:
        """The message and the traceback: status 415 for a content type without a handler, else 500."""
        unsupported = isinstance(error, UnsupportedFormatError)
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE if unsupported else HTTPStatus.INTERNAL_SERVER_ERROR
        trace = "".join(traceback.format_exception(error))
        return Answer(status, f"{error}\n{trace}".encode(errors="replace"), "text/plain")


def _accept(call: Call, default: str) -> str:
    return default if call.accept in {None, "", ANY} else str(call.accept)


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes | bytearray):
        return bytes(text)
    raise TypeError(f"a body is text or bytes, not {type(text).__name__}")


def _with_charset(mimetype: str) -> str:
    return f"{mimetype}; charset=utf-8" if mimetype.startswith("text/") else mimetype
