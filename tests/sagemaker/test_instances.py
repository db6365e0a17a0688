"""Instance types, quotas and the bill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stagemaker.jobs.serving_spec import InstanceSpec
from stagemaker.sagemaker.bill import Line, as_json, as_text, bill
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.endpoint_hours import EndpointHours, Hours
from stagemaker.sagemaker.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.instance_types import instance_types, needs_accelerator
from stagemaker.sagemaker.quotas import HOSTS_OF_A_JOB, Quotas
from stagemaker.sagemaker.transform_job import TRANSFORM_JOB
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError


def test_every_type_has_cores_memory_and_a_price() -> None:
    """The table is whole, and says of a type with GPUs that it needs them."""
    types = instance_types()
    assert len(types) == 23
    assert types["ml.m5.large"].usd_per_hour == 0.115
    for name, kind in types.items():
        assert kind.vcpus >= 2
        assert kind.memory_bytes >= 4 << 30
        assert kind.usd_per_hour > 0
        assert needs_accelerator(name) == bool(kind.gpus)


def refusal(quotas: Quotas, kind: str, *, used: int, wanted: int, spot: bool = False) -> str | None:
    """The message of the refusal, or None."""
    try:
        quotas.check_training(kind, spot=spot, used=used, wanted=wanted)
    except AwsError as error:
        return f"{error.code}: {error.message}"
    return None


def test_quotas_are_adjustable(tmp_path: Path) -> None:
    """What quotas.json says counts at once, for on-demand and spot apart; without it only a job's size is bounded."""
    file = tmp_path / "quotas.json"
    quotas = Quotas(file)
    assert refusal(quotas, "ml.m5.large", used=500, wanted=20) is None
    assert HOSTS_OF_A_JOB in str(refusal(quotas, "ml.m5.large", used=0, wanted=21))
    file.write_text(json.dumps({"ml.m5.large for training job usage": 2}))
    assert refusal(quotas, "ml.m5.large", used=1, wanted=1) is None
    assert refusal(quotas, "ml.m5.large", used=2, wanted=1) == (
        "ResourceLimitExceeded: The account-level service limit 'ml.m5.large for training job usage' is 2 Instances, "
        "with current utilization of 2 Instances and a request delta of 1 Instances. Please contact AWS support to "
        "request an increase for this limit."
    )
    assert refusal(quotas, "ml.m5.large", used=2, wanted=1, spot=True) is None
    assert refusal(quotas, "ml.c5.large", used=2, wanted=1) is None
    file.write_text(json.dumps({HOSTS_OF_A_JOB: 40, "ml.p3.2xlarge for training job usage": 9}))
    assert refusal(quotas, "ml.m5.large", used=0, wanted=21) is None
    assert "no accelerator" in str(refusal(quotas, "ml.p3.2xlarge", used=0, wanted=1))


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"x": "many"}'])
def test_damaged_quotas_are_said_to_be(tmp_path: Path, text: str) -> None:
    """A file that cannot be read is never taken for no quotas."""
    (tmp_path / "quotas.json").write_text(text)
    with pytest.raises(AwsError, match=r"quotas\.json must be a JSON object"):
        Quotas(tmp_path / "quotas.json").limits()


def test_bill_adds_up() -> None:
    """A line a job; types without a price are named and not counted; what spot has saved is told apart."""
    lines = [
        Line("us-east-1", "one", "ml.m5.large", 2, 100, 100, 0.25, 0.0),
        Line("us-east-1", "spot", "ml.m5.large", 1, 100, 34, 0.5, 1.0),
        Line("us-east-1", "odd", "ml.r5.large", 1, 10, 10, None, None),
    ]
    sums = json.loads(as_json(lines))
    assert (sums["usd"], sums["saved"], len(sums["lines"])) == (0.75, 1.0, 3)
    text = as_text(lines)
    assert "2 x ml.m5.large" in text
    assert "no price" in text
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "nothing to pay" in as_text([])


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


def test_transform_jobs_are_on_the_bill(tmp_path: Path) -> None:
    """From their start on instances to their end, or until now; one that never had instances is not there."""
    store = Store(tmp_path / "stage.db")
    documents = Documents(store, "123456789012")
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    started = {"TransformStartTime": 1000.0, "TransformResources": resources}
    for number, members in enumerate(({**started, "TransformEndTime": 4600.5}, started, {})):
        document = {"TransformJobStatus": "Completed", "CreationTime": float(number), **members}
        documents.create(TRANSFORM_JOB, "us-east-1", f"job-{number}", document, {})
    store.close()
    over, running = bill(tmp_path / "stage.db")
    assert (over.job, over.instances, over.billable_seconds, over.saved) == ("job-0", 2, 3600, 0.0)
    assert over.usd == pytest.approx(0.23)
    assert running.billable_seconds > 3600
