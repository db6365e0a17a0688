"""Users' handlers behind the server: code, the model, requests one after another, hostile handlers."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tarfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stagemaker.algorithms.toolkit import code, serving, user_model
from stagemaker.algorithms.toolkit.conventions import ERROR_PAGE, Conventions, SageMakerContainers, SageMakerInference
from stagemaker.algorithms.toolkit.encoding import decode, encode
from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.handlers import Defaults, Handlers
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.serving import HandlerService
from stagemaker.algorithms.toolkit.user_module import load
from stagemaker.contract.layout import Layout

CONVENTIONS: dict[str, Conventions] = {"containers": SageMakerContainers(), "inference": SageMakerInference()}


def module(**functions: Any) -> ModuleType:
    """A user's module with a model_fn and these functions."""
    made = ModuleType("users")
    made.__dict__.update({"model_fn": lambda model_dir: f"model of {model_dir}", **functions})
    return made


def service(kind: str = "containers", environment: dict[str, str] | None = None, **functions: Any) -> HandlerService:
    """The handlers behind the server; defaults that decode, add one and encode."""
    defaults = Defaults(decode, lambda data, model: data + 1, lambda data, accept: (encode(data, accept), accept))
    parameters = functions.get("execution_parameters_fn")
    handlers = Handlers(module(**functions), defaults)
    return HandlerService(handlers, CONVENTIONS[kind], "/opt/ml/model", environment or {}, parameters)


def ask(
    made: HandlerService,
    body: bytes = b"[1, 2]",
    content_type: str | None = "application/json",
    accept: str | None = None,
) -> Answer:
    """One request."""
    return asyncio.run(made.invoke(Call(body, content_type, accept)))


def test_defaults_and_default_types() -> None:
    """Without headers both ways are JSON; SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT sets the answer's."""
    assert ask(service(), content_type=None) == Answer(200, b"[2, 3]", "application/json")  # type: ignore[arg-type] # HTTPStatus is an int
    csv = ask(service(environment={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}), accept="*/*")
    assert (csv.body, csv.content_type) == (b"2\n3\n", "text/csv; charset=utf-8")
    npy = ask(service(), b"1,2\n3,4", "text/csv", "application/x-npy")
    assert np.load(io.BytesIO(npy.body)).tolist() == [[2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize("kind", CONVENTIONS)
def test_each_handler_gets_what_the_one_before_returned(kind: str) -> None:
    """input_fn(body, type), predict_fn(data, model), output_fn(prediction, accept)."""
    made = service(
        kind,
        input_fn=lambda body, content_type: [body, content_type],
        predict_fn=lambda data, model: [*data, model],
        output_fn=lambda prediction, accept: (" ".join(map(str, [*prediction, accept])), "text/plain"),
    )
    answer = ask(made, b"\xff", "application/octet-stream", "text/x")
    assert answer.body == b"b'\\xff' application/octet-stream model of /opt/ml/model text/x"


@pytest.mark.parametrize("kind", CONVENTIONS)
def test_transform_fn_takes_the_place_of_the_three(kind: str) -> None:
    """transform_fn(model, body, type, accept); JSON and CSV bodies are text. Beside one of the three it is refused."""
    answer = ask(service(kind, transform_fn=lambda *arguments: (str(arguments), "text/plain")), b"1", "text/csv", "a/b")
    assert answer.body == b"('model of /opt/ml/model', '1', 'text/csv', 'a/b')"
    with pytest.raises(ValueError, match="Cannot use transform_fn"):
        service(kind, transform_fn=print, predict_fn=print)


def test_errors_of_both_libraries() -> None:
    """sagemaker-containers says nothing of the reason, sagemaker-inference the message and the traceback."""

    def predict_fn(_: Any, __: Any) -> Any:
        raise LookupError("no such column: churn")

    page = ask(service(predict_fn=predict_fn))
    assert (page.status, page.body, page.content_type) == (500, ERROR_PAGE, "text/html")
    told = ask(service("inference", predict_fn=predict_fn))
    assert told.status == 500
    assert told.body.startswith(b"no such column: churn\nTraceback (most recent call last):")
    assert b"LookupError" in told.body
    unsupported = ask(service("inference"), content_type="text/x")
    assert unsupported.status == 415
    assert unsupported.body.startswith(b"Content type text/x is not supported by this framework.")
    assert ask(service(), content_type="text/x").status == 500


@pytest.mark.parametrize("kind", CONVENTIONS)
@pytest.mark.parametrize(
    "output_fn",
    [
        lambda prediction, accept: object(),
        lambda prediction, accept: (object(), accept),
        lambda prediction, accept: ("only one",),
        lambda prediction, accept: (),
        lambda prediction, accept: {1, 2},
        lambda prediction: "too few arguments",
        lambda prediction, accept, context: "no context in these images",
        lambda prediction, accept: sys.exit("enough"),
    ],
)
def test_odd_handlers_fail_their_request_only(kind: str, output_fn: Callable[..., Any]) -> None:
    """A result that is no answer, another arity, an end of the interpreter: 500, and the next is served."""
    made = service(kind, output_fn=output_fn)

    async def twice() -> list[int]:
        call = Call(b"[1]", "application/json", None)
        return [(await made.invoke(call)).status, (await made.ping()).status, (await made.invoke(call)).status]

    assert asyncio.run(twice()) == [500, 200, 500]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[1, 2"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b""),
        ("application/json", b"[[1], [2, 3]]"),
        ("application/json", b"[" * 200_000),
        ("text/csv", b'1,"2'),
        ("text/csv", b"1,2\n3"),
        ("text/csv", b"1,2\n\n3,4"),
        ("application/x-npy", b""),
        ("application/x-npy", b"\x93NUMPY\x01\x00junk"),
        ("application/x-npy", b"cos\nsystem\n(S'echo pwned'\ntR."),
    ],
)
@pytest.mark.parametrize("kind", CONVENTIONS)
def test_garbage_is_an_error_of_its_request(kind: str, content_type: str, body: bytes) -> None:
    """What cannot be decoded ends in a 500, whatever it is."""
    assert ask(service(kind), body, content_type).status == 500


def test_pickles_are_not_read() -> None:
    """An NPY body of objects would run what the client put there."""
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    answer = ask(service("inference"), file.getvalue(), "application/x-npy")
    assert answer.status == 500
    assert b"allow_pickle" in answer.body


@pytest.mark.parametrize(
    ("result", "body", "content_type"),
    [
        ("text", b"text", "text/html; charset=utf-8"),
        (b"bytes", b"bytes", "text/html; charset=utf-8"),
        ({"b": 1, "a": [1, 2]}, b'{"a":[1,2],"b":1}\n', "application/json"),
        (("x", "text/csv"), b"x", "text/csv; charset=utf-8"),
        ((["a", b"b"], "image/png"), b"ab", "image/png"),
        ((None, "application/json"), b"", "application/json"),
    ],
)
def test_results_of_sagemaker_containers(result: Any, body: bytes, content_type: str) -> None:
    """As Flask takes what a view returns."""
    answer = ask(service(output_fn=lambda prediction, accept: result))
    assert (answer.status, answer.body, answer.content_type) == (200, body, content_type)


def test_results_of_sagemaker_inference() -> None:
    """Text and bytes have the accepted type; what is neither is JSON."""
    assert ask(service("inference", output_fn=lambda p, a: "x"), accept="text/csv").content_type == "text/csv"
    assert ask(service("inference", output_fn=lambda p, a: {"a": [1]})).body == b'{\n  "a": [\n    1\n  ]\n}'


def test_model_fn_is_called_once_and_before_ping_is_healthy() -> None:
    """Pings and requests that come while the model is loaded wait for the same call."""
    begin, calls = threading.Event(), []

    async def scene() -> list[int]:
        loop, called = asyncio.get_running_loop(), asyncio.Event()

        def model_fn(model_dir: str) -> str:
            calls.append(model_dir)
            loop.call_soon_threadsafe(called.set)
            begin.wait(30)
            return "model"

        made = service(model_fn=model_fn)
        asked = [asyncio.ensure_future(made.ping()) for _ in range(3)]
        asked.append(asyncio.ensure_future(made.invoke(Call(b"[1]"))))
        await called.wait()
        assert not any(task.done() for task in asked)
        begin.set()
        return [int((await task).status) for task in asked]

    assert asyncio.run(scene()) == [200, 200, 200, 200]
    assert calls == ["/opt/ml/model"]


def test_model_fn_that_fails(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ping is 500 and the log says why; later model_fn is tried again, as on AWS, and may succeed."""
    outcomes: list[Any] = [FileNotFoundError("model.joblib"), ValueError("no model"), SystemExit(3), "model"]

    def model_fn(_: str) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def scene(seconds: float) -> list[int]:
        monkeypatch.setattr(user_model, "_RETRY_AFTER", seconds)
        made = service(model_fn=model_fn)
        return [(await made.ping()).status, (await made.invoke(Call(b"[1]"))).status, (await made.ping()).status]

    assert asyncio.run(scene(3600)) == [500, 500, 500]
    assert len(outcomes) == 3
    assert asyncio.run(scene(-1)) == [500, 500, 200]
    assert "FileNotFoundError: model.joblib" in caplog.text


def test_no_model_fn(caplog: pytest.LogCaptureFixture) -> None:
    """There is no default: the ping fails and the log names what is missing."""
    made = HandlerService(Handlers(ModuleType("users"), Defaults(print, print, print)), SageMakerContainers(), "/m", {})
    assert asyncio.run(made.ping()).status == 500
    assert "Please provide a model_fn implementation." in caplog.text


def test_handlers_run_one_at_a_time() -> None:
    """Handlers need not be thread-safe: no two of them run at once, and each request gets its own answer."""
    inside: list[int] = []
    most: list[int] = []

    def predict_fn(data: Any, _: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.001)
        inside.pop()
        return data

    async def scene() -> list[bytes]:
        made = service(predict_fn=predict_fn)
        return [answer.body for answer in await asyncio.gather(*(made.invoke(Call(b"%d" % n)) for n in range(50)))]

    assert asyncio.run(scene()) == [b"%d" % n for n in range(50)]
    assert max(most) == 1


def test_waiting_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may wait are answered with 503 at once."""
    monkeypatch.setattr(serving, "_MAX_WAITING", 2)

    async def scene() -> list[int]:
        made = service()
        return [answer.status for answer in await asyncio.gather(*(made.invoke(Call(b"1")) for _ in range(4)))]

    assert sorted(asyncio.run(scene())) == [200, 200, 503, 503]


def test_execution_parameters() -> None:
    """404 unless the module has execution_parameters_fn; one that fails is a 500."""
    assert asyncio.run(service().execution_parameters()).status == 404
    made = service(execution_parameters_fn=lambda: {"MaxPayloadInMB": 1})
    assert asyncio.run(made.execution_parameters()).body == b'{"MaxPayloadInMB":1}\n'
    assert asyncio.run(service(execution_parameters_fn=lambda: 1 // 0).execution_parameters()).status == 500


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A container's tree with code packed into the model; sys.path and the modules are as before afterwards."""
    made = Layout(tmp_path / "ml")
    (made.model / "code").mkdir(parents=True)
    path, modules = list(sys.path), set(sys.modules)
    yield made
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(layout: Layout, **files: str) -> None:
    """Files of `/opt/ml/model/code`."""
    for name, text in files.items():
        (layout.model / "code" / f"{name}.py").write_text(textwrap.dedent(text))


def test_code_packed_with_the_model(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK makes of SKLearnModel: code/ in the model, both variables; modules beside it can be imported."""
    monkeypatch.setenv("SM_MODEL_DIR", "")
    write(layout, inference="import users_helper\nmodel_fn = users_helper.load", users_helper="def load(d): return d")
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    assert load(environment, layout).model_fn("x") == "x"
    assert (layout.code / "inference.py").is_file()


@pytest.mark.parametrize("form", ["file", "folder", "archive", "single", "s3"])
def test_places_of_the_code(layout: Layout, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, plain or by file://, an archive, one file, an archive in S3 as the SDK uploads it."""
    monkeypatch.setenv("SM_MODEL_DIR", "")
    write(layout, users_entry="here = True")
    file = layout.model / "code" / "users_entry.py"
    archive = tmp_path / "sourcedir.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(file, "users_entry.py")
    places = {
        "file": f"file://{file.parent}",
        "folder": str(file.parent),
        "archive": str(archive),
        "single": str(file),
        "s3": "s3://bucket/job/source/sourcedir.tar.gz",
    }
    downloads: list[str] = []

    def download(uri: str, target: Path) -> None:
        downloads.append(uri)
        shutil.copy(archive, target)

    monkeypatch.setattr(code, "_download", download)
    environment = {"SAGEMAKER_PROGRAM": "users_entry", "SAGEMAKER_SUBMIT_DIRECTORY": places[form]}
    for _ in range(2):  # a container that is started anew finds its code again
        assert load(environment, layout).here
    assert downloads == [places["s3"]] * 2 * (form == "s3")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def model_fn(", "SyntaxError"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("import sys; sys.exit(2)", "SystemExit: 2"),
        ("1 / 0", "ZeroDivisionError"),
        (
            "def model_fn(d): pass\ndef transform_fn(m, b, c, a): pass\ndef input_fn(b, c): pass",
            "Cannot use transform_fn",
        ),
    ],
)
def test_module_that_cannot_be_used(layout: Layout, text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what is wrong with it."""
    monkeypatch.setenv("SM_MODEL_DIR", "")
    write(layout, users_broken=text)
    environment = {"SAGEMAKER_PROGRAM": "users_broken.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    with pytest.raises((ClientError, ValueError), match=words):
        Handlers(load(environment, layout), Defaults(print, print, print))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "SAGEMAKER_PROGRAM is not set"),
        (
            {"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/nowhere"},
            "/opt/ml/nowhere does not exist",
        ),
        ({"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml"}, "/opt/ml holds the folder"),
        ({"SAGEMAKER_PROGRAM": "users_absent.py"}, "No module named 'users_absent'"),
    ],
)
def test_code_that_cannot_be_had(
    layout: Layout, environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named."""
    monkeypatch.setenv("SM_MODEL_DIR", "")
    with pytest.raises(ClientError, match=words):
        load(environment, layout)


def test_requirements_must_be_installed(layout: Layout) -> None:
    """Nothing comes from the internet: a missing package is named."""
    write(layout, users_entry="")
    (layout.model / "code" / "requirements.txt").write_text("numpy\nno-such-package-here==1\n")
    environment = {"SAGEMAKER_PROGRAM": "users_entry", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    with pytest.raises(ClientError, match="no-such-package-here"):
        load(environment, layout)
