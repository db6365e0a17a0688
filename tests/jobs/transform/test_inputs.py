"""Which objects a job reads, how its outputs are called, what data capture writes of them."""

from __future__ import annotations

import pytest

from stagemaker.jobs.spec import S3Uri
from stagemaker.jobs.transform.capture import manifest
from stagemaker.jobs.transform.inputs import InputObject, output_name
from stagemaker.jobs.transform.spec import Output


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("in/", "in/a.csv", "a.csv"),
        ("in", "in/a.csv", "a.csv"),
        ("in/", "in/deep/er/a.csv", "deep/er/a.csv"),
        ("in", "in/deep/a.csv", "deep/a.csv"),
        ("in/a.csv", "in/a.csv", "a.csv"),
        ("in/tr", "in/train/a.csv", "train/a.csv"),
        ("", "in/a.csv", "in/a.csv"),
        ("in/", "in//a.csv", "/a.csv"),
        ("in/", "in/a/../b", "a/../b"),
    ],
)
def test_output_keeps_the_folders_after_the_prefix(prefix: str, key: str, name: str) -> None:
    """A prefix that names a folder is cut off whole, one that ends inside a name after its last slash."""
    assert output_name(key, prefix) == name
    output = InputObject(S3Uri("b", key), name).output(Output(S3Uri("o", "out/"), "", by_line=False))
    assert output == S3Uri("o", f"out/{name}.out")


def test_capture_lists_objects_as_a_manifest() -> None:
    """The prefix that they share, then what is left of each; it can be the input of another job."""
    found = manifest([S3Uri("b", "in/x/1.csv"), S3Uri("b", "in/x/10.csv"), S3Uri("b", "in/y.csv")])
    assert found == [{"prefix": "s3://b/in/"}, "x/1.csv", "x/10.csv", "y.csv"]
    assert manifest([S3Uri("b", "only.csv")]) == [{"prefix": "s3://b/"}, "only.csv"]
    assert manifest([S3Uri("b", "in/a"), S3Uri("b", "in/a/b")]) == [{"prefix": "s3://b/in/"}, "a", "a/b"]
