"""Calls to endpoints before anybody asks who makes them: bodies that stall, break off or are too large."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stagemaker.gateway import gateway as gateway_module
from stagemaker.gateway.control import Control
from stagemaker.gateway.gateway import Gateway
from stagemaker.sagemaker.runtime.api import LARGEST_BODY, Runtime

SCOPE = {
    "type": "http",
    "method": "POST",
    "scheme": "http",
    "path": "/endpoints/shop/invocations",
    "raw_path": b"/endpoints/shop/invocations",
    "query_string": b"",
    "headers": [(b"host", b"localhost:4566")],
}
Receive = Callable[[], Awaitable[dict[str, Any]]]


def answer(receive: Receive) -> tuple[int, dict[str, Any]] | None:
    """Status and document of the answer, None where there is none; no room may be taken afterwards."""
    unused: Any = None  # nothing of these may be reached
    runtime = Runtime("123456789012", unused, unused, unused)
    gateway = Gateway(unused, unused, {}, Control(unused, allow_reset=False), region="us-east-1")
    gateway.runtime = runtime
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gateway(dict(SCOPE), receive, send))
    assert (runtime._under_way, runtime._body_bytes) == (0, 0)
    return (sent[0]["status"], json.loads(sent[1]["body"])) if sent else None


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a few idle clients could take all the room."""
    monkeypatch.setattr(gateway_module, "_BODY_SECONDS", 0.02)

    async def stall() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    assert answer(stall) == (408, {"Message": "The body of the request did not come."})


def test_a_client_that_goes_is_not_answered() -> None:
    """And makes room."""

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert answer(gone) is None


def test_no_more_is_read_than_may_be_sent() -> None:
    """The refusal comes as soon as the limit is passed, whatever else the client would send."""
    asked = 0

    async def endless() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(LARGEST_BODY // 4), "more_body": True}

    found = answer(endless)
    assert found is not None
    assert found[0] == 400
    assert "less than or equal to 6291456" in found[1]["Message"]
    assert asked == 5
