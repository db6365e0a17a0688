"""Who makes a call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from stagemaker.wire.message import Caller


class PrincipalKind(Enum):
    """The kinds of principal that a policy can tell apart. Values are those of `aws:PrincipalType`."""

    ROOT = "Account"
    USER = "User"
    ROLE_SESSION = "AssumedRole"
    SERVICE = "Service"
    ANONYMOUS = "Anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal(Caller):
    """The maker of a call. As a `Caller` it is also what handlers find in their context.

    `name` is the user's or the role's; `entity_arn` the ARN of the IAM entity whose policies count
    (for a role session the role, whose own ARN is `arn`). `session_policies` are the documents that
    were passed to AssumeRole, `session_policy_arns` the managed policies that were.
    """

    kind: PrincipalKind
    account: str
    name: str = ""
    entity_arn: str = ""
    session_name: str = ""
    access_key_id: str = ""
    temporary: bool = False
    issued_at: datetime | None = None
    session_policies: tuple[str, ...] = ()
    session_policy_arns: tuple[str, ...] = ()


def root(account: str, access_key_id: str = "") -> Principal:
    """The root user of `account`."""
    arn = f"arn:aws:iam::{account}:root"
    return Principal(
        arn, account, kind=PrincipalKind.ROOT, account=account, entity_arn=arn, access_key_id=access_key_id
    )


def anonymous() -> Principal:
    """The maker of a call that carries no signature."""
    return Principal("anonymous", kind=PrincipalKind.ANONYMOUS, account="")


def service(name: str, account: str) -> Principal:
    """An AWS service that acts for `account`, such as sagemaker.amazonaws.com."""
    return Principal(name, kind=PrincipalKind.SERVICE, account=account, name=name, entity_arn=name)
