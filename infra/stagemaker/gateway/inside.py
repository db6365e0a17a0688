"""Calls of our own services that go through the gateway, so that policies count for them too."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from stagemaker.gateway.asgi import Application, answer_of, replay, scope_of
from stagemaker.jobs.signing import sign_s3
from stagemaker.ports import Credentials, PortError
from stagemaker.wire.message import Request

_HOST = "localhost"


class GatewayObjects:
    """`ports.Objects` over the gateway: S3 as the holder of some credentials sees it."""

    def __init__(self, gateway: Application) -> None:
        self._gateway = gateway

    async def any_object(self, bucket: str, prefix: str, *, region: str, credentials: Credentials) -> bool:
        """Whether at least one key starts with `prefix`. Raises PortError with S3's code."""
        query = {"list-type": "2", "max-keys": "1", "prefix": prefix}
        document = ET.fromstring(await self._call("GET", f"/{bucket}", query, b"", region, credentials))  # noqa: S314 - the stage's own answer
        return any(element.tag.rpartition("}")[2] == "Contents" for element in document)

    async def has_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bool:
        """Whether there is an object that the holder may read. Raises PortError, whose code is S3's status."""
        try:
            await self._call("HEAD", f"/{bucket}/{key}", {}, b"", region, credentials)
        except PortError as error:
            if error.code == "404":
                return False
            raise
        return True

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """Write an object. Raises PortError with S3's code."""
        await self._call("PUT", f"/{bucket}/{key}", {}, body, region, credentials)

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, region: str, credentials: Credentials
    ) -> bytes:
        """The body of S3's answer to a signed call. Raises PortError."""
        target, headers = sign_s3(method, _HOST, path, query, credentials, region)
        headers["content-length"] = str(len(body))
        encoded_path, _, encoded_query = target.partition("?")
        request = Request(method, encoded_path, encoded_query, headers)
        outer = {"type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 0)}
        scope = scope_of(request, outer, service="s3", region=region)
        reply = await answer_of(self._gateway, scope, replay(body, _nothing_more))
        assert isinstance(reply.body, bytes)
        if reply.status != 200:
            raise _refusal(reply.status, reply.body)
        return reply.body


def _refusal(status: int, body: bytes) -> PortError:
    """What S3's error says; its status where it says nothing."""
    try:
        document = ET.fromstring(body)  # noqa: S314 - the stage's own answer
    except ET.ParseError:
        return PortError(str(status), "")
    return PortError(document.findtext("Code") or str(status), document.findtext("Message") or "")


async def _nothing_more() -> dict[str, str]:
    return {"type": "http.disconnect"}
