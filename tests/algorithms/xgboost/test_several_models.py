"""Several models behind one server: SageMaker's calls below `/models`."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.http_server import App
from stagemaker.algorithms.xgboost import server
from stagemaker.algorithms.xgboost.predictor import Model
from stagemaker.contract.layout import Layout

FEATURES = np.random.default_rng(5).normal(size=(50, 3)).round(2).astype(np.float32)
BODY = "\n".join(",".join(map(str, row)) for row in FEATURES.tolist()).encode()


class Endpoint:
    """An application with two models on disk, and requests to it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.boosters: dict[str, xgboost.Booster] = {}
        for number, name in enumerate(("pickled_model", "saved_booster")):
            matrix = xgboost.DMatrix(FEATURES, label=FEATURES[:, number] > 0, nthread=1)
            booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 3)
            content = pickle.dumps(booster) if name == "pickled_model" else bytes(booster.save_raw("ubj"))
            self.write(name, content)
            self.boosters[name] = booster
        self.app: App

    def write(self, name: str, content: bytes) -> None:
        """Put a model's file where SageMaker would unpack it."""
        folder = self.base / "models" / name / "model"
        folder.mkdir(parents=True)
        (folder / "xgboost-model").write_bytes(content)

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and body, as JSON where it says so."""
        target, _, query = path.partition("?")
        return asyncio.run(self._call(method, target, query, body, headers))

    async def _call(self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": names}
        await self.app(scope, receive, send)
        is_json = dict(sent[0]["headers"]).get(b"content-type") == b"application/json"
        return sent[0]["status"], json.loads(sent[1]["body"]) if is_json else sent[1]["body"]

    def load(self, name: str) -> tuple[int, Any]:
        """POST /models, as SageMaker words it."""
        return self.call("POST", "/models", json.dumps({"model_name": name, "url": url(name)}).encode())


def url(name: str) -> str:
    """Where SageMaker says that a model is."""
    return f"/opt/ml/models/{name}/model"


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The program as a multi-model endpoint starts it, without a socket."""
    made = Endpoint(tmp_path)
    monkeypatch.setattr(http_server, "run", lambda service, _, models: setattr(made, "app", App(service, models)))
    assert server.serve(Layout(tmp_path), {"SAGEMAKER_MULTI_MODEL": "true", "STAGEMAKER_CPUS": "1"}) == 0
    return made


def test_an_endpoint_without_models_is_healthy(endpoint: Endpoint) -> None:
    """Nothing is loaded at the start."""
    assert endpoint.call("GET", "/ping")[0] == 200
    assert endpoint.call("GET", "/models") == (200, {"models": []})


def test_load_invoke_and_unload(endpoint: Endpoint) -> None:
    """Two models beside one another; the texts are those of AWS's server."""
    for name in endpoint.boosters:
        assert endpoint.load(name) == (200, {"status": "Workers scaled"})
    for name, booster in endpoint.boosters.items():
        status, body = endpoint.call("POST", f"/models/{name}/invoke", BODY, content_type="text/csv")
        expected = booster.predict(xgboost.DMatrix(FEATURES, nthread=1)).tolist()
        assert (status, body.decode()) == (200, ",".join(map(str, expected)))
        assert endpoint.call("GET", f"/models/{name}") == (200, {"modelName": name, "modelUrl": url(name)})
    assert endpoint.call("DELETE", "/models/pickled_model") == (200, {"status": 'Model "pickled_model" unregistered'})
    gone = {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: pickled_model"}
    assert endpoint.call("POST", "/models/pickled_model/invoke", BODY, content_type="text/csv") == (404, gone)
    assert endpoint.call("GET", "/models/pickled_model") == (404, gone)
    assert endpoint.call("DELETE", "/models/pickled_model") == (404, gone)
    assert endpoint.call("POST", "/models/saved_booster/invoke", BODY, content_type="text/csv")[0] == 200
    assert endpoint.load("pickled_model")[0] == 200


def test_a_name_is_taken_once(endpoint: Endpoint) -> None:
    """409, also while the first is being loaded."""
    taken = {
        "code": 409,
        "type": "ConflictStatusException",
        "message": "Model saved_booster is already registered.",
    }
    body = json.dumps({"model_name": "saved_booster", "url": url("saved_booster")}).encode()

    async def both() -> list[tuple[int, Any]]:
        return await asyncio.gather(*(endpoint._call("POST", "/models", "", body, {}) for _ in range(2)))

    assert asyncio.run(both()) == [(200, {"status": "Workers scaled"}), (409, taken)]
    assert endpoint.load("saved_booster") == (409, taken)


def test_pages(endpoint: Endpoint) -> None:
    """By limit and next_page_token, in the order of the names."""
    for name in endpoint.boosters:
        endpoint.load(name)
    first, second = ({"modelName": name, "modelUrl": url(name)} for name in sorted(endpoint.boosters))
    assert endpoint.call("GET", "/models?limit=1") == (200, {"models": [first], "nextPageToken": "1"})
    assert endpoint.call("GET", "/models?limit=1&next_page_token=1") == (200, {"models": [second]})
    assert endpoint.call("GET", "/models?limit=none&next_page_token=-1") == (200, {"models": [first, second]})
    assert endpoint.call("GET", "/models?next_page_token=9") == (200, {"models": []})


def test_what_cannot_be_loaded(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """404 for an absent folder, 500 for a model that is none, 507 when memory is short; the name stays free."""
    assert endpoint.load("absent") == (
        404,
        {
            "code": 404,
            "type": "ModelNotFoundException",
            "message": f"Model not found in model store: {url('absent')}",
        },
    )
    endpoint.write("broken", b"no model")
    failed = {"code": 500, "type": "InternalServerException", "message": "Failed to start workers"}
    assert endpoint.load("broken") == (500, failed)
    assert endpoint.load("broken") == (500, failed)

    def short(_: Path) -> Model:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Model, "load", short)
        assert endpoint.load("saved_booster")[0] == 507
    assert endpoint.load("saved_booster")[0] == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model_name": "a"}', b'{"model_name": 1, "url": "/"}', b"\xff"])
def test_requests_that_name_no_model(endpoint: Endpoint, body: bytes) -> None:
    """400, and no trace of them."""
    assert endpoint.call("POST", "/models", body)[0] == 400
    assert endpoint.call("GET", "/models") == (200, {"models": []})


def test_other_methods_and_paths(endpoint: Endpoint) -> None:
    """405 below /models; a request must name its model."""
    for method, path in [("PUT", "/models/a"), ("DELETE", "/models"), ("PATCH", "/models"), ("POST", "/models/a")]:
        assert endpoint.call(method, path)[0] == 405
    assert endpoint.call("POST", "/invocations", BODY, content_type="text/csv")[0] == 404
    assert endpoint.call("GET", "/execution-parameters")[0] == 404
    assert endpoint.call("GET", "/modelsx")[0] == 404


def test_errors_of_a_model_are_its_own(endpoint: Endpoint) -> None:
    """The same status codes and texts as on /invocations, and the limit of a body."""
    endpoint.load("saved_booster")
    invoke = "/models/saved_booster/invoke"
    assert endpoint.call("POST", invoke) == (204, b"")
    assert endpoint.call("POST", invoke, b"{}", content_type="application/json")[0] == 415
    assert endpoint.call("POST", invoke, b"1,2,3,4", content_type="text/csv")[0] == 400
    assert endpoint.call("POST", invoke, b"1,2,3", content_type="text/csv", accept="text/html")[0] == 406
    assert endpoint.call("POST", invoke, b"1" * (7 << 20), content_type="text/csv")[0] == 413


def test_models_of_a_users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """model_fn gets each model's own folder; one that fails leaves the name free."""
    made = Endpoint(tmp_path)
    code = tmp_path / "code"
    code.mkdir()
    (code / "several_handlers.py").write_text(
        "import os\n"
        "def model_fn(folder):\n"
        "    if 'bad' in folder: raise RuntimeError('bad')\n"
        "    return os.path.relpath(folder, os.environ['SEVERAL_BASE'])\n"
        "def transform_fn(model, body, content_type, accept):\n"
        "    return model + ' ' + body.decode(), 'text/plain'\n"
    )
    (tmp_path / "models" / "bad").mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SM_MODEL_DIR", "")
    monkeypatch.setenv("SEVERAL_BASE", str(tmp_path))
    monkeypatch.setattr(http_server, "run", lambda service, _, models: setattr(made, "app", App(service, models)))
    environment = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_PROGRAM": "several_handlers.py"}
    assert server.serve(Layout(tmp_path), environment) == 0

    async def requests() -> list[tuple[int, Any]]:
        answers = []
        for name in ("saved_booster", "bad"):
            path = "" if name == "bad" else "/model"
            document = json.dumps({"model_name": name, "url": f"/opt/ml/models/{name}{path}"}).encode()
            answers.append(await made._call("POST", "/models", "", document, {}))
        answers.append(await made._call("POST", "/models/saved_booster/invoke", "", b"hello", {}))
        return answers

    loaded, failed, invoked = asyncio.run(requests())
    assert loaded == (200, {"status": "Workers scaled"})
    assert failed[0] == 500
    assert invoked == (200, b"models/saved_booster/model hello")
