"""Several models behind one server: the paths below `/models`, by which SageMaker loads and drops them.

Paths, members and status codes are those of "Custom Containers Contract for Multi-Model Endpoints" in the
developer guide; texts are those of AWS's open multi-model-server, on which its images are built.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from stagemaker.algorithms.toolkit.messages import Answer, Call

LOG = logging.getLogger(__name__)

MULTI_MODEL_VARIABLE = "SAGEMAKER_MULTI_MODEL"

_LIMIT = 100
"""How many models one answer of the list has at most."""
_OUT_OF_MEMORY = ("bad_alloc", "Cannot allocate memory", "Failed to allocate")
_TYPES: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "BadRequestException",
    HTTPStatus.NOT_FOUND: "ModelNotFoundException",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowedException",
    HTTPStatus.CONFLICT: "ConflictStatusException",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalServerException",
    HTTPStatus.INSUFFICIENT_STORAGE: "InsufficientStorageException",
}


class Model(Protocol):
    """One model, ready to answer."""

    async def invoke(self, call: Call) -> Answer:
        """Answer one request; nothing is raised."""
        ...


Load = Callable[[Path], Awaitable[Model]]
"""Reads the model of a folder; raises whatever it likes."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name that is taken; `model` is None while it is being loaded."""

    url: str
    model: Model | None


class Models:
    """The loaded models by name. Used on the event loop alone, so that a name is never taken twice."""

    def __init__(self, load: Load, located: Callable[[str], str]) -> None:
        """`located` finds a path under /opt/ml where the tree really lies."""
        self._load, self._located = load, located
        self._entries: dict[str, _Entry] = {}

    async def answer(self, method: str, path: str, query: str, call: Call) -> Answer:
        """Answer a request whose path is `/models` or below it; the escapes in it are decoded."""
        name = path.removeprefix("/models").strip("/")
        match method, name:
            case "POST", "":
                return await self._add(call.body)
            case "GET", "":
                return self._list(query)
            case "GET", _:
                return self._described(name)
            case "DELETE", _ if name:
                return self._remove(name)
            case "POST", _ if name.endswith("/invoke"):
                return await self._invoke(name.removesuffix("/invoke"), call)
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Requested method is not allowed, please refer to API document.")

    async def _add(self, body: bytes) -> Answer:
        try:
            document = json.loads(body)
            name, url = document["model_name"], document["url"]
        except (ValueError, TypeError, KeyError):
            return _refusal(HTTPStatus.BAD_REQUEST, "Parameters model_name and url are required.")
        if not (isinstance(name, str) and isinstance(url, str) and name):
            return _refusal(HTTPStatus.BAD_REQUEST, "Parameters model_name and url are required.")
        if name in self._entries:
            return _refusal(HTTPStatus.CONFLICT, f"Model {name} is already registered.")
        folder = self._located(url)
        if not os.path.exists(folder):  # noqa: PTH110, ASYNC240 - one look at a local disk
            return _refusal(HTTPStatus.NOT_FOUND, f"Model not found in model store: {url}")
        self._entries[name] = _Entry(url, None)
        try:
            model = await self._load(Path(folder))
        except Exception as error:
            LOG.exception("Model %s cannot be loaded from %s", name, url)
            del self._entries[name]
            if isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
                # SageMaker then unloads models that were not used for long, and tries again.
                return _refusal(HTTPStatus.INSUFFICIENT_STORAGE, f"Not enough memory to load model {name}")
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Failed to start workers")
        self._entries[name] = _Entry(url, model)
        return _json({"status": "Workers scaled"})

    def _list(self, query: str) -> Answer:
        asked = parse_qs(query)
        limit, start = _number(asked, "limit", _LIMIT), _number(asked, "next_page_token", 0)
        names = sorted(name for name, entry in self._entries.items() if entry.model is not None)
        page = names[start : start + min(limit or _LIMIT, _LIMIT)]
        document: dict[str, Any] = {"models": [_description(name, self._entries[name].url) for name in page]}
        if start + len(page) < len(names):
            document["nextPageToken"] = str(start + len(page))
        return _json(document)

    def _described(self, name: str) -> Answer:
        entry = self._entries.get(name)
        return _not_found(name) if entry is None or entry.model is None else _json(_description(name, entry.url))

    def _remove(self, name: str) -> Answer:
        entry = self._entries.get(name)
        if entry is None or entry.model is None:
            return _not_found(name)
        del self._entries[name]
        return _json({"status": f'Model "{name}" unregistered'})

    async def _invoke(self, name: str, call: Call) -> Answer:
        entry = self._entries.get(name)
        return _not_found(name) if entry is None or entry.model is None else await entry.model.invoke(call)


class MultiModelService:
    """What is behind the other paths where there are several models: it is healthy with none."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    async def ping(self) -> Answer:
        """200: it listens."""
        return Answer(HTTPStatus.OK)

    async def invoke(self, call: Call) -> Answer:
        """A request names its model, so there is none here."""
        return _refusal(HTTPStatus.NOT_FOUND, "Parameter model_name is required: invoke /models/{model_name}/invoke.")

    async def execution_parameters(self) -> Answer:
        """404: there are no batch transforms of several models."""
        return Answer(HTTPStatus.NOT_FOUND)


def _description(name: str, url: str) -> dict[str, str]:
    return {"modelName": name, "modelUrl": url}


def _number(query: Mapping[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [""])[0]
    return int(text) if text.isdecimal() else default


def _not_found(name: str) -> Answer:
    return _refusal(HTTPStatus.NOT_FOUND, f"Model not found: {name}")


def _refusal(status: HTTPStatus, message: str) -> Answer:
    return _json({"code": int(status), "type": _TYPES[status], "message": message}, status)


def _json(document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, json.dumps(document, indent=2).encode() + b"\n", "application/json")
