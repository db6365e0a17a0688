"""The scikit-learn image as the launcher starts it: training, the server over HTTP, what it refuses."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from free_ports import free_ports

from stagemaker.algorithms.sklearn import program, serving
from stagemaker.algorithms.sklearn.definition import TAGS
from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.models import Models
from stagemaker.contract.failure import FailureClass, read_failure
from stagemaker.contract.layout import Layout

COMMAND = [sys.executable, "-m", "stagemaker.algorithms.sklearn"]
FEATURES = np.random.default_rng(7).normal(size=(200, 3)).round(2).astype(np.float32)
MODEL = importlib.import_module("sklearn.linear_model").LinearRegression().fit(FEATURES, FEATURES @ [1, 2, 3])
INFERENCE = """
import joblib, os
def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
        """One request: status, content type, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type") or "", response.read()
        finally:
            connection.close()

    def wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.request("GET", "/execution-parameters")
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(self.log.read_text())


def environment(layout: Layout, **variables: str) -> dict[str, str]:
    """What the launcher gives a process that has no /opt/ml of its own."""
    return {**os.environ, "SAGEMAKER_BASE_DIR": str(layout.base), "STAGEMAKER_IMAGE_TAG": "1.2-1", **variables}


def packed(tmp_path: Path, code: str) -> Layout:
    """A model folder as the SDK's SKLearnModel packs it."""
    layout = Layout(tmp_path)
    (layout.model / "code").mkdir(parents=True)
    (layout.model / "code" / "inference.py").write_text(textwrap.dedent(code))
    (layout.model / "model.joblib").write_bytes(pickle.dumps(MODEL))  # joblib reads it too
    return layout


def start(layout: Layout) -> Server:
    """The server on a free port of loopback."""
    (port,) = free_ports(1)
    variables = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    log = layout.base / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*COMMAND, "serve"], env=environment(layout, **variables), stderr=output)
    return Server(port, process, log)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server over a linear model. SIGTERM ends it with 0."""
    running = start(packed(tmp_path_factory.mktemp("ml"), INFERENCE))
    try:
        running.wait()
        yield running
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0
    finally:
        running.process.kill()
        running.process.wait()


def test_serving_over_http(server: Server) -> None:
    """Each of many requests at once gets its own predictions; the log says which library stands behind the tag."""
    assert server.request("GET", "/ping") == (200, "", b"")
    assert server.request("GET", "/execution-parameters")[0] == 404
    expected = MODEL.predict(FEATURES)

    def ask(number: int) -> bool:
        rows = FEATURES[number : number + 2].tolist()
        status, kind, body = server.request("POST", "/invocations", json.dumps(rows).encode(), accept="text/csv")
        values = np.array(body.decode().split(), dtype=float)
        right = np.allclose(values, expected[number : number + 2], rtol=1e-4, atol=1e-4)
        return (status, kind) == (200, "text/csv; charset=utf-8") and right

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask, range(100)))
    assert "Image sagemaker-scikit-learn 1.2-1: the library here is scikit-learn " in server.log.read_text()


def test_a_single_csv_record_has_one_dimension(server: Server) -> None:
    """On AWS too: the image's input_fn squeezes it, and scikit-learn wants two dimensions. The log says so."""
    status, kind, body = server.request("POST", "/invocations", b"1,2,3", content_type="text/csv")
    assert (status, kind) == (500, "text/html")
    assert b"<title>500 Internal Server Error</title>" in body
    assert "Expected 2D array, got 1D array instead" in server.log.read_text()
    assert server.request("POST", "/invocations", b"1,2,3\n1,2,3", content_type="text/csv")[0] == 200


def test_syntax_error(tmp_path: Path) -> None:
    """Nothing ever listens, and the log names file and line."""
    running = start(packed(tmp_path, "def model_fn(:\n"))
    assert running.process.wait(timeout=60) == 1
    assert "SyntaxError" in running.log.read_text()
    assert 'inference.py", line 1' in running.log.read_text()


def test_the_end_of_a_server_is_the_end_of_its_workers(tmp_path: Path) -> None:
    """Also of one whose handler hangs, when the server was killed and could end nobody."""
    hanging = """
        import os, pathlib, time
        def model_fn(model_dir):
            pathlib.Path(model_dir, "part").write_text(str(os.getpid()))
            pathlib.Path(model_dir, "part").rename(pathlib.Path(model_dir, "hangs"))
            time.sleep(3600)
    """
    running = start(packed(tmp_path, hanging))
    hangs = tmp_path / "model" / "hangs"
    try:
        running.wait()
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _until(hangs.exists)
    finally:
        running.process.kill()
        running.process.wait()
    worker = int(hangs.read_text())
    _until(lambda: _is_gone(worker))


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_several_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One module, whose model_fn gets the folder of each model that SageMaker loads; errors have a traceback."""
    layout = packed(tmp_path, INFERENCE)
    for name, model in (("one", MODEL), ("two", type(MODEL)().fit(FEATURES, -FEATURES @ [1, 2, 3]))):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.joblib").write_bytes(pickle.dumps(model))
    (tmp_path / "models" / "empty").mkdir()
    running: list[Models] = []
    monkeypatch.setattr(http_server, "run", lambda service, _, models: running.append(models))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SM_MODEL_DIR", "")
    environment = {
        "SAGEMAKER_MULTI_MODEL": "true",
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    }
    try:
        assert serving.serve(layout, environment) == 0
    finally:
        sys.modules.pop("inference", None)

    async def scene() -> list[Answer]:
        async def ask(path: str, body: bytes, content_type: str = "application/json") -> Answer:
            return await running[0].answer("POST", path, "", Call(body, content_type))

        loaded = [
            await ask("/models", json.dumps({"model_name": name, "url": f"/opt/ml/models/{name}"}).encode())
            for name in ("one", "two", "empty")
        ]
        rows = "\n".join(",".join(map(str, row)) for row in FEATURES[:3].tolist()).encode()
        asked = [await ask(f"/models/{name}/invoke", rows, "text/csv") for name in ("one", "two")]
        return [*loaded, *asked, await ask("/models/one/invoke", b"1,2,3", "text/csv")]

    one, two, empty, first, second, wrong = asyncio.run(scene())
    assert [one.status, two.status, empty.status] == [200, 200, 500]
    values = np.array([json.loads(first.body), json.loads(second.body)])
    assert first.content_type == "application/json"
    assert np.allclose(values[0], MODEL.predict(FEATURES[:3]), rtol=1e-4, atol=1e-4)
    assert np.allclose(values[0], -values[1], rtol=1e-4, atol=1e-4)
    assert wrong.status == 500
    assert wrong.body.startswith(b"Expected 2D array, got 1D array instead")
    assert b"Traceback" in wrong.body


def test_training_without_a_program(tmp_path: Path) -> None:
    """The image has no algorithm of its own."""
    layout = Layout(tmp_path)
    layout.make()
    layout.hyperparameters.write_text('{"C": "1"}')
    done = subprocess.run([*COMMAND, "train"], env=environment(layout), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    failure = read_failure(layout, trust_class=True)
    assert failure.kind is FailureClass.ALGORITHM
    assert "sagemaker_program is missing" in failure.text


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but train and serve."""
    assert program.main(["predict"]) == 2
    assert "train|serve" in capsys.readouterr().err


def test_importing_the_definition_costs_no_library() -> None:
    """The service's side reads tags only."""
    code = "import sys, stagemaker.algorithms.sklearn.definition; print({'numpy', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert "1.2-1" in TAGS["sagemaker-scikit-learn"]
