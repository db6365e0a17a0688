"""The first users and roles of an account: who can sign a call before anyone has created a key."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from stagemaker.identity.backing import Backing, BackingError, Unavailable
from stagemaker.identity.keyring import ROOT_USER, Keyring, UserKey
from stagemaker.identity.keys import EXECUTION_ROLE_NAME, EXECUTION_ROLE_PATH, Keys, execution_role_arn

ADMINISTRATOR = "admin"
LEARNER = "learner"

_AWS = "arn:aws:iam::aws:policy"
_VERSION = "2012-10-17"

RegisterAccessKey = Callable[[str, str], Awaitable[None]]
"""Told (user name, access key id) of the keys that IAM itself did not make, so that it can list them."""


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": _VERSION, "Statement": list(statements)})


def _learner_policy(account: str) -> str:
    """PowerUserAccess leaves out IAM: a learner may look at it and hand the execution role to SageMaker."""
    return _document(
        {
            "Sid": "LookAtIam",
            "Effect": "Allow",
            "Action": ["iam:Get*", "iam:List*", "iam:SimulatePrincipalPolicy", "iam:SimulateCustomPolicy"],
            "Resource": "*",
        },
        {
            "Sid": "HandOverTheExecutionRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": execution_role_arn(account),
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
    )


def _trust_policy() -> str:
    return _document(
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    )


def _objects_policy() -> str:
    """AmazonSageMakerFullAccess reaches only buckets with `sagemaker` in their names."""
    return _document(
        {
            "Sid": "Buckets",
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": "arn:aws:s3:::*",
        },
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": "arn:aws:s3:::*/*",
        },
    )


async def seed(
    backing: Backing, account: str, keys: Keys, keyring: Keyring, register: RegisterAccessKey | None = None
) -> None:
    """Create what is missing of the first users, their keys and the execution role. Idempotent.

    The keys are written last: as long as they are missing, an interrupted seeding is begun again.
    Raises Unavailable when the backing refuses.
    """
    await _user(backing, ADMINISTRATOR, f"{_AWS}/AdministratorAccess")
    await _user(backing, LEARNER, f"{_AWS}/PowerUserAccess")
    await _do(backing, "PutUserPolicy", UserName=LEARNER, PolicyName="Learner", PolicyDocument=_learner_policy(account))
    await _do(
        backing,
        "CreateRole",
        RoleName=EXECUTION_ROLE_NAME,
        Path=EXECUTION_ROLE_PATH,
        AssumeRolePolicyDocument=_trust_policy(),
        Description="Execution role of the jobs of this account",
    )
    await _do(
        backing,
        "AttachRolePolicy",
        RoleName=EXECUTION_ROLE_NAME,
        PolicyArn=f"{_AWS}/AmazonSageMakerFullAccess",
    )
    await _do(
        backing, "PutRolePolicy", RoleName=EXECUTION_ROLE_NAME, PolicyName="Objects", PolicyDocument=_objects_policy()
    )
    first_keys = (UserKey(keys.admin, ADMINISTRATOR), UserKey(keys.learner, LEARNER))
    for entry in first_keys:
        if register is not None:
            await register(entry.user_name, entry.key.access_key_id)
    keyring.put_user_keys(*first_keys, UserKey(keys.root, ROOT_USER))


async def _user(backing: Backing, name: str, policy_arn: str) -> None:
    await _do(backing, "CreateUser", UserName=name)
    await _do(backing, "AttachUserPolicy", UserName=name, PolicyArn=policy_arn)


async def _do(backing: Backing, action: str, **parameters: str) -> None:
    """Carry out a write; that its result is there already is as good."""
    try:
        await backing.iam(action, **parameters)
    except BackingError as error:
        if error.code != "EntityAlreadyExists":
            raise Unavailable(f"iam:{action} while the account was set up", str(error)) from error


async def is_seeded(backing: Backing, keyring: Keyring) -> bool:
    """Whether the account has keys, and the backing the administrator whom one of them names."""
    if not keyring.has_user_keys:
        return False
    try:
        await backing.iam("GetUser", UserName=ADMINISTRATOR)
    except BackingError as error:
        if error.code == "NoSuchEntity":
            return False
        raise Unavailable("iam:GetUser", str(error)) from error
    return True
