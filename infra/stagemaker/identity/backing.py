"""Asking the backing: raw calls to IAM and S3, as the account's root."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

IAM_REGION = "us-east-1"
"""IAM is global; its calls are signed for us-east-1."""

_ELSEWHERE = frozenset({301, 307, 400})
"""Statuses by which S3 says that a bucket is in another region, with x-amz-bucket-region."""


class Send(Protocol):
    """Carries a request to the backing, as the root of the account."""

    async def __call__(self, request: Request, *, service: str, region: str) -> Reply:
        """`service` is the signing name. Authentication is added on the way where the backing wants it."""
        ...


class Unavailable(AwsError):  # noqa: N818 - reads as what it is
    """The backing does not answer a question that a decision depends on, so the call fails."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__("InternalFailure", f"The stage's backing did not answer {what}: {why}", 500)


class BackingError(Exception):
    """The backing's answer is an error: `code` and `message` as AWS words them."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


async def read_body(reply: Reply) -> bytes:
    """The whole body of a reply."""
    if isinstance(reply.body, bytes):
        return reply.body
    return b"".join([piece async for piece in reply.body])


def parse_xml(body: bytes) -> ET.Element:
    """The root element, tags without their namespaces. Raises ValueError, also for a document type."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("a document type is not allowed")
    try:
        document = ET.fromstring(body)  # noqa: S314 - no document type, hence no entities to expand
    except (ET.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    return document


def text_of(element: ET.Element, path: str) -> str:
    """The text at `path`; empty when there is none."""
    return element.findtext(path) or ""


class Backing:
    """The few calls that identity makes itself."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def iam(self, action: str, **parameters: str) -> ET.Element:
        """The answer of an IAM action. Raises BackingError for a 4xx, Unavailable for anything else.

        A parameter's double underscore stands for a dot: `Filter__member__1="User"`.
        """
        fields = {name.replace("__", "."): value for name, value in parameters.items()}
        body = urlencode({"Action": action, "Version": "2010-05-08", **fields})
        headers = {
            "host": "iam.amazonaws.com",
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "content-length": str(len(body)),
        }
        reply = await self._send(Request("POST", "/", "", headers, body.encode()), service="iam", region=IAM_REGION)
        return await _document(reply, f"iam:{action}")

    async def bucket(self, bucket: str, subresource: str, *, region: str) -> bytes:
        """The document of a bucket's subresource such as `policy`. Raises as `iam` does.

        `region` is where to ask first. S3 tells of a bucket that is elsewhere where it is.
        """
        reply = await self._subresource(bucket, subresource, region)
        home = _header(reply, "x-amz-bucket-region")
        if reply.status in _ELSEWHERE and home and home != region:
            reply = await self._subresource(bucket, subresource, home)
        body = await read_body(reply)
        if reply.status != 200:
            raise _error(reply.status, body, f"s3 ?{subresource}")
        return body

    async def _subresource(self, bucket: str, subresource: str, region: str) -> Reply:
        request = Request("GET", f"/{quote(bucket, safe='')}", subresource, {"host": f"s3.{region}.amazonaws.com"})
        return await self._send(request, service="s3", region=region)


def _header(reply: Reply, wanted: str) -> str:
    return next((value for name, value in reply.headers.items() if name.lower() == wanted), "")


async def _document(reply: Reply, what: str) -> ET.Element:
    body = await read_body(reply)
    if reply.status != 200:
        raise _error(reply.status, body, what)
    try:
        return parse_xml(body)
    except ValueError as error:
        raise Unavailable(what, f"its answer is not XML ({error})") from error


def _error(status: int, body: bytes, what: str) -> Exception:
    try:
        document = parse_xml(body)
    except ValueError:
        return Unavailable(what, f"status {status}")
    code = text_of(document, ".//Code") or text_of(document, "Code")
    if not code or status >= 500:
        return Unavailable(what, f"status {status} {code}".rstrip())
    return BackingError(code, text_of(document, ".//Message"), status)
