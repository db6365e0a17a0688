"""What tells one family of resources from another: its words, its states, its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stagemaker.wire.errors import AwsError

ErrorOf = Callable[[str], AwsError]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of resource, named as the API names it.

    `noun` is the word in its operations (`TrainingJob` in CreateTrainingJob, ListTrainingJobs),
    `arn_type` the word in its ARNs, `transitional` the statuses that will pass by themselves.
    `missing` and `exists` make the errors of a name that is not there, or taken, from its ARN.
    """

    noun: str
    arn_type: str
    transitional: frozenset[str]
    missing: ErrorOf
    exists: ErrorOf
    sort_by: str = "CreationTime"
    """What its list is sorted by unless the call says: it differs from family to family."""
    sort_order: str = "Ascending"
    lower_case_arn: bool = False
    """Whether ARNs hold the name in lower case, as those of models and endpoints do. Names that differ in
    case only then clash."""
    vanishing: frozenset[str] = frozenset()
    """Those of `transitional` at whose end the resource is gone."""

    judged_with: frozenset[str] = frozenset()
    """Operations of other families that a policy must allow on a resource of this one too."""

    @property
    def name_member(self) -> str:
        """The member that holds the resource's name."""
        return f"{self.noun}Name"

    @property
    def arn_member(self) -> str:
        """The member that holds the resource's ARN."""
        return f"{self.noun}Arn"

    @property
    def status_member(self) -> str:
        """The member that holds the resource's status."""
        return f"{self.noun}Status"

    @property
    def describe(self) -> str:
        """The operation that shows one resource."""
        return f"Describe{self.noun}"

    @property
    def list(self) -> str:
        """The operation that lists the resources."""
        return f"List{self.noun}s"

    def arn(self, region: str, account: str, name: str) -> str:
        """The ARN of the resource called `name`."""
        shown = name.lower() if self.lower_case_arn else name
        return f"arn:aws:sagemaker:{region}:{account}:{self.arn_type}/{shown}"


def requested_resource_not_found(_arn: str) -> AwsError:
    """The error of a job that does not exist."""
    return AwsError("ValidationException", "Requested resource not found.")


def could_not_find(what: str) -> ErrorOf:
    """The error of a model, a configuration or an endpoint that does not exist."""
    return lambda arn: AwsError("ValidationException", f'Could not find {what} "{arn}".')


def cannot_create_existing(what: str) -> ErrorOf:
    """The error of one whose name is taken."""
    return lambda arn: AwsError("ValidationException", f'Cannot create already existing {what} "{arn}".')
