"""How a container says why it failed.

A container of the user's writes text to `/opt/ml/output/failure` and the service prefixes it with
`AlgorithmError`. AWS's own algorithms also tell a customer's mistake (`ClientError`) from a fault of
their own; ours do so in a side file, since the real channel for it is not public.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

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
    text = _beginning(layout, layout.failure)
    said = _beginning(layout, layout.failure_class).strip() if trust_class else ""
    return Failure(FailureClass.CLIENT if said == FailureClass.CLIENT else FailureClass.ALGORITHM, text)


def _beginning(layout: Layout, file: Path) -> str:
    """What a file begins with; nothing of a FIFO, which would never end, and of a link that leads out of the tree."""
    try:
        if file.is_file() and layout.holds(file):
            with file.open(encoding="utf-8", errors="replace") as opened:
                return opened.read(FAILURE_REASON_LIMIT)
    except OSError:  # the container may have closed it, or made its links go round in a circle
        pass
    return ""
