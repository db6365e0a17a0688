"""Service quotas: how many instances of a type may be in use at once, by AWS's own names for the limits.

Two quotas are there from the start: 20 hosts a training job, 20 instances a transform job. Others are set in
`quotas.json` in the state folder,
an object of names and numbers such as `{"ml.m5.large for training job usage": 2}`; it is read at each
request, so a change counts at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from stagemaker.sagemaker.instance_types import needs_accelerator
from stagemaker.wire.errors import AwsError

HOSTS_OF_A_JOB = "Number of instances for a training job"
NO_ACCELERATOR = "this machine offers no accelerator, and a CPU never stands in for one"
INSTANCES_OF_A_TRANSFORM = "Number of instances for a transform job"
_DEFAULTS = {HOSTS_OF_A_JOB: 20, INSTANCES_OF_A_TRANSFORM: 20}


class Quotas:
    """The limits of the account. `file` may be missing."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self, quota: str, *, used: int, wanted: int, why: str = "") -> None:
        """Raise ResourceLimitExceeded when `used` and `wanted` instances are more than the quota allows."""
        limit = self.limits().get(quota)
        if limit is not None and used + wanted > limit:
            raise exceeded(quota, limit, used, wanted, why)

    def check_training(self, instance_type: str, *, spot: bool, used: int, wanted: int, jobs: int = 1) -> None:
        """The quotas of `jobs` training jobs of `wanted` instances each, of whose type `used` are in use."""
        quota = f"{instance_type} for {'spot ' if spot else ''}training job usage"
        if needs_accelerator(instance_type):
            raise exceeded(quota, 0, 0, wanted * jobs, NO_ACCELERATOR)
        self.check(HOSTS_OF_A_JOB, used=0, wanted=wanted)
        self.check(quota, used=used, wanted=wanted * jobs)

    def check_endpoint(self, instance_type: str, *, used: int, wanted: int) -> None:
        """The quota of an endpoint that wants so many instances of a type."""
        quota = f"{instance_type} for endpoint usage"
        if needs_accelerator(instance_type):
            raise exceeded(quota, 0, 0, wanted, NO_ACCELERATOR)
        self.check(quota, used=used, wanted=wanted)

    def check_transform(self, instance_type: str, *, used: int, wanted: int) -> None:
        """The quotas of a transform job of `wanted` instances, of whose type `used` are in use."""
        quota = f"{instance_type} for transform job usage"
        if needs_accelerator(instance_type):
            raise exceeded(quota, 0, 0, wanted, NO_ACCELERATOR)
        self.check(INSTANCES_OF_A_TRANSFORM, used=0, wanted=wanted)
        self.check(quota, used=used, wanted=wanted)

    def limits(self) -> Mapping[str, int]:
        """The quotas that are set. Raises AwsError InternalFailure for a file that cannot be read."""
        try:
            own = json.loads(self._file.read_text())
            return {**_DEFAULTS, **{str(name): int(limit) for name, limit in own.items()}}
        except FileNotFoundError:
            return _DEFAULTS
        except (ValueError, TypeError, AttributeError) as error:
            message = f"{self._file} must be a JSON object of quota names and whole numbers: {error}"
            raise AwsError("InternalFailure", message, 500) from error


def exceeded(quota: str, limit: int, used: int, wanted: int, why: str = "") -> AwsError:
    """AWS's words, and after them ours."""
    return AwsError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{quota}' is {limit} Instances, with current utilization of {used} Instances "
        f"and a request delta of {wanted} Instances. Please contact AWS support to request an increase for this limit."
        + (f" (Stagemaker: {why}.)" if why else ""),
    )
