"""Why a bucket policy lets calls without TLS pass, and whether those that it refuses are refused to everyone.

`checks.py` starts this as a process of its own, after it has tried the calls. In: `statements` of the policy; `calls`,
for each action that was tried over plain HTTP the `resource` it is judged on and whether it was `refused`. Out: `card`,
or null.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cards import Card, card

Statement = Mapping[str, Any]
Call = Mapping[str, Any]

TRANSPORT_KEYS = {"aws:securetransport", "s3:tlsversion"}
OF_OBJECTS = ("s3:GetObject", "s3:PutObject")


def judge(statements: Sequence[Statement], calls: Mapping[str, Call]) -> Card | None:
    """A card when a call was answered, or is refused to some people only."""
    answered = [action for action, call in calls.items() if not call["refused"]]
    if answered:
        return card(
            f"calls on {calls['s3:ListBucket']['resource']} over plain HTTP, signed with its owner's key",
            f"S3 answered {', '.join(answered)}",
            "AccessDenied for each of them",
            _why_answered(statements, {action: bool(call["refused"]) for action, call in calls.items()}),
            "deny everyone s3:* on the bucket and on its objects, where aws:SecureTransport is false",
        )
    for action, call in calls.items():
        denies = [each for each in statements if each["Effect"] == "Deny" and covers(each, action, call["resource"])]
        if not denies:
            return card(
                "the statements of the bucket policy",
                f"none denies {action}; the call was refused since S3 asks for more than this one right",
                "a Deny of every call without TLS",
                "Action or Resource leaves something out",
                'Action "s3:*", and as Resource both the bucket and BUCKET/*',
            )
        if not any(map(is_for_everyone, denies)):
            return card(
                f"the statements of the bucket policy that deny {action}",
                "; ".join(json.dumps({name: each.get(name) for name in ("Principal", "Condition")}) for each in denies),
                'Principal "*", and no condition but the transport',
                "your own plain calls are refused, and those of all others are not",
                'set Principal to "*": a Deny for everyone lets nobody in',
            )
    return None


def covers(statement: Statement, action: str, resource: str) -> bool:
    """Whether a statement speaks of `action` on `resource`."""
    is_action = (
        _names(statement["Action"], action.lower())
        if "Action" in statement
        else not _names(statement.get("NotAction", []), action.lower())
    )
    is_resource = (
        _names(statement["Resource"], resource)
        if "Resource" in statement
        else not _names(statement.get("NotResource", []), resource)
    )
    return is_action and is_resource


def is_for_everyone(statement: Statement) -> bool:
    """Whether a statement names everyone, and no condition but the transport's narrows it."""
    principal = statement.get("Principal", [])
    named = _listed(principal.get("AWS", []) if isinstance(principal, Mapping) else principal)
    keys = {str(key).lower() for tests in statement.get("Condition", {}).values() for key in tests}
    return "*" in named and keys <= TRANSPORT_KEYS


def _names(patterns: Any, value: str) -> bool:
    """Whether one of `patterns` is `value`. Names of actions have no case; resources are lower case but for keys."""
    is_action = value.startswith("s3:")
    for pattern in _listed(patterns):
        # In fnmatch `[` begins a set of characters; in a policy it is a character.
        literal = str(pattern).replace("[", "[[]")
        if fnmatchcase(value, literal.lower() if is_action else literal):
            return True
    return False


def _listed(value: Any) -> list[Any]:
    """A policy's value, which may be one or a list."""
    return value if isinstance(value, list) else [value]


def _why_answered(statements: Sequence[Statement], refused: Mapping[str, bool]) -> str:
    if not statements:
        return "there is no bucket policy"
    if all(statement["Effect"] == "Allow" for statement in statements):
        return "an Allow takes nothing away: what the key's own policies allow stays allowed, only a Deny refuses"
    of_objects = [refused[action] for action in OF_OBJECTS]
    if refused["s3:ListBucket"] and not any(of_objects):
        return "Resource names the bucket alone: its objects, BUCKET/*, are resources of their own"
    if all(of_objects):
        return "Resource names the objects alone: the bucket itself is a resource of its own"
    if any(of_objects):
        return "Action names some calls and leaves out others"
    return "the condition is not that aws:SecureTransport is false"


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    json.dump({"card": judge(asked["statements"], asked["calls"])}, sys.stdout)


if __name__ == "__main__":
    main()
