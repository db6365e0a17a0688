"""The handlers that the scikit-learn image brings, and what users' scripts import from its libraries."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stagemaker.algorithms.sklearn.serving import default_input_fn, default_output_fn, default_predict_fn
from stagemaker.algorithms.toolkit import shims
from stagemaker.algorithms.toolkit.conventions import SageMakerContainers
from stagemaker.algorithms.toolkit.encoding import UnsupportedFormatError


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """sagemaker_containers.beta.framework, as a program in the image finds it."""
    monkeypatch.syspath_prepend(shims.FOLDER)
    for name in [name for name in sys.modules if name.startswith("sagemaker_containers")]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("sagemaker_containers.beta.framework")


@pytest.mark.parametrize(
    ("body", "content_type", "values"),
    [
        ("[[1, 2], [3, 4]]", "application/json", [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", "text/csv", [[1, 2], [3, 4]]),
        ("1,2", "text/csv", [1, 2]),
        ("1\n2", "text/csv", [1, 2]),
        ("5", "text/csv", 5),
    ],
)
def test_text_becomes_float32(body: str, content_type: str, values: Any) -> None:
    """In the shape that it has; CSV loses dimensions of length 1."""
    array = default_input_fn(body, content_type)
    assert (array.dtype, array.tolist()) == (np.float32, values)


def test_text_that_is_no_number_is_refused() -> None:
    """A categorical column wants an input_fn of the user's."""
    with pytest.raises(ValueError, match="could not convert string to float"):
        default_input_fn("1,a\n2,b", "text/csv")
    with pytest.raises(UnsupportedFormatError, match="Content type text/csv; charset=utf-8 is not supported"):
        default_input_fn("1,2", "text/csv; charset=utf-8")


def test_predict_and_output() -> None:
    """predict, and a response in the accepted type."""

    class Doubles:
        def predict(self, data: Any) -> Any:
            return data * 2

    assert default_predict_fn(np.array([1]), Doubles()).tolist() == [2]
    conventions = SageMakerContainers()
    csv = conventions.answer(default_output_fn(np.array([[1.5, 2], [3, 4]]), "text/csv"), "text/csv")
    assert (csv.body, csv.content_type) == (b"1.5,2.0\n3.0,4.0\n", "text/csv; charset=utf-8")
    json = conventions.answer(default_output_fn(np.array(["no", "yes"]), "application/json"), "application/json")
    assert (json.body, json.content_type) == (b'["no", "yes"]', "application/json")
    with pytest.raises(UnsupportedFormatError):
        default_output_fn(np.array([1]), "application/x-recordio-protobuf")


def test_users_scripts_import_the_libraries_of_the_image(framework: ModuleType) -> None:
    """What AWS's inference-pipeline examples use: encoders and worker.Response."""
    response = framework.worker.Response(framework.encoders.encode([[1, 2]], "text/csv"), mimetype="text/csv")
    answer = SageMakerContainers().answer(response, "text/csv")
    assert (answer.status, answer.body, answer.content_type) == (200, b"1,2\n", "text/csv; charset=utf-8")
    assert framework.encoders.decode("[1]", framework.content_types.JSON).tolist() == [1]
    with pytest.raises(framework.errors.UnsupportedFormatError):
        framework.encoders.decode("", "a/b")


def test_a_response_has_a_status_and_headers(framework: ModuleType) -> None:
    """A handler may refuse a request in its own words."""
    response = framework.worker.Response("no", status=422, headers={"X-Reason": "age", "content-type": "a/b"})
    answer = SageMakerContainers().answer(response, "application/json")
    assert (answer.status, answer.body, answer.content_type, answer.headers) == (
        422,
        b"no",
        "a/b",
        (("x-reason", "age"),),
    )


@pytest.mark.parametrize("status", [201, "201", "201 CREATED"])
def test_a_status_may_be_text(framework: ModuleType, status: Any) -> None:
    """As the library's own response takes it."""
    assert SageMakerContainers().answer(framework.worker.Response(status=status), "application/json").status == 201


def test_what_is_not_there_is_refused_by_name(framework: ModuleType) -> None:
    """The examples import these without using them."""
    for module in (framework.env, framework.modules, framework.transformer):
        with pytest.raises(AttributeError, match="Stagemaker's images have no sagemaker_containers"):
            module.ServingEnv()
