"""Fixtures for every room."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from hypothesis import settings

from stagemaker.store import Store
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Caller, Context, Reply, Request

# A deadline for each example is a timed test, and machines are noisy.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

ACCOUNT = "123456789012"

DirectClient = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database in a folder of its own."""
    opened = Store(tmp_path / "stage.db")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def botocore_sessions() -> dict[str | None, botocore.session.Session]:
    """One botocore session for each protocol asked for: reading the service models is slow."""
    return {}


@pytest.fixture
def direct_client(botocore_sessions: dict[str | None, botocore.session.Session]) -> DirectClient:
    """Build botocore clients that an `Api` in this process answers: real wire forms, no socket.

    `direct_client(api, service_name, region=..., protocol=...)`; `protocol` makes the client speak
    one that botocore no longer prefers (`query`, `json`), as an old client does.
    """

    def build(api: Api, service_name: str, *, region: str = "us-east-1", protocol: str | None = None) -> Any:
        if protocol not in botocore_sessions:
            botocore_sessions[protocol] = _session(protocol)
        client = botocore_sessions[protocol].create_client(
            service_name,
            region_name=region,
            endpoint_url="http://localhost:1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="example",
            config=Config(retries={"total_max_attempts": 1}),
        )
        numbers = itertools.count(1)

        def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
            reply = asyncio.run(_answer(api, _request(request), region, f"request-{next(numbers)}"))
            return AWSResponse(request.url, reply.status, dict(reply.headers), _Raw(reply.body))  # type: ignore[arg-type]  # urllib3's response, of which only `stream` is called

        client.meta.events.register("before-send", answer)  # type: ignore[arg-type]  # an answer here stops the sending
        return client

    return build


def _session(protocol: str | None) -> botocore.session.Session:
    session = botocore.session.Session()
    if protocol is not None:
        loader = session.get_component("data_loader")
        load = loader.load_service_model

        def load_with_protocol(service_name: str, type_name: str, api_version: str | None = None) -> Any:
            model = load(service_name, type_name, api_version)
            if type_name == "service-2":
                return {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}
            return model

        loader.load_service_model = load_with_protocol
    return session


class _Raw:
    def __init__(self, body: Any) -> None:
        self.body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.body


def _request(sent: AWSPreparedRequest) -> Request:
    url = urlsplit(sent.url)
    body = sent.body or b""
    if isinstance(body, str):
        body = body.encode()
    assert isinstance(body, bytes | bytearray)
    headers = {k.lower(): v.decode() if isinstance(v, bytes) else str(v) for k, v in sent.headers.items()}
    return Request(sent.method, url.path, url.query, headers, bytes(body))


async def _answer(api: Api, request: Request, region: str, request_id: str) -> Reply:
    context = Context(
        account=ACCOUNT,
        region=region,
        caller=Caller(f"arn:aws:iam::{ACCOUNT}:user/tester"),
        request_id=request_id,
        user_agent=request.headers.get("user-agent", ""),
        headers=request.headers,
    )
    try:
        reply = await api.invoke(api.read(request), context)
    except AwsError as error:
        reply = api.codec_for(request).write_error(error, request_id)
    if not isinstance(reply.body, bytes):
        return Reply(reply.status, reply.headers, b"".join([piece async for piece in reply.body]))
    return reply
