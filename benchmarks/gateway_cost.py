"""CPU of a small S3 call through the gateway with `enforce`, beside the backing alone, in one process."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from measure import Comparison, compare
from stagemaker.app import Stage
from stagemaker.identity.keys import KeyFile
from stagemaker.settings import Settings
from stagemaker.state import StateFolder

CALLS = 400
HOST = "127.0.0.1:4566"
BODY = b"x" * 4096

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def signed(method: str, path: str, body: bytes, credentials: Credentials) -> dict[str, Any]:
    """An ASGI scope with botocore's signature."""
    request = AWSRequest(method, f"http://{HOST}{path}", data=body, headers={"host": HOST})
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    headers = {**{name.lower(): value for name, value in request.headers.items()}, "content-length": str(len(body))}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 4566),
    }


async def call(application: Application, scope: dict[str, Any], body: bytes = b"") -> int:
    """One call; its status."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await application(scope, receive, send)
    return status


async def measure(folder: Path) -> Comparison:
    """CPU seconds of `CALLS` GETs of 4 KB."""
    state = StateFolder(folder)
    state.prepare()
    stage = Stage(Settings(folder), state, f"http://{HOST}")
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    inbox.put_nowait({"type": "lifespan.startup"})
    living = asyncio.create_task(stage({"type": "lifespan"}, inbox.get, outbox.put))
    await outbox.get()
    keys = KeyFile(state.keys).read()
    credentials = Credentials(keys.learner.access_key_id, keys.learner.secret_access_key)
    for path, body in (("/bench", b""), ("/bench/key", BODY)):
        assert await call(stage, signed("PUT", path, body, credentials), body) == 200
    scope = signed("GET", "/bench/key", b"", credentials)
    backing = stage.backing

    async def cpu(application: Application) -> float:
        start = time.process_time()
        for _ in range(CALLS):
            assert await call(application, dict(scope)) == 200
        return time.process_time() - start

    pairs = [(await cpu(stage), await cpu(backing)) for _ in range(6)]
    inbox.put_nowait({"type": "lifespan.shutdown"})
    await living
    turns = iter([time for pair in pairs for time in pair])
    return compare(
        f"CPU of {CALLS} S3 GETs of 4 KB through the gateway, beside the backing alone",
        lambda: next(turns),
        lambda: next(turns),
    )


def run() -> Comparison:
    """The comparison; its baseline is the backing without the gateway."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder) / "state"))


if __name__ == "__main__":
    result = run()
    print(result.row())
    print(f"the gateway's own cost: {(result.ours - result.baseline) / CALLS * 1000:.2f} ms of CPU a call")
