"""Worker processes: one request at a time in each, and what becomes of one that dies or hangs."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stagemaker.algorithms.toolkit import serving, user_module, workers
from stagemaker.algorithms.toolkit.conventions import SageMakerContainers
from stagemaker.algorithms.toolkit.encoding import decode, encode
from stagemaker.algorithms.toolkit.handlers import Defaults
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.serving import PooledService
from stagemaker.algorithms.toolkit.worker_messages import Assignment
from stagemaker.algorithms.toolkit.workers import Worker
from stagemaker.contract.layout import Layout

MODULE = """
import os, pathlib, signal, time

def model_fn(model_dir):
    with open(os.path.join(model_dir, "loads"), "a") as file:
        file.write("x")
    return pathlib.Path(model_dir)

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    if data == "pid":
        return os.getpid()
    if data == "die":
        os._exit(3)
    if data == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if data == "meet":
        (model / f"came-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(model.glob("came-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(list(model.glob("came-*")))
    return data.upper()

def output_fn(prediction, accept):
    return str(prediction), "text/plain"
"""


class Scene:
    """Workers over MODULE."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.model.mkdir()
        self.layout.code.mkdir()
        self.life, self.end = os.pipe()
        self.workers: list[Worker] = []

    def write(self, text: str) -> None:
        """The user's module."""
        (self.layout.code / "users_workers.py").write_text(textwrap.dedent(text))

    def worker(self, timeout: float = 60) -> Worker:
        """A worker that was started."""
        path = user_module.import_path(self.layout)
        defaults = Defaults(decode, print, encode)
        assignment = Assignment(self.layout, defaults, SageMakerContainers(), None, path)
        environment = {"SAGEMAKER_PROGRAM": "users_workers.py"}
        made = Worker(assignment, environment, self.life, timeout)
        self.workers.append(made)
        made.start()
        return made

    @property
    def loads(self) -> int:
        """How often model_fn was called, in all processes."""
        return len((self.layout.model / "loads").read_text())

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.stop()
        os.close(self.life)
        os.close(self.end)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene with the module above."""
    made = Scene(tmp_path)
    made.write(MODULE)
    yield made
    made.close()


def say(text: str) -> Call:
    """A request."""
    return Call(text.encode(), "text/csv")


def test_a_worker_answers(scene: Scene) -> None:
    """In another process, with the model loaded once."""
    worker = scene.worker()
    assert worker.is_ready()
    assert not worker.loaded
    assert worker.load()
    assert worker.answer(say("a")) == Answer(200, b"A", "text/plain; charset=utf-8")  # type: ignore[arg-type] # HTTPStatus is an int
    assert worker.answer(say("pid")).body != str(os.getpid()).encode()
    assert worker.execution_parameters().status == 404
    assert scene.loads == 1


@pytest.mark.parametrize(("death", "code"), [("die", 3), ("killed", -9)])
def test_a_worker_that_dies_is_replaced(scene: Scene, death: str, code: int, caplog: pytest.LogCaptureFixture) -> None:
    """The request that it died of is answered with 502, and the next one by another process with a model of its own."""
    worker = scene.worker()
    assert worker.is_ready()
    first = worker.answer(say("pid")).body
    answer = worker.answer(say(death))
    assert f"A worker has ended with exit code {code}" in caplog.text
    assert (answer.status, answer.content_type) == (502, "text/html")
    assert b"502 Bad Gateway" in answer.body
    assert not worker.loaded
    assert worker.answer(say("pid")).body not in {first, b""}
    assert (worker.loaded, scene.loads) == (True, 2)


def test_a_worker_that_died_idle_costs_no_request(scene: Scene) -> None:
    """It is replaced before the next request is handed on."""
    worker = scene.worker()
    assert worker.is_ready()
    pid = int(worker.answer(say("pid")).body)
    process = psutil.Process(pid)
    process.kill()
    assert worker._process is not None
    worker._process.wait()
    assert int(worker.answer(say("pid")).body) != pid


def test_a_handler_that_hangs_is_ended(scene: Scene) -> None:
    """After the time that a request may take: 504, whatever the handler does to SIGTERM, and the next is answered."""
    worker = scene.worker()
    assert worker.is_ready()
    assert worker.load()
    pid = int(worker.answer(say("pid")).body)
    worker._timeout = 0.2
    assert worker.answer(say("hang")).status == 504
    assert not psutil.pid_exists(pid)
    worker._timeout = 60
    assert worker.answer(say("b")).body == b"B"


def test_an_idle_worker_ends_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its module has registered for the end is done."""
    monkeypatch.setattr(workers, "_END", 60.0)
    scene.write(MODULE + "\nimport atexit; atexit.register(pathlib.Path(os.environ['SM_MODEL_DIR'], 'bye').touch)\n")
    worker = scene.worker()
    assert worker.is_ready()
    worker.interrupt()  # it is idle: nothing happens
    worker.stop()
    assert (scene.layout.model / "bye").exists()


def test_a_module_that_cannot_be_imported(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    """The worker is not ready, at its start and at each later one: its requests are answered with 502."""
    scene.write("def model_fn(:")
    worker = scene.worker()
    assert not worker.is_ready()
    assert "SyntaxError" in capfd.readouterr().err
    assert not worker.load()
    assert worker.answer(say("a")).status == 502


def test_workers_share_the_requests(scene: Scene) -> None:
    """Two requests that wait for each other are in two processes, and both models were loaded by one ping."""
    pair = [scene.worker(), scene.worker()]
    assert all(worker.is_ready() for worker in pair)
    service = PooledService(pair, 60)

    async def meet() -> list[bytes]:
        assert (await service.ping()).status == 200
        assert scene.loads == 2
        return [answer.body for answer in await asyncio.gather(*(service.invoke(say("meet")) for _ in range(2)))]

    assert asyncio.run(meet()) == [b"2", b"2"]


def test_a_request_that_waits_too_long(scene: Scene) -> None:
    """504; the ping meanwhile is healthy at once, for it waits for nobody."""
    worker = scene.worker()
    assert worker.is_ready()
    service = PooledService([worker], 0.2)
    worker._timeout = 5

    async def wait() -> list[int]:
        assert (await service.ping()).status == 200
        hanging = [asyncio.ensure_future(service.invoke(say("hang"))) for _ in range(2)]
        await asyncio.sleep(0)
        return [(await service.ping()).status, *[(await task).status for task in hanging]]

    assert asyncio.run(wait()) == [200, 504, 504]
    worker.interrupt()
    service.close(wait=True)


@pytest.mark.parametrize(
    "environment",
    [
        {"SAGEMAKER_MODEL_SERVER_WORKERS": "0"},
        {"SAGEMAKER_MODEL_SERVER_WORKERS": "many"},
        {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "long"},
    ],
)
def test_settings_that_are_no_numbers(scene: Scene, environment: dict[str, str]) -> None:
    """They end the program before anything is started, as in AWS's image."""
    settings = {"SAGEMAKER_PROGRAM": "users_workers.py", **environment}
    assert serving.serve(scene.layout, settings, Defaults(decode, print, encode), SageMakerContainers()) == 1


def test_the_number_of_workers() -> None:
    """What the user says, else the container's share of the cores, else one."""
    count = serving._count
    assert [count({}), count({"STAGEMAKER_CPUS": "2"})] == [1, 2]
    assert count({"STAGEMAKER_CPUS": "2", "SAGEMAKER_MODEL_SERVER_WORKERS": "3"}) == 3
