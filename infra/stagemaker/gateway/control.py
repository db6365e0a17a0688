"""The stage's own paths, below `/_stagemaker/`: is it ready, and empty it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from stagemaker.wire.message import Reply, Request

_JSON = {"content-type": "application/json"}


class Control:
    """`GET /_stagemaker/health` and `POST /_stagemaker/reset`."""

    def __init__(self, reset: Callable[[], Awaitable[None]], *, allow_reset: bool) -> None:
        self._reset = reset
        self._allow_reset = allow_reset

    async def answer(self, request: Request) -> Reply:
        """404 for another path, 403 for a reset that the stage was not started to allow."""
        match request.method, request.path.removeprefix("/_stagemaker/"):
            case "GET", "health":
                return _reply(200, {"status": "ready"})
            case "POST", "reset":
                if not self._allow_reset:
                    return _reply(403, {"message": "This stage was not started with --allow-reset."})
                await self._reset()
                return _reply(200, {"status": "empty"})
            case _:
                return _reply(404, {"message": f"{request.method} {request.path} is not a path of the stage."})


def _reply(status: int, document: dict[str, str]) -> Reply:
    return Reply(status, _JSON, json.dumps(document).encode())
