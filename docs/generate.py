"""Writes the generated pages: `python docs/generate.py`.

`fidelity.md` comes from the tables that the stage itself obeys, the contracts from the TOML files of their names,
whose tests are checked to exist, `targets.md` from the labs and `targets.toml`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from stagemaker.backing.services import SERVICES
from stagemaker.cloudwatch.service import CloudWatchService
from stagemaker.logs.service import LogsService
from stagemaker.sagemaker.honoured import rows
from stagemaker.sagemaker.hosting import endpoint, endpoint_config, model_request
from stagemaker.sagemaker.runtime import api as runtime
from stagemaker.sagemaker.training import request as training_request
from stagemaker.sagemaker.transform import request as transform_request
from stagemaker.sagemaker.tuning import request as tuning_request
from stagemaker.store import Store
from stagemaker_labs import lab

FIDELITY = Path(__file__).parent / "fidelity.md"
TARGETS = FIDELITY.with_name("targets.md")
DIFFERENCES = TARGETS.with_suffix(".toml")
LABS = FIDELITY.parents[1] / "labs"
CONTRACT = Path(__file__).parent / "training-contract.md"
TUNING_CONTRACT = CONTRACT.with_name("tuning-contract.md")
HOSTING_CONTRACT = CONTRACT.with_name("hosting-contract.md")
TRANSFORM_CONTRACT = CONTRACT.with_name("transform-contract.md")

HEAD = """# What is honoured

Made from the stage's own tables by `python docs/generate.py`; do not edit.

*kept*: as on AWS, but for what a remark says. *in part*: only these values, any other is refused by name. *recorded*:
accepted and described, with no effect; the remark says what you would not see. *refused*: a ValidationException that
names the member. A member that is not listed is refused too.

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

Operations: {operations}. Of SageMaker Runtime: InvokeEndpoint.
"""

OPERATION_HEAD = """
### {operation}
{remark}
| member | | remark |
|---|---|---|
"""

HONOURED = {
    "CreateTrainingJob": training_request.HONOURED_MEMBERS,
    "CreateHyperParameterTuningJob": {
        member: entry for member, entry in tuning_request.HONOURED_MEMBERS.items() if member != "TrainingJobDefinitions"
    },
    "CreateModel": model_request.HONOURED_MEMBERS,
    "CreateEndpointConfig": endpoint_config.HONOURED_MEMBERS,
    "CreateEndpoint": endpoint.CREATE_MEMBERS,
    "UpdateEndpoint": endpoint.UPDATE_MEMBERS,
    "UpdateEndpointWeightsAndCapacities": endpoint.RESIZE_MEMBERS,
    "CreateTransformJob": transform_request.HONOURED_MEMBERS,
    "InvokeEndpoint": runtime.HONOURED_MEMBERS,
}
"""The tables by operation."""

REMARKS = {
    "CreateHyperParameterTuningJob": "\nEach of TrainingJobDefinitions has the members of TrainingJobDefinition.\n",
}


TARGETS_HEAD = """# Targets

Made by `python docs/generate.py`, the labs' rows from their `lab.toml`, the differences from
`targets.toml`; do not edit.

| target | SageMaker, CloudWatch, Logs, STS, who may do what | S3, IAM, SNS, SQS, EventBridge ... |
|---|---|---|
| `local` | the stage | the stage's own process (ministack), kept on disk |
| `localstack` | the stage | LocalStack 4.14.0, in its memory |

`pytest labs/03 --target localstack` runs a lab there, and starts what is missing: LocalStack by Docker Compose, and a
stage of its own in front of it. Without Docker, start a LocalStack in another way and name it:

    stagemaker up --target localstack --backing-url http://127.0.0.1:4565

Each target has a state folder of its own (`~/.stagemaker`, `~/.stagemaker-localstack`); `status`, `env`, `run` and
`down` take `--target` too. `docker compose up` runs both in containers, with ports on loopback only.

## The labs

| lab | local | localstack | otherwise on localstack |
|---|---|---|---|
{labs}

The whole proof of each lab (the starter fails, the reference passes, each wrong work fails at its own check) runs on
both targets: `make test-labs`, `make test-localstack`.

## What LocalStack does otherwise, and what becomes of it

| LocalStack 4.14.0 | with the stage in front |
|---|---|
{otherwise}

Two stages on one account of one LocalStack would describe one another's resources. The one that started last has it;
calls to the other fail and say so. `--account` gives each one its own.
"""

CONTRACT_HEAD = """# The training container contract, item by item

Made from `training-contract.toml` by `python docs/generate.py`; do not edit. Each item that is kept names a test that
looks at it from inside a container, or from outside through the API.

| item | kept | how | test |
|---|---|---|---|
"""

TUNING_CONTRACT_HEAD = """# Automatic model tuning, item by item

Made from `tuning-contract.toml` by `python docs/generate.py`; do not edit. Each item that is kept names a test that
shows it. How good the searches are is in [benchmarks/README.md](../benchmarks/README.md).

| item | kept | how | test |
|---|---|---|---|
"""

TRANSFORM_CONTRACT_HEAD = """# Batch transform, item by item

Made from `transform-contract.toml` by `python docs/generate.py`; do not edit. Each item that is kept names a test that
shows it.

| item | kept | how | test |
|---|---|---|---|
"""

HOSTING_CONTRACT_HEAD = """# The hosting contract, item by item

Made from `hosting-contract.toml` by `python docs/generate.py`; do not edit. Each item that is kept names a test that
looks at it from inside a container, or from outside through the API.

| item | kept | how | test |
|---|---|---|---|
"""

CONTRACTS = {
    CONTRACT: CONTRACT_HEAD,
    TUNING_CONTRACT: TUNING_CONTRACT_HEAD,
    HOSTING_CONTRACT: HOSTING_CONTRACT_HEAD,
    TRANSFORM_CONTRACT: TRANSFORM_CONTRACT_HEAD,
}
"""What stands above the items, by page."""


def contract_items(page: Path = CONTRACT) -> list[dict[str, str]]:
    """The items of a page: `name`, `kept`, `how`, and `test` where there is one."""
    items: list[dict[str, str]] = tomllib.loads(page.with_suffix(".toml").read_text())["item"]
    return items


def contract(page: Path = CONTRACT) -> str:
    """The page on a contract."""
    lines = []
    for item in contract_items(page):
        file, _, test = item.get("test", "").partition("::")
        shown = f"[`{test}`](../{file})" if test else ""
        lines.append(f"| {item['name']} | {item['kept']} | {item['how']} | {shown} |")
    return CONTRACTS[page] + "\n".join(lines) + "\n"


def operations() -> list[str]:
    """The operations of SageMaker that have a handler."""
    from stagemaker.sagemaker.service import operation_names

    return operation_names()


def fidelity() -> str:
    """The page."""
    tables = [
        OPERATION_HEAD.format(operation=operation, remark=REMARKS.get(operation, ""))
        + "".join(f"| {member} | {mark} | {remark} |\n" for member, mark, remark in rows(table))
        for operation, table in HONOURED.items()
    ]
    store = Store(Path(":memory:"))
    services = {
        "operations": operations(),
        "cloudwatch": sorted(CloudWatchService(store, "").api().handlers),
        "logs": sorted(LogsService(store, "").api().handlers),
        "backing": sorted(SERVICES),
    }
    store.close()
    return HEAD.format(**{name: ", ".join(names) for name, names in services.items()}) + "".join(tables)


def targets() -> str:
    """The page on targets."""
    labs = [lab.read(folder) for folder in sorted(LABS.iterdir()) if lab.is_lab(folder)]
    rows = [
        [
            f"{each.number} {each.title}",
            each.fidelity["local"],
            each.fidelity["localstack"],
            "; ".join(each.differences.get("localstack", ())),
        ]
        for each in labs
    ]
    otherwise = [[each["localstack"], each["stage"]] for each in tomllib.loads(DIFFERENCES.read_text())["difference"]]
    return TARGETS_HEAD.format(labs=_table(rows), otherwise=_table(otherwise))


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    TARGETS.write_text(targets())
    FIDELITY.write_text(fidelity())
    for page in CONTRACTS:
        page.write_text(contract(page))
