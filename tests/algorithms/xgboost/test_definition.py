"""The data module that the service's side imports."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from stagemaker.algorithms.xgboost.definition import METRIC_DEFINITIONS, METRICS, REPOSITORIES, TAGS

LINE = "[12]#011train-auc:0.91000#011train-rmse:1.25#011validation-auc:0.81500#011validation-rmse:1.5e-05"


def definition(name: str) -> str:
    """The Regex of a metric."""
    return dict(METRIC_DEFINITIONS)[name]


def test_every_metric_has_a_train_and_a_validation_definition() -> None:
    """Names are unique and cover the whole table, within the limits of the API."""
    names = [name for name, _ in METRIC_DEFINITIONS]
    assert sorted(names) == sorted(f"{part}:{metric}" for part in ("train", "validation") for metric in METRICS)
    assert len(METRICS) == len(set(METRICS)) == 33
    assert all(len(regex) <= 500 for _, regex in METRIC_DEFINITIONS)


def test_the_regexes_are_those_of_aws() -> None:
    """Letter by letter, as DescribeTrainingJob shows them."""
    assert definition("train:mae") == r".*\[[0-9]+\].*#011train-mae:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"
    assert definition("validation:aucpr").startswith(r".*\[[0-9]+\].*#011validation-aucpr:(")


@pytest.mark.parametrize(
    ("name", "value"),
    [("train:auc", "0.91000"), ("train:rmse", "1.25"), ("validation:auc", "0.81500"), ("validation:rmse", "1.5e-05")],
)
def test_each_metric_of_a_line_is_found(name: str, value: str) -> None:
    """Whatever stands before and after it, and only its number."""
    found = re.search(definition(name), LINE)
    assert found is not None
    assert found[1] == value


def test_other_lines_and_metrics_do_not_match() -> None:
    """A metric that the line does not have, one that is no number, and a line with real tabs."""
    assert re.search(definition("validation:error"), LINE) is None
    assert re.search(definition("train:map"), "[0]#011train-map:nan") is None
    assert re.search(definition("train:auc"), LINE.replace("#011", "\t")) is None


def test_each_repository_has_tags() -> None:
    """The service resolves an image by repository name and tag."""
    assert set(TAGS) == set(REPOSITORIES)
    assert "3.2-0" in TAGS["sagemaker-xgboost"]
    assert TAGS["xgboost"] == ("1", "latest")


@pytest.mark.parametrize("module", ["definition", "program"])
def test_importing_costs_no_library(module: str) -> None:
    """Neither the data module nor the validation of a request imports numpy, scipy or xgboost."""
    code = (
        f"import sys, stagemaker.algorithms.xgboost.{module}; print({{'numpy', 'scipy', 'xgboost'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
