"""How a container says why it failed.

A container of the user's writes text to `/opt/ml/output/failure` and the service prefixes it with
`AlgorithmError`. AWS's own algorithms also tell a customer's mistake (`ClientError`) from a fault of
their own; ours do so in a side file, since the real channel for it is not public.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stagemaker.contract.layout import Layout

FAILURE_REASON_LIMIT = 1024
"""Characters of the failure file that SageMaker returns."""


class FailureClass(StrEnum):
    """The prefix of a FailureReason."""

    ALGORITHM = "AlgorithmError"
    CLIENT = "ClientError"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a container left behind: whose fault, and its text (perhaps empty)."""

    kind: FailureClass
    text: str


def report_failure(layout: Layout, kind: FailureClass, text: str) -> None:
    """Leave `text` as the reason of the failure, from inside the container."""
    layout.output.mkdir(parents=True, exist_ok=True)
    layout.failure.write_text(text, encoding="utf-8")
    layout.failure_class.write_text(kind.value)


def read_failure(layout: Layout, *, trust_class: bool) -> Failure:
    """The failure as the service reads it.

    `trust_class` holds for AWS's own algorithms; any other container's failure is its own fault.
    """
    text = ""
    if layout.failure.is_file():
        with layout.failure.open(encoding="utf-8", errors="replace") as file:
            text = file.read(FAILURE_REASON_LIMIT)
    kind = FailureClass.ALGORITHM
    if trust_class and layout.failure_class.is_file():
        said = layout.failure_class.read_text().strip()
        kind = FailureClass.CLIENT if said == FailureClass.CLIENT else FailureClass.ALGORITHM
    return Failure(kind, text)
