"""Any hyperparameters: the job trains, or says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagemaker.algorithms.xgboost.hyperparameters import ALIASES, TABLE, Kind
from stagemaker.algorithms.xgboost.ranges import Choice

OptMl = Any  # the helper of conftest.py

ODD = ["", "nan", "inf", "-inf", "-1", "0", "1", "2", "0.5", "1e30", "1e-30", "99999999999", "true", "[]", "()", "x,y"]


def sensible(name: str) -> st.SearchStrategy[str]:
    """Strings that are in the range of one hyperparameter, or close to it."""
    row = next(row for row in TABLE if row.name == name)
    if isinstance(row.range, Choice):
        choices = st.sampled_from([str(value) for value in row.range.values])
        if row.kind is Kind.COMMA_SEPARATED_LIST:
            return st.lists(choices, min_size=1, max_size=3).map(",".join)
        if row.kind is Kind.TUPLE:
            return st.lists(st.sampled_from([-1, 0, 1]), max_size=4).map(tuple).map(str)
        return choices
    if row.kind is Kind.NESTED_LIST:
        return st.lists(st.lists(st.integers(1, 3), max_size=3), max_size=3).map(str)
    numbers = ["1", "2", "3", "5"] if row.kind is Kind.INTEGER else ["0.1", "0.5", "0.9", "1", "1.5"]
    return st.sampled_from([number for number in numbers if float(number) in row.range])


def texts(name: str) -> st.SearchStrategy[str]:
    """Mostly sensible strings, one in thirty odd."""
    return st.integers(0, 29).flatmap(lambda luck: st.sampled_from(ODD) if luck == 0 else sensible(name))


NAMES = [row.name for row in TABLE if row.name not in {"num_round", "silent", "objective", "num_class"}]
OPTIONS = st.lists(st.sampled_from(NAMES), max_size=6, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: texts(name) for name in names})
)
TASKS = texts("objective").map(
    lambda objective: {"objective": objective, **({"num_class": "4"} if objective.startswith("multi:") else {})}
)
HYPERPARAMETERS = st.builds(lambda task, options: {**task, **options}, TASKS | st.just({}), OPTIONS)


@pytest.mark.parametrize("rows", ["binary", "counts"])
def test_a_job_trains_or_is_refused_for_a_stated_reason(new_job: Callable[[], OptMl], rows: str) -> None:
    """In any image, never a crash: success leaves a model, failure a sentence of AWS's or of the library's."""
    labels = [row % 2 for row in range(12)] if rows == "binary" else [row % 4 for row in range(12)]
    text = "".join(f"{label},{row},{row * 7 % 5},{row % 3}\n" for row, label in enumerate(labels))
    opt_ml = new_job().channel("train", text).channel("validation", text)
    trained: list[bool] = []

    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        hyperparameters=HYPERPARAMETERS,
        num_round=st.sampled_from(["1", "2", "3"]),
        tag=st.sampled_from(["3.2-0", "1.7-1", "1.2-2", "0.90-2", "latest"]),
    )
    def check(hyperparameters: dict[str, str], num_round: str, tag: str) -> None:
        for file in opt_ml.layout.model.iterdir():
            file.unlink()
        outcome = opt_ml.run({"num_round": num_round, **hyperparameters}, tag)
        models = list(opt_ml.layout.model.iterdir())
        trained.append(outcome.code == 0)
        if outcome.code == 0:
            assert outcome.reason == ""
            assert models
        else:
            assert outcome.reason.startswith(("ClientError: ", "AlgorithmError: ")), json.dumps(hyperparameters)
            assert "framework error" not in outcome.reason, outcome.reason
            assert models == []

    check()
    assert 0.2 < sum(trained) / len(trained) < 0.9


def test_aliases_do_not_hide_names() -> None:
    """No alias is itself a name of the table."""
    assert not set(ALIASES) & {row.name for row in TABLE}
