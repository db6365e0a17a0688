"""Lab 03's checks on job records that no wrong work of the lab produces: odd channels, images, times and metrics."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker_labs.checking import Wrong

LAB = Path(__file__).parents[2] / "labs" / "03-builtin-xgboost"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ARTIFACT = "s3://lab/output/me-1/output/model.tar.gz"


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """The lab's checks.py as a module."""
    spec = importlib.util.spec_from_file_location("lab_03_checks", LAB / "checks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def entry(name: str, uri: str, **s3_source: str) -> dict[str, Any]:
    """One channel of InputDataConfig."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **s3_source}
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}


def job(name: str = "me-1", **members: Any) -> dict[str, Any]:
    """A good job as DescribeTrainingJob tells it, with `members` put over it."""
    return {
        "TrainingJobName": name,
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "CreationTime": NOON,
        "LastModifiedTime": NOON + timedelta(seconds=5),
        "TrainingEndTime": NOON + timedelta(seconds=5),
        "AlgorithmSpecification": {"TrainingImage": IMAGE},
        "HyperParameters": {"objective": "binary:logistic"},
        "InputDataConfig": [entry("train", "s3://lab/train/"), entry("validation", "s3://lab/validation/")],
        "FinalMetricDataList": [{"MetricName": "validation:auc", "Value": 0.9}],
        "ModelArtifacts": {"S3ModelArtifacts": ARTIFACT},
        **members,
    }


class FakeAccount:
    """An account of these jobs and objects: what `checks.Work` asks, and no more."""

    prefix, bucket, since, region = "me", "lab", None, "us-east-1"

    def __init__(self, jobs: list[dict[str, Any]], objects: dict[str, datetime]) -> None:
        self.jobs, self.objects = jobs, objects
        self.points: tuple[float, ...] = (0.9,)

    def client(self, service: str) -> Any:
        """A client of any of the four services."""
        return self

    def list_training_jobs(self, *, NameContains: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Newest first, as the checks ask for them."""
        newest = sorted(self.jobs, key=lambda job: job["CreationTime"], reverse=True)
        return {"TrainingJobSummaries": [job for job in newest if NameContains in job["TrainingJobName"]]}

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """The job of that name."""
        return next(job for job in self.jobs if job["TrainingJobName"] == TrainingJobName)

    def get_paginator(self, operation: str) -> Any:
        """Of list_objects_v2, two objects a page."""

        def paginate(*, Bucket: str, Prefix: str) -> Any:  # noqa: N803 - boto3's names
            if Bucket == "nowhere":
                raise ClientError({"Error": {"Code": "NoSuchBucket"}}, operation)
            stored = [uri for uri in self.objects if uri.startswith(f"s3://{Bucket}/{Prefix}")]
            for page in range(0, len(stored), 2):
                yield {
                    "Contents": [
                        {
                            "Key": uri.removeprefix(f"s3://{Bucket}/"),
                            "Size": int(not uri.endswith("/")),
                            "LastModified": self.objects[uri],
                        }
                        for uri in stored[page : page + 2]
                    ]
                }

        return SimpleNamespace(paginate=paginate)

    def get_metric_statistics(self, **_: Any) -> dict[str, Any]:
        """One point for each value."""
        return {"Datapoints": [{"Minimum": value, "Maximum": value} for value in self.points]}

    def describe_log_streams(self, **_: Any) -> dict[str, Any]:
        """One stream."""
        return {"logStreams": [{"logStreamName": "job/algo-1-1"}]}

    def filter_log_events(self, **_: Any) -> dict[str, Any]:
        """One line."""
        return {"events": [{"message": "[0]#011train-auc:0.9#011validation-auc:0.9"}]}


FILES = {"s3://lab/train/": NOON, "s3://lab/train/a.csv": NOON, "s3://lab/validation/b.csv": NOON, ARTIFACT: NOON}


@pytest.fixture
def work(checks: ModuleType) -> Callable[..., Any]:
    """Build the `Work` that the checks are given."""

    def build(*jobs: dict[str, Any], objects: dict[str, datetime] = FILES, **score: Any) -> Any:
        made = checks.Work(FakeAccount(list(jobs), objects))
        made.__dict__["score"] = {"validation_auc": 0.9, "auc": 0.91, **score}
        return made

    return build


def found(check: Callable[[Any], None], work: Any) -> str:
    """All words of the card that the check fails with."""
    with pytest.raises(Wrong) as caught:
        check(work)
    card = caught.value.card
    return f"{card.looked_at} {card.found} {card.expected} {card.likely} {card.next}"


def test_a_good_job_passes(checks: ModuleType, work: Callable[..., Any]) -> None:
    """The record that the other tests spoil has nothing wrong."""
    good = work(job())
    for name in ("files_in_place", "job_reads_csv", "job_completed", "metrics", "artifact", "unseen_customers"):
        getattr(checks, f"test_{name}")(good)


def test_the_newest_job_counts_by_its_name_or_by_what_it_reads(work: Callable[..., Any]) -> None:
    """A job of another name counts if it reads the lab's bucket; one that only contains the prefix does not."""
    later = NOON + timedelta(hours=1)
    elsewhere = [entry("train", "s3://other/train/")]
    assert work(job(), job("me-2", CreationTime=later)).job["TrainingJobName"] == "me-2"
    assert work(job(), job("other", CreationTime=later)).job["TrainingJobName"] == "other"
    assert work(job(), job("not-me-2", CreationTime=later, InputDataConfig=elsewhere)).job["TrainingJobName"] == "me-1"
    assert work(job("x", InputDataConfig=elsewhere)).job is None


def test_without_a_job_the_newest_folders_of_the_bucket_count(checks: ModuleType, work: Callable[..., Any]) -> None:
    """The files can be judged before there is a job: where the newest object lies in a folder of that name."""
    later = NOON + timedelta(hours=1)
    objects = {**FILES, "s3://lab/again/train/x.csv": later, "s3://lab/again/train/y.csv": NOON}
    channels = work(objects=objects).channels
    assert channels["train"].uri == "s3://lab/again/train/"
    assert list(channels["train"].objects) == ["s3://lab/again/train/x.csv", "s3://lab/again/train/y.csv"]
    assert list(channels["validation"].objects) == ["s3://lab/validation/b.csv"]
    assert "no training job" in found(checks.test_job_reads_csv, work())


def test_channels_that_cannot_be_followed(checks: ModuleType, work: Callable[..., Any]) -> None:
    """A manifest, a bucket that is not there, an empty prefix, another data source: each has its card."""
    check = checks.test_files_in_place
    good = entry("validation", "s3://lab/validation/")
    manifest = entry("train", "s3://lab/train/a.csv", S3DataType="ManifestFile")
    assert "ManifestFile" in found(check, work(job(InputDataConfig=[manifest, good])))
    efs = {"ChannelName": "train", "DataSource": {"FileSystemDataSource": {}}}
    assert "no S3DataSource" in found(check, work(job(InputDataConfig=[efs, good])))
    for uri in ("s3://nowhere/train/", "s3://lab/empty/"):
        assert "no object that holds anything" in found(check, work(job(InputDataConfig=[entry("train", uri), good])))


def test_files_written_after_the_job_was_created(checks: ModuleType, work: Callable[..., Any]) -> None:
    """Two seconds are allowed for clocks that count differently, no more."""
    within, beyond = NOON + timedelta(seconds=2), NOON + timedelta(seconds=3)
    checks.test_job_reads_csv(work(job(), objects={**FILES, "s3://lab/train/a.csv": within}))
    late = work(job(), objects={**FILES, "s3://lab/train/a.csv": beyond})
    assert "after the job was created" in found(checks.test_job_reads_csv, late)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"AlgorithmSpecification": {"TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"}},
            "mine:1",
        ),
        ({"HyperParameters": {"sagemaker_program": "train.py"}}, "with a script of your own"),
        ({"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}, "did not wait"),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}, "Stopped"),
        (
            {"TrainingJobStatus": "Failed", "FailureReason": "ClientError: Extraneous hyperparameter found: x"},
            "misspelt",
        ),
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: x"}, "the job's log says more"),
        ({"HyperParameters": {"objective": "multi:softmax"}}, "multi:softmax"),
    ],
)
def test_jobs_that_are_not_what_was_asked(
    checks: ModuleType, work: Callable[..., Any], members: dict[str, Any], words: str
) -> None:
    """Another image, a script, a job that is not done or failed, another objective."""
    assert words in found(checks.test_job_completed, work(job(**members)))


def test_images_of_every_region_are_the_built_in(checks: ModuleType) -> None:
    """The account and the region of the image are not looked at, China's domain included."""
    assert checks.IMAGE.fullmatch("141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1")
    assert checks.IMAGE.fullmatch("450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.2-0")
    assert not checks.IMAGE.fullmatch("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1")


def test_a_stage_that_contradicts_itself_is_no_failure(checks: ModuleType, work: Callable[..., Any]) -> None:
    """CloudWatch without the metric that Describe has: the work was not judged wrong, it could not be checked."""
    contradicting = work(job())
    for points in ((), (0.7,)):
        contradicting.account.points = points
        with pytest.raises(LookupError, match="CloudWatch has"):
            checks.test_metrics(contradicting)


def test_artifacts_that_are_not_the_jobs(checks: ModuleType, work: Callable[..., Any]) -> None:
    """Gone, written at another time, of another model, of no model: each has its card."""
    check = checks.test_artifact
    assert "no object" in found(check, work(job(), objects={}))
    for hours in (-1, 1):
        other_time = {**FILES, ARTIFACT: NOON + timedelta(hours=hours)}
        assert "put in its place by hand" in found(check, work(job(), objects=other_time))
    assert "AUC 0.7000, but the job reported 0.9000" in found(check, work(job(), validation_auc=0.7))
    assert "3 features; the files hold 4" in found(check, work(job(), problem="width", features=3, width=4))
    assert "an empty archive" in found(check, work(job(), problem="no_model", detail=""))


def test_early_stopping_may_leave_a_better_model(checks: ModuleType, work: Callable[..., Any]) -> None:
    """The artifact then holds the best round, the last metric is of the last one; a worse artifact is still wrong."""
    stopping = job(HyperParameters={"objective": "binary:logistic", "early_stopping_rounds": "5"})
    checks.test_artifact(work(stopping, validation_auc=0.93))
    assert "another one was put" in found(checks.test_artifact, work(stopping, validation_auc=0.88))
    assert "another one was put" in found(checks.test_artifact, work(job(), validation_auc=0.93))


def test_the_guide_lists_every_check_in_its_own_words(checks: ModuleType) -> None:
    """README.md names each check with the docstring that the verdict shows."""
    guide = (LAB / "README.md").read_text()
    for name in [name for name in vars(checks) if name.startswith("test_")]:
        assert f"- `{name}`: {getattr(checks, name).__doc__}" in guide
