"""Instance types and quotas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stagemaker.sagemaker.instance_types import instance_types, needs_accelerator
from stagemaker.sagemaker.quotas import HOSTS_OF_A_JOB, Quotas
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
