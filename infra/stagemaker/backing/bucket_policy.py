"""What S3 refuses to take as a bucket's policy. Ministack takes anything."""

from __future__ import annotations

import json
from typing import Any

from stagemaker.wire.errors import AwsError

_LARGEST = 20 * 1024  # bytes (S3 user guide, "Bucket policies")
_VERSIONS = {"2008-10-17", "2012-10-17"}
_FIELDS = {"Version", "Id", "Statement"}
_NEEDED = (("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource"))


def check_bucket_policy(bucket: str, body: bytes) -> None:
    """Raise MalformedPolicy, in S3's words, unless `body` is a policy document for `bucket`."""
    if len(body) > _LARGEST:
        raise _malformed("Policy exceeds the maximum allowed document size.")
    try:
        policy = json.loads(body)
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    if unknown := policy.keys() - _FIELDS:
        raise _malformed(f"Unknown field {min(unknown)}")
    if policy.get("Version", "2008-10-17") not in _VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    if "Statement" not in policy:
        raise _malformed("Missing required field Statement")
    statements = _listed(policy["Statement"])
    if not statements:
        raise _malformed("Could not parse the policy: Statement is empty!")
    for statement in statements:
        if not isinstance(statement, dict):
            raise _malformed("Could not parse the policy")
        _check_statement(bucket, statement)


def _check_statement(bucket: str, statement: dict[str, Any]) -> None:
    if "Effect" not in statement:
        raise _malformed("Missing required field Effect")
    if statement["Effect"] not in {"Allow", "Deny"}:
        raise _malformed(f"Invalid effect: {statement['Effect']}")
    for name, opposite in _NEEDED:
        if name not in statement and opposite not in statement:
            raise _malformed(f"Missing required field {name}")
    actions = [action for name in _NEEDED[1] for action in _listed(statement.get(name, []))]
    if not all(isinstance(action, str) and (action == "*" or action.lower().startswith("s3:")) for action in actions):
        raise _malformed("Policy has invalid action")
    arn = f"arn:aws:s3:::{bucket}"
    for resource in _listed(statement.get("Resource", [])):
        if not isinstance(resource, str) or not (resource == arn or resource.startswith((f"{arn}/", f"{arn}*"))):
            raise _malformed("Policy has invalid resource")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicy", message)
