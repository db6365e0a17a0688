from __future__ import annotations

from typing import Any

import pytest

from stagemaker.backing.managed_policies import POLICIES, PREFIX

ALSO = ["AdministratorAccess", "PowerUserAccess", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "IAMReadOnlyAccess"]


@pytest.mark.parametrize("name", [*POLICIES, *ALSO])
def test_managed_policies_can_be_attached_and_read(stage: Any, name: str) -> None:
    """Users and roles can have them, and their documents are there for whoever evaluates them."""
    iam, arn = stage.client("iam"), PREFIX + name
    iam.create_user(UserName="bob")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    iam.attach_user_policy(UserName="bob", PolicyArn=arn)
    iam.attach_role_policy(RoleName="role", PolicyArn=arn)
    assert [each["PolicyArn"] for each in iam.list_attached_user_policies(UserName="bob")["AttachedPolicies"]] == [arn]
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["Arn"], policy["PolicyName"], policy["AttachmentCount"]) == (arn, name.rpartition("/")[2], 2)
    document = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]["Document"]
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement["Resource"]


def test_sagemaker_full_access_is_limited_as_on_aws(stage: Any) -> None:
    """It reads objects of buckets with the service's name only, and passes roles to a few services only."""
    iam = stage.client("iam")
    arn = PREFIX + "AmazonSageMakerFullAccess"
    document = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    by_action: dict[str, list[dict[str, Any]]] = {}
    for statement in document["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            by_action.setdefault(action, []).append(statement)
    assert by_action["sagemaker:*"][0]["Resource"] == "*"
    assert all("agemaker" in each.lower() or "glue" in each for each in by_action["s3:PutObject"][0]["Resource"])
    assert all(statement["Resource"] != "*" or "Condition" in statement for statement in by_action["s3:GetObject"])
    services = by_action["iam:PassRole"][0]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert "sagemaker.amazonaws.com" in services


def test_an_unknown_managed_policy_does_not_exist(stage: Any) -> None:
    """A misspelt name fails as on AWS, rather than allow everything."""
    iam = stage.client("iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=PREFIX + "AdminstratorAccess")
