"""Whatever comes and whatever handlers return: there is an answer, and it is one that HTTP can carry."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagemaker.algorithms.sklearn.serving import default_input_fn, default_output_fn
from stagemaker.algorithms.toolkit.conventions import Conventions, SageMakerContainers, SageMakerInference
from stagemaker.algorithms.toolkit.handlers import Defaults, Handlers
from stagemaker.algorithms.toolkit.http_server import App
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.user_model import UserModel

CONVENTIONS = [SageMakerContainers(), SageMakerInference()]
TYPES = st.sampled_from([None, "", "*/*", "application/json", "text/csv", "application/x-npy", "a/b", "text/csv; a=b"])
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='0123456789.,-eE[]{}"\n nulNaInf', max_size=200).map(str.encode),
    st.binary(max_size=100).map(lambda rest: b"\x93NUMPY\x01\x00" + rest),
)
RESULTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner, inner) | st.fixed_dictionaries({"a": inner}),
    max_leaves=4,
)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def model(conventions: Conventions, **functions: Any) -> UserModel:
    """A model that gives back what it got, unless functions replace that."""
    module = ModuleType("users")
    module.__dict__.update({"model_fn": lambda model_dir: None, **functions})
    defaults = Defaults(default_input_fn, lambda data, _: data, default_output_fn)
    return UserModel(Handlers(module, defaults), conventions, "/opt/ml/model", {})


class Fixed:
    """A service that has one answer."""

    max_length = 1000

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def ping(self) -> Answer:
        """It."""
        return self._answer

    async def execution_parameters(self) -> Answer:
        """It."""
        return self._answer

    async def invoke(self, call: Call) -> Answer:
        """It."""
        return self._answer


def request(answer: Answer, method: str = "GET", path: str = "/ping", *bodies: bytes) -> tuple[int, Any, bytes]:
    """One request to a server with this answer: status, headers, body."""
    chunks = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages = [*chunks, {"type": "http.request"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(App(Fixed(answer))({"type": "http", "method": method, "path": path, "headers": []}, receive, send))
    return sent[0]["status"], sent[0]["headers"], sent[1]["body"]


@pytest.mark.parametrize("conventions", CONVENTIONS)
@QUICK
@given(body=BODIES, content_type=TYPES, accept=TYPES)
def test_any_request_has_an_answer(
    conventions: Conventions, body: bytes, content_type: str | None, accept: str | None
) -> None:
    """200 with a body of the type that was asked for, or an error."""
    answer = model(conventions).answer(Call(body, content_type, accept))
    assert answer.status in {HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    assert request(answer)[0] == answer.status


@pytest.mark.parametrize("conventions", CONVENTIONS)
@QUICK
@given(result=RESULTS)
def test_any_result_is_an_answer(conventions: Conventions, result: Any) -> None:
    """A handler may return anything: bytes go out as they are, nonsense is a 500."""
    answer = model(conventions, transform_fn=lambda *_: result).answer(Call(b"", "application/json"))
    assert answer.status in {HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR}
    if isinstance(result, bytes):
        assert answer.body == result
    assert isinstance(answer.body, bytes)
    status, headers, body = request(answer)
    assert (status, body) == (answer.status, answer.body)
    assert all(b"\n" not in name + value and b"\r" not in name + value for name, value in headers)


def test_a_handler_cannot_write_headers_of_its_own_into_a_type() -> None:
    """A line break in a content type would end the header."""
    answer = Answer(HTTPStatus.OK, b"x", "text/csv\r\nSet-Cookie: a=b", (("x-own", "a\nb"),))
    _, headers, _ = request(answer)
    assert dict(headers) == {
        b"content-length": b"1",
        b"content-type": b"text/csv??Set-Cookie: a=b",
        b"x-own": b"a?b",
    }


def test_paths_methods_and_sizes() -> None:
    """404 and 405, and 413 as soon as a body is too large, whole or in pieces."""
    answer = Answer(HTTPStatus.OK, b"x", "a/b")
    assert request(answer, "GET", "/")[0] == 404
    assert request(answer, "GET", "/invocations")[0] == 405
    assert request(answer, "POST", "/invocations", b"x" * 1000)[0] == 200
    assert request(answer, "POST", "/invocations", b"x" * 1001)[0] == 413
    assert request(answer, "POST", "/invocations", *[b"x" * 300] * 4)[0] == 413
