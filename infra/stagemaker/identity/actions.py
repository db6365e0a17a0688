"""Which permissions does a call to the backing need?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stagemaker.identity.context import Context
from stagemaker.identity.documents import PolicyKind


@dataclass(frozen=True, slots=True)
class Permission:
    """One action on one resource (an ARN or `*`), both as policies spell them.

    `passed_to` is set for iam:PassRole: the service that the role is handed to.
    """

    action: str
    resource: str
    passed_to: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the backing, understood.

    `service` is the signing name, `operation` the API's name. All of `permissions` are needed.
    `parameters` holds what was read of query, form, labels and JSON; for S3 the query alone.
    `bucket` and `key` are S3's, decoded.
    """

    service: str
    operation: str
    permissions: tuple[Permission, ...]
    context: Context = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    bucket: str = ""
    key: str = ""
    virtual_host: bool = False
    """Whether the bucket stood in the Host header."""
    policy_document: str = ""
    """A policy that the call would store, so that it can be checked first, and what it would be."""
    policy_kind: PolicyKind = PolicyKind.IDENTITY
