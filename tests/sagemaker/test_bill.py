"""What jobs would have cost: prices, spot savings, groups such as labs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.sagemaker.bill import Group, Line, as_json, as_text, bill, grouped
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint_hours import EndpointHours, Hours
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.instance_types import instance_types
from stagemaker.sagemaker.training.job import TRAINING_JOB
from stagemaker.sagemaker.training.ledger import Ledger
from stagemaker.sagemaker.transform.job import TRANSFORM_JOB
from stagemaker.store import Store

KIND = "ml.m5.large"
RATE = instance_types()[KIND].usd_per_hour / 3600


def document(created: float, *, spot: bool = False, **members: Any) -> dict[str, Any]:
    """A job that has trained for 100 s on two instances, which cost 34 s each on spot capacity."""
    return {
        "TrainingJobStatus": "Completed",
        "CreationTime": created,
        "TrainingStartTime": created,
        "ResourceConfig": {"InstanceType": KIND, "InstanceCount": 2, "VolumeSizeInGB": 1},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "EnableManagedSpotTraining": spot,
        "TrainingTimeInSeconds": 100,
        "BillableTimeInSeconds": 34 if spot else 100,
        **members,
    }


def line(job: str, output: str = "s3://bucket/out", usd: float | None = 1.0, saved: float | None = 0.0) -> Line:
    """One job of the bill."""
    return Line("us-east-1", job, output, KIND, 1, 100, 100, usd, saved)


def test_jobs_are_priced_by_the_second_and_the_instance(tmp_path: Path) -> None:
    """Deleted ones too, with their warm pools, in the order of their creation; what spot capacity has saved is told."""
    store = Store(tmp_path / "stage.db")
    documents = Documents(store, "123456789012")
    documents.create(TRAINING_JOB, "us-east-1", "spot", document(2.0, spot=True), {})
    documents.create(TRAINING_JOB, "us-east-1", "queued", {"CreationTime": 3.0, "TrainingJobStatus": "InProgress"}, {})
    pool = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 50}
    Ledger(store).keep("us-east-1", "gone", document(1.0, WarmPoolStatus=pool))
    Ledger(store).keep("us-east-1", "never", {"CreationTime": 1.0})
    store.close()
    lines = bill(tmp_path / "stage.db")
    assert [(each.job, each.billable_seconds) for each in lines] == [("gone", 100), ("spot", 34)]
    assert [each.usd for each in lines] == pytest.approx([(100 + 50) * 2 * RATE, 34 * 2 * RATE])
    assert [each.saved for each in lines] == pytest.approx([0, 66 * 2 * RATE])


@pytest.mark.parametrize(
    ("job", "output", "belongs"),
    [
        ("ann-lab03", "s3://b/out", True),
        ("ann-lab03-churn-1", "s3://b/out", True),
        ("ann-lab031", "s3://b/out", False),
        ("bob-lab03-x", "s3://b/out", False),
        ("churn-2026", "s3://ann-lab03-123456789012-us-east-1/out", True),
        ("churn-2026", "s3://ann-lab03", True),
        ("churn-2026", "s3://b/ann-lab03", False),
    ],
)
def test_a_job_belongs_to_a_prefix_by_its_name_or_its_bucket(job: str, output: str, belongs: bool) -> None:
    """The SDK chooses names of its own, so the bucket of the artifacts counts as well."""
    assert line(job, output).belongs_to("ann-lab03") is belongs


def test_groups_have_sums_of_their_own() -> None:
    """Each job once; those of no group come last; a group without jobs is not shown."""
    lines = [line("a-1"), line("other"), line("b-1", saved=2.0), line("a-2")]
    groups = grouped(lines, {"a": "lab 01 A", "b": "lab 02 B", "c": "lab 03 C"})
    assert [[each.job for each in group.lines] for group in groups] == [["a-1", "a-2"], ["b-1"], [], ["other"]]
    words = [row.split() for row in as_text(groups).splitlines()]
    assert [row[0] for row in words] == [
        *("job", "lab", "a-1", "a-2", "together", "lab", "b-1", "together", "saved"),
        *("other", "other", "together", "total", "saved", "Prices"),
    ]
    assert ["together", "2.0000"] in words
    assert ["total", "4.0000"] in words
    assert ["saved", "by", "spot", "capacity", "2.0000"] in words
    assert max(map(len, as_text(groups).splitlines()[:-1])) <= 80
    told = json.loads(as_json(groups))
    assert (told["usd"], told["saved"], len(told["lines"])) == (4.0, 2.0, 4)
    assert [(group["title"], group["usd"]) for group in told["groups"]] == [
        ("lab 01 A", 2.0),
        ("lab 02 B", 1.0),
        ("", 1.0),
    ]


def test_without_groups_and_without_jobs() -> None:
    """One list, and a sentence where there is nothing to pay. A price that is not known is said, and not summed up."""
    rows = as_text(grouped([line("dear", usd=None, saved=None), line("a")], {})).splitlines()
    assert "no price" in rows[1]
    assert [row.split()[0] for row in rows] == ["job", "dear", "a", "total", "Prices"]
    assert rows[3].split() == ["total", "1.0000"]
    assert as_text([Group("lab", ())]) == "No job or endpoint has had an instance yet: nothing to pay."


def test_transform_jobs_are_on_the_bill(tmp_path: Path) -> None:
    """From their start on instances to their end, or until now; one that never had instances is not there."""
    store = Store(tmp_path / "stage.db")
    documents = Documents(store, "123456789012")
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    started = {
        "TransformStartTime": 1000.0,
        "TransformResources": resources,
        "TransformOutput": {"S3OutputPath": "s3://b"},
    }
    for number, members in enumerate(({**started, "TransformEndTime": 4600.5}, started, {})):
        document = {"TransformJobStatus": "Completed", "CreationTime": float(number), **members}
        documents.create(TRANSFORM_JOB, "us-east-1", f"job-{number}", document, {})
    store.close()
    over, running = bill(tmp_path / "stage.db")
    assert (over.job, over.instances, over.billable_seconds, over.saved) == ("job-0", 2, 3600, 0.0)
    assert over.usd == pytest.approx(0.23)
    assert running.billable_seconds > 3600


def test_endpoints_are_on_the_bill(tmp_path: Path) -> None:
    """By the second of each instance, whether it is asked or not; one that goes stops counting, the others go on."""
    clock = iter((0.0, 1800.0, 3600.0, 5400.0))
    store = Store(tmp_path / "stage.db")
    hours = Hours(store, lambda: next(clock))
    spec = InstanceSpec("us-east-1", (), tmp_path, 1, namespaced=False)
    variant = VariantPlan("V", 1.0, "ml.m5.large", spec, "role", (), ()).sized(2)
    hours.enter("us-east-1", "shop", FleetPlan("c", (variant,)))
    hours.enter("us-east-1", "shop", FleetPlan("c", (variant.sized(1),)))
    assert list(hours.all()) == [EndpointHours("us-east-1", "shop", "ml.m5.large", 2, 1800.0 + 3600.0)]
    hours.enter("us-east-1", "shop", None)
    store.close()
    (line,) = bill(tmp_path / "stage.db")
    assert (line.job, line.instances, line.billable_seconds, line.saved) == ("endpoint/shop", 2, 7200, 0.0)
    assert line.usd == pytest.approx(0.115 * 2)
