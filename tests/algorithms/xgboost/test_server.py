"""The server: paths, limits, many requests at once, start and end."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from free_ports import free_ports

from stagemaker.algorithms.toolkit.http_server import App
from stagemaker.algorithms.xgboost import server
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.server import XGBoostService
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.layout import Layout

FEATURES = np.random.default_rng(23).normal(size=(4000, 3)).round(2).astype(np.float32)


def write_model(base: Path) -> xgboost.Booster:
    """A model folder below `base`."""
    matrix = xgboost.DMatrix(FEATURES, label=FEATURES[:, 0] > 0, nthread=1)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 5)
    (base / "model").mkdir(parents=True)
    (base / "model" / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    return booster


def csv_body(start: int, stop: int) -> bytes:
    """Records as CSV."""
    return "\n".join(",".join(map(str, row)) for row in FEATURES[start:stop].tolist()).encode()


def call(app: App, method: str, path: str, *chunks: bytes, **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request straight into the application."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks or (b"",))
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": names}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def app(tmp_path: Path) -> App:
    """The application over a model, two cores."""
    write_model(tmp_path)
    environment = {"STAGEMAKER_CPUS": "2"}
    inference = Inference(Predictor(tmp_path / "model", {}), Version.of_tag("3.2-0"), {})
    return App(XGBoostService(inference, environment, ThreadPoolExecutor(2)))


def test_ping_and_execution_parameters(app: App) -> None:
    """What SageMaker asks for before it sends anything."""
    assert call(app, "GET", "/ping") == (200, {b"content-length": b"0"}, b"")
    status, headers, body = call(app, "GET", "/execution-parameters")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert json.loads(body) == {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}


def test_other_paths_and_methods(app: App) -> None:
    """404 and 405."""
    assert call(app, "GET", "/models")[0] == 404
    assert call(app, "GET", "/invocations")[0] == 405
    assert call(app, "POST", "/ping")[0] == 405


def test_a_body_in_pieces(app: App) -> None:
    """Chunks belong together, and headers count whatever their order."""
    whole = call(app, "POST", "/invocations", csv_body(0, 3), content_type="text/csv")
    assert whole[0] == 200
    assert whole == call(app, "POST", "/invocations", csv_body(0, 3)[:5], csv_body(0, 3)[5:], content_type="text/csv")
    assert call(app, "POST", "/invocations") == (204, {}, b"")


def test_a_client_that_goes_away(app: App) -> None:
    """The request ends; nothing is predicted for it."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": "/invocations", "headers": []}, receive, send))
    assert sent[0]["status"] == 400


def test_large_bodies(tmp_path: Path) -> None:
    """6 MB by default, MAX_CONTENT_LENGTH up to 20 MB; beyond it 413."""
    write_model(tmp_path)
    inference = Inference(Predictor(tmp_path / "model", {}), Version.of_tag("3.2-0"), {})
    small = App(XGBoostService(inference, {"MAX_CONTENT_LENGTH": "300000"}, ThreadPoolExecutor(1)))
    body = csv_body(0, 4000)
    assert len(body) < 300_000
    assert call(small, "POST", "/invocations", body, content_type="text/csv")[0] == 200
    assert call(small, "POST", "/invocations", body, b"\n" * 200_000, content_type="text/csv")[0] == 413
    largest = App(XGBoostService(inference, {"MAX_CONTENT_LENGTH": "999999999"}, ThreadPoolExecutor(1)))
    parameters = json.loads(call(largest, "GET", "/execution-parameters")[2])
    assert parameters["MaxPayloadInMB"] == 20


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "Unable to load model"),
        ({"STAGEMAKER_IMAGE_TAG": "9.9-9"}, "XGBoost image tag '9.9-9' is not known"),
        ({"STAGEMAKER_IMAGE_TAG": "9.9-9", "SAGEMAKER_MULTI_MODEL": "true"}, "tag '9.9-9' is not known"),
        ({"SAGEMAKER_PROGRAM": "absent.py", "SAGEMAKER_MULTI_MODEL": "true"}, "absent.py cannot be imported"),
    ],
)
def test_what_cannot_be_served_does_not_start(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    reason: str,
) -> None:
    """Exit code 1 before anything listens: the endpoint fails its health check."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SM_MODEL_DIR", "")
    if environment:
        write_model(tmp_path)
    assert server.serve(Layout(tmp_path), environment) == 1
    assert reason in caplog.text + capfd.readouterr().err  # the second is the log of a worker


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[int, xgboost.Booster, subprocess.Popen[bytes]]]:
    """The program as the launcher starts it, on a free port of loopback."""
    booster = write_model(tmp_path)
    (port,) = free_ports(1)
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-m", "stagemaker.algorithms.xgboost", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_ping(port, process)
            yield port, booster, process
        finally:
            process.kill()


def _wait_for_ping(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if request(port, "GET", "/ping")[0] == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server did not start")


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One request over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_many_requests_at_once(address: tuple[int, xgboost.Booster, subprocess.Popen[bytes]]) -> None:
    """Small and large bodies of eight clients: each gets the predictions of its rows. SIGTERM ends it with 0."""
    port, booster, process = address
    expected = [str(value) for value in booster.predict(xgboost.DMatrix(FEATURES, nthread=1)).tolist()]

    def ask(number: int) -> bool:
        start, stop = (number, number + 1) if number % 4 else (0, 4000 - number)
        status, body = request(port, "POST", "/invocations", csv_body(start, stop), content_type="text/csv")
        return status == 200 and body.decode().split() == expected[start:stop]

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask, range(100)))
    process.terminate()
    assert process.wait(timeout=60) == 0
