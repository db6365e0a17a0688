"""Writes the generated pages: `python docs/generate.py`.

`fidelity.md` comes from the tables that the stage itself obeys, `training-contract.md` from
`training-contract.toml`, whose tests are checked to exist.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from stagemaker.backing.services import SERVICES
from stagemaker.cloudwatch.service import CloudWatchService
from stagemaker.logs.service import LogsService
from stagemaker.sagemaker.honoured import rows
from stagemaker.sagemaker.training_request import HONOURED_MEMBERS
from stagemaker.store import Store

FIDELITY = Path(__file__).parent / "fidelity.md"
CONTRACT = Path(__file__).parent / "training-contract.md"
CONTRACT_ITEMS = CONTRACT.with_suffix(".toml")

HEAD = """# What is honoured

Made from the stage's own tables by `python docs/generate.py`; do not edit.

*kept*: as on AWS. *in part*: only these values, any other is refused by name. *recorded*: accepted and described,
with no effect; the remark says what you would not see. *refused*: a ValidationException that names the member.
A member that is not listed is refused too.

An operation of these three services that is not listed answers a 4xx that says so (`UnknownOperationException`;
CloudWatch's code is `InvalidAction`).

## CloudWatch

Operations: {cloudwatch}.

## CloudWatch Logs

Operations: {logs}.

## Other services

STS and IAM's policy simulator are the stage's own. {backing} come from the backing (ministack, mended where it falls
short of S3): what it does with an operation is not listed here, and some settings that it takes have no effect, such
as transfer acceleration.

## SageMaker

Operations: {operations}.

### CreateTrainingJob

| member | | remark |
|---|---|---|
"""


CONTRACT_HEAD = """# The training container contract, item by item

Made from `training-contract.toml` by `python docs/generate.py`; do not edit. Each item that is kept names a test that
looks at it from inside a container, or from outside through the API.

| item | kept | how | test |
|---|---|---|---|
"""


def contract_items() -> list[dict[str, str]]:
    """The items: `name`, `kept`, `how`, and `test` where there is one."""
    items: list[dict[str, str]] = tomllib.loads(CONTRACT_ITEMS.read_text())["item"]
    return items


def contract() -> str:
    """The page on the container contract."""
    lines = []
    for item in contract_items():
        file, _, test = item.get("test", "").partition("::")
        shown = f"[`{test}`](../{file})" if test else ""
        lines.append(f"| {item['name']} | {item['kept']} | {item['how']} | {shown} |")
    return CONTRACT_HEAD + "\n".join(lines) + "\n"


def operations() -> list[str]:
    """The operations of SageMaker that have a handler."""
    from stagemaker.sagemaker.service import operation_names

    return operation_names()


def fidelity() -> str:
    """The page."""
    lines = [f"| {member} | {mark} | {remark} |" for member, mark, remark in rows(HONOURED_MEMBERS)]
    store = Store(Path(":memory:"))
    services = {
        "operations": operations(),
        "cloudwatch": sorted(CloudWatchService(store, "").api().handlers),
        "logs": sorted(LogsService(store, "").api().handlers),
        "backing": sorted(SERVICES),
    }
    store.close()
    return HEAD.format(**{name: ", ".join(names) for name, names in services.items()}) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    FIDELITY.write_text(fidelity())
    CONTRACT.write_text(contract())
