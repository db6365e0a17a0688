"""The settings in force: request, container, defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec, ModelData
from stagemaker.jobs.spec import Program, S3Uri
from stagemaker.jobs.transform.settings import Settings
from stagemaker.jobs.transform.spec import Input, Output, Processing, Split, Strategy, TransformSpec


def spec(**members: Any) -> TransformSpec:
    """A job that leaves all to its container, unless `members` says otherwise."""
    container = ContainerSpec("primary", Program(("/serve",)), {"A": "b"}, ModelData(S3Uri("b", "m.tar.gz")))
    return TransformSpec(
        **{
            "name": "job",
            "arn": "arn",
            "region": "us-east-1",
            "input": Input(S3Uri("b", "in/"), "S3Prefix", "text/csv", gzip=True, split=Split.TF_RECORD),
            "output": Output(S3Uri("b", "out"), "text/csv", by_line=True),
            "processing": Processing("$[1:]", "$", join=True),
            "strategy": None,
            "max_payload_mb": None,
            "max_concurrent": None,
            "invocation_timeout": 600,
            "invocation_retries": 3,
            "capture": S3Uri("b", "c"),
            "instance_count": 2,
            "instance": InstanceSpec("us-east-1", (container,), Path("stage.json"), 1 << 30, namespaced=True),
            "stop_grace": 1.5,
            **members,
        }
    )


def test_what_the_runner_is_told_survives_the_file(tmp_path: Path) -> None:
    """All of it, also what is not set."""
    for told in (spec(), spec(strategy=Strategy.SINGLE, capture=None, max_payload_mb=0)):
        told.save(tmp_path / "spec.json")
        assert TransformSpec.load(tmp_path / "spec.json") == told


def test_request_goes_before_container_goes_before_defaults() -> None:
    """Each setting on its own."""
    assert Settings.of(spec(), {}) == Settings(1, 6, Strategy.MULTI)
    told = {"MaxConcurrentTransforms": 8, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}
    assert Settings.of(spec(), told) == Settings(8, 2, Strategy.SINGLE)
    asked = spec(max_concurrent=3, strategy=Strategy.MULTI)
    assert Settings.of(asked, told) == Settings(3, 2, Strategy.MULTI)
    assert Settings.of(spec(max_payload_mb=5), told) == Settings(8, 5, Strategy.SINGLE)


@pytest.mark.parametrize("nonsense", [0, -1, "8", None, True, 2.5, [1]])
def test_what_makes_no_sense_is_ignored(nonsense: object) -> None:
    """A container may say anything."""
    told = {"MaxConcurrentTransforms": nonsense, "BatchStrategy": nonsense, "MaxPayloadInMB": nonsense}
    assert Settings.of(spec(), told) == Settings(1, 6, Strategy.MULTI)


def test_no_more_than_100_megabytes_are_under_way() -> None:
    """What request and container say together may be more: then fewer requests go at a time."""
    assert Settings.of(spec(), {"MaxConcurrentTransforms": 64, "MaxPayloadInMB": 500}) == Settings(
        1, 100, Strategy.MULTI
    )
    assert Settings.of(spec(max_concurrent=100), {}).concurrent == 16
    assert Settings.of(spec(max_concurrent=4, max_payload_mb=0), {}).concurrent == 4


def test_limit_in_bytes() -> None:
    """0 is none, for objects that are not split."""
    assert Settings(1, 6, Strategy.MULTI).limit == 6 * 1024 * 1024
    unlimited = Settings(1, 0, Strategy.MULTI)
    assert unlimited.limit > 1 << 50
    assert unlimited.is_streamed(Split.NONE)
    assert not Settings(1, 6, Strategy.MULTI).is_streamed(Split.NONE)
