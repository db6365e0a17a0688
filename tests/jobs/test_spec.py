"""What the server tells the runner, across versions."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs.spec import (
    ChannelSource,
    Checkpoints,
    FileSystemChannel,
    MetricDefinition,
    Program,
    S3Uri,
    SpecError,
    TrainingSpec,
)

SPEC = TrainingSpec(
    name="job",
    arn="arn:aws:sagemaker:us-east-1:123456789012:training-job/job",
    region="us-east-1",
    program=Program(("train",), {"A": "b"}, trusted=True),
    hyperparameters={"eta": "0.1"},
    channels=(ChannelSource(ChannelConfig("train", "text/csv"), S3Uri("b", "in/"), attributes=("a", "b")),),
    output=S3Uri("b", "out"),
    environment={"C": "d"},
    metrics=(MetricDefinition("loss", "loss=(.*)"),),
    instance_type="ml.m5.large",
    instance_count=2,
    volume_bytes=1 << 30,
    file_systems=(FileSystemChannel(ChannelConfig("efs"), Path("/x"), writable=True),),
    checkpoints=Checkpoints(S3Uri("b", "checkpoints"), "/opt/ml/checkpoints"),
    spot=True,
    max_wait=900,
    created=1.5,
    max_runtime=600,
    stop_grace=120.0,
    threads=1,
    stage_file=Path("stage.json"),
)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    """Every member, with its type."""
    SPEC.save(tmp_path / "spec.json")
    assert TrainingSpec.load(tmp_path / "spec.json") == SPEC


def test_a_spec_of_an_older_version_is_completed(tmp_path: Path) -> None:
    """Members that came later get their defaults, and one that is gone does no harm."""
    file = tmp_path / "spec.json"
    SPEC.save(file)
    document = json.loads(file.read_text())
    for each in fields(TrainingSpec):
        if each.default is not MISSING:
            del document[each.name]
    document["gone"] = document["channels"][0]["config"]["gone"] = document["program"]["gone"] = 1
    del document["channels"][0]["attributes"]
    file.write_text(json.dumps(document))
    spec = TrainingSpec.load(file)
    assert (spec.name, spec.program, spec.arguments, spec.spot) == ("job", SPEC.program, ("train",), False)
    assert (spec.checkpoints, spec.channels[0].attributes) == (None, ())


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"name": "job", "channels": 3}'])
def test_a_spec_that_cannot_be_read_says_so(tmp_path: Path, text: str) -> None:
    """With an error of its own, whatever is wrong with it."""
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(SpecError, match=r"spec\.json"):
        TrainingSpec.load(tmp_path / "spec.json")
    with pytest.raises(SpecError):
        TrainingSpec.load(tmp_path / "missing")
