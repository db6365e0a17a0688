"""Writes `docs/fidelity.md` from the tables that the stage itself obeys: `python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from stagemaker.sagemaker.honoured import rows
from stagemaker.sagemaker.training_request import HONOURED_MEMBERS

FIDELITY = Path(__file__).parent / "fidelity.md"

HEAD = """# What is honoured

Made from the stage's own tables by `python docs/generate.py`; do not edit.

*kept*: as on AWS. *in part*: only these values, any other is refused by name. *recorded*: accepted and described,
with no effect; the remark says what you would not see. *refused*: a ValidationException that names the member.
A member that is not listed is refused too.

An operation that is not listed answers `UnknownOperationException` (400).

## SageMaker

Operations: {operations}.

### CreateTrainingJob

| member | | remark |
|---|---|---|
"""


def operations() -> list[str]:
    """The operations of SageMaker that have a handler."""
    from stagemaker.sagemaker.service import operation_names

    return operation_names()


def fidelity() -> str:
    """The page."""
    lines = [f"| {member} | {mark} | {remark} |" for member, mark, remark in rows(HONOURED_MEMBERS)]
    return HEAD.format(operations=", ".join(operations())) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    FIDELITY.write_text(fidelity())
