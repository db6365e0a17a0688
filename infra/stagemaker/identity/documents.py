"""Policy documents, parsed once into statements that can be matched quickly.

After "IAM JSON policy element reference" and "Grammar of the IAM JSON policy language" of the IAM
user guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from stagemaker.identity.conditions import Condition, parse_condition
from stagemaker.identity.globs import Keys, Text, glob

_CURRENT_VERSION = "2012-10-17"
_VERSIONS = {_CURRENT_VERSION, "2008-10-17"}
_POLICY_ELEMENTS = {"Version", "Id", "Statement"}
_STATEMENT_ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_PRINCIPAL_TYPES = {"AWS", "Service", "Federated", "CanonicalUser"}


class MalformedPolicyError(ValueError):
    """The document is not a policy; the text says why, in IAM's words where they are known."""


class PolicyKind(Enum):
    """Where a document is put, which decides what its statements must hold."""

    IDENTITY = "identity-based policy"
    TRUST = "trust policy"
    BUCKET = "bucket policy"


class Effect(Enum):
    """What a statement does when it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class Actions:
    """The Action element: exact names in a set, patterns in one expression. Case does not count."""

    __slots__ = ("_any", "_names", "_patterns")

    def __init__(self, actions: Iterable[str]) -> None:
        lowered = [action.lower() for action in actions]
        self._any = "*" in lowered or "*:*" in lowered
        self._names = frozenset(action for action in lowered if "*" not in action and "?" not in action)
        patterns = [glob(action).pattern for action in lowered if "*" in action or "?" in action]
        self._patterns = re.compile("|".join(f"(?:{one})" for one in patterns), re.DOTALL) if patterns else None

    def cover(self, action: str) -> bool:
        """Whether `action` (in lower case) is one of them."""
        return (
            self._any
            or action in self._names
            or (self._patterns is not None and self._patterns.match(action) is not None)
        )


@dataclass(frozen=True, slots=True)
class Principals:
    """The Principal element. `everyone` stands for `*`; the lists hold what the document holds."""

    everyone: bool
    aws: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. An element that is absent is None; `not_...` says that its Not form was given."""

    effect: Effect
    actions: Actions
    not_actions: bool
    resources: tuple[Text, ...] | None
    not_resources: bool
    principals: Principals | None
    not_principals: bool
    conditions: tuple[Condition, ...]

    def covers(self, action: str, resource: str, keys: Keys) -> bool:
        """Whether the statement speaks of `action` (in lower case) on `resource` in this context."""
        if self.actions.cover(action) == self.not_actions:
            return False
        resources = self.resources
        if resources is not None and self.not_resources == any(one.matches(resource, keys) for one in resources):
            return False
        return all(condition.holds(keys) for condition in self.conditions)


@lru_cache(maxsize=4096)
def parse_policy(text: str) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises MalformedPolicyError."""
    try:
        document = json.loads(text)
    except ValueError:
        raise MalformedPolicyError("Syntax errors in policy.") from None
    if not isinstance(document, dict) or set(document) - _POLICY_ELEMENTS:
        raise MalformedPolicyError("Syntax errors in policy.")
    version = document.get("Version", "2008-10-17")
    if version not in _VERSIONS:
        raise MalformedPolicyError("The policy must contain a valid version string")
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicyError("Syntax errors in policy.")
    return tuple(_statement(statement, variables=version == _CURRENT_VERSION) for statement in statements)


def check_policy(text: str, kind: PolicyKind) -> tuple[Statement, ...]:
    """The statements of a document that is about to be stored as `kind`. Raises MalformedPolicyError."""
    statements = parse_policy(text)
    for statement in statements:
        if kind is PolicyKind.IDENTITY and statement.principals is not None:
            raise MalformedPolicyError("Policy document should not specify a principal.")
        if kind is PolicyKind.IDENTITY and statement.resources is None:
            raise MalformedPolicyError("Policy statement must contain resources.")
        if kind is not PolicyKind.IDENTITY and statement.principals is None:
            raise MalformedPolicyError("Missing required field Principal")
        if kind is PolicyKind.TRUST and statement.resources is not None:
            raise MalformedPolicyError("Has prohibited field Resource")
        if kind is PolicyKind.BUCKET and statement.resources is None:
            raise MalformedPolicyError("Missing required field Resource")
    return statements


def _statement(document: Any, *, variables: bool) -> Statement:
    if not isinstance(document, dict) or set(document) - _STATEMENT_ELEMENTS:
        raise MalformedPolicyError("Syntax errors in policy.")
    try:
        effect = Effect(document.get("Effect"))
    except ValueError:
        raise MalformedPolicyError("Syntax errors in policy.") from None
    actions, not_actions = _either(document, "Action")
    resources, not_resources = _either(document, "Resource")
    principals, not_principals = _principals(document)
    if actions is None:
        raise MalformedPolicyError("Policy statement must contain actions.")
    for action in actions:
        if action != "*" and ":" not in action:
            raise MalformedPolicyError("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    for resource in resources or ():
        if resource != "*" and not resource.startswith(("arn:", "*")):
            raise MalformedPolicyError(f'Resource {resource} must be in ARN format or "*".')
    return Statement(
        effect,
        Actions(actions),
        not_actions,
        None if resources is None else tuple(Text(resource, variables=variables) for resource in resources),
        not_resources,
        principals,
        not_principals,
        _conditions(document.get("Condition", {}), variables=variables),
    )


def _either(document: dict[str, Any], element: str) -> tuple[list[str] | None, bool]:
    """The strings of an element or of its Not form, and whether it was the latter."""
    negative = f"Not{element}"
    if element in document and negative in document:
        raise MalformedPolicyError("Syntax errors in policy.")
    if element not in document and negative not in document:
        return None, False
    return _strings(document.get(element, document.get(negative))), negative in document


def _strings(value: Any) -> list[str]:
    """One string or a list of them. Numbers and booleans are written as JSON writes them."""
    values = value if isinstance(value, list) else [value]
    texts = [json.dumps(one) if isinstance(one, bool | int | float) else one for one in values]
    if not texts or not all(isinstance(one, str) for one in texts):
        raise MalformedPolicyError("Syntax errors in policy.")
    return texts


def _principals(document: dict[str, Any]) -> tuple[Principals | None, bool]:
    if "Principal" in document and "NotPrincipal" in document:
        raise MalformedPolicyError("Syntax errors in policy.")
    negative = "NotPrincipal" in document
    value = document.get("NotPrincipal" if negative else "Principal")
    if value is None:
        return None, False
    if value == "*":
        return Principals(everyone=True, aws=(), services=()), negative
    if not isinstance(value, dict) or not value or set(value) - _PRINCIPAL_TYPES:
        raise MalformedPolicyError("Invalid principal in policy")
    named = {kind: tuple(_strings(value[kind])) if kind in value else () for kind in ("AWS", "Service")}
    return Principals(everyone="*" in named["AWS"], aws=named["AWS"], services=named["Service"]), negative


def _conditions(document: Any, *, variables: bool) -> tuple[Condition, ...]:
    if not isinstance(document, dict) or not all(isinstance(block, dict) for block in document.values()):
        raise MalformedPolicyError("Syntax errors in policy.")
    try:
        return tuple(
            parse_condition(operator, key, _strings(values), variables=variables)
            for operator, block in document.items()
            for key, values in block.items()
        )
    except MalformedPolicyError:
        raise
    except ValueError as error:
        raise MalformedPolicyError(str(error)) from error
