"""Calls of our own services that go through the gateway, so that policies count for them too."""

from __future__ import annotations

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
        target, headers = sign_s3("GET", _HOST, f"/{bucket}", query, credentials, region)
        path, _, encoded_query = target.partition("?")
        request = Request("GET", path, encoded_query, headers)
        outer = {"type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 0)}
        scope = scope_of(request, outer, service="s3", region=region)
        reply = await answer_of(self._gateway, scope, replay(b"", _nothing_more))
        assert isinstance(reply.body, bytes)
        document = ET.fromstring(reply.body)  # noqa: S314 - the stage's own answer
        if reply.status != 200:
            raise PortError(document.findtext("Code") or str(reply.status), document.findtext("Message") or "")
        return any(element.tag.rpartition("}")[2] == "Contents" for element in document)


async def _nothing_more() -> dict[str, str]:
    return {"type": "http.disconnect"}
