"""The table of authorisation over the wire, its policies kept by LocalStack's IAM, its object by LocalStack's S3."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.testing import RunningStage, start_stage


def _load_table() -> Any:
    """The module that holds the table."""
    file = Path(__file__).parents[1] / "identity" / "test_authorisation.py"
    specification = importlib.util.spec_from_file_location("table_of_authorisation", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


TABLE = _load_table()
# Two cases forge a header that no client's call keeps; lab 01's checks make real calls over plain HTTP.
CASES = [case for case in TABLE.CASES if not case.headers and "2008-10-17" not in str(case.inline)]


@pytest.fixture(scope="module")
def running(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """One stage for the table."""
    if served.process is None:
        served.start()
    stage = start_stage(tmp_path_factory.mktemp("state"), backing_url=served.url)
    yield stage
    stage.stop()


def ann(case: Any, iam: Any) -> dict[str, Any]:
    """The user of a case, made by IAM's API; the key."""
    iam.create_user(UserName="ann", Tags=[{"Key": name, "Value": value} for name, value in case.tags.items()])
    for number, document in enumerate(case.inline):
        iam.put_user_policy(UserName="ann", PolicyName=f"p{number}", PolicyDocument=TABLE._filled(document, TABLE.S3))
    for number, document in enumerate(case.managed):
        made = iam.create_policy(PolicyName=f"m{number}", PolicyDocument=TABLE._filled(document, TABLE.S3))
        iam.attach_user_policy(UserName="ann", PolicyArn=made["Policy"]["Arn"])
    if case.group:
        iam.create_group(GroupName="team")
        iam.add_user_to_group(GroupName="team", UserName="ann")
    for number, document in enumerate(case.group):
        iam.put_group_policy(
            GroupName="team", PolicyName=f"g{number}", PolicyDocument=TABLE._filled(document, TABLE.S3)
        )
    if case.boundary:
        made = iam.create_policy(PolicyName="boundary", PolicyDocument=TABLE._filled(case.boundary, TABLE.S3))
        iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=made["Policy"]["Arn"])
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.behaviour)
def test_policies_of_localstacks_iam_count(case: Any, running: RunningStage) -> None:
    """The outcome of the table, in AWS's words."""
    running.reset()
    s3 = running.client("s3")
    s3.create_bucket(Bucket="lake")
    s3.put_object(Bucket="lake", Key="ann/churn.csv", Body=b"1,2\n")
    anns = running.client("s3", **ann(case, running.client("iam")))
    if case.outcome == TABLE.ALLOWED:
        assert anns.get_object(Bucket="lake", Key="ann/churn.csv")["Body"].read() == b"1,2\n"
        return
    with pytest.raises(ClientError) as refused:
        anns.get_object(Bucket="lake", Key="ann/churn.csv")
    error = refused.value.response["Error"]
    reason = case.outcome.format(action="s3:GetObject")
    assert error["Code"] == "AccessDenied"
    assert error["Message"] == (
        "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: s3:GetObject "
        f'on resource: "arn:aws:s3:::lake/ann/churn.csv" {reason}'
    )


def test_localstack_takes_no_policy_in_the_old_language(running: RunningStage) -> None:
    """AWS does; docs/targets.md says so."""
    running.reset()
    old = [case for case in TABLE.CASES if "2008-10-17" in str(case.inline)]
    assert len(CASES) == len(TABLE.CASES) - len(old) - sum(bool(case.headers) for case in TABLE.CASES)
    with pytest.raises(ClientError, match="must be version 2012-10-17 or greater"):
        ann(old[0], running.client("iam"))
