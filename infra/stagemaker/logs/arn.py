"""ARNs of log groups and streams, and which of them a call is judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context

_GROUP_ARN = re.compile(r"arn:aws:logs:([^:]*):([^:]*):log-group:([^:*]+)")

_ON_A_STREAM = frozenset({"PutLogEvents", "GetLogEvents", "DeleteLogStream", "CreateLogStream"})


def group_arn(region: str, account: str, name: str) -> str:
    """Of the group alone, as `logGroupArn` and the tagging calls have it; `arn` has `:*` after it."""
    return f"arn:aws:logs:{region}:{account}:log-group:{name}"


def stream_arn(region: str, account: str, group: str, name: str) -> str:
    """Of a stream."""
    return f"{group_arn(region, account, group)}:log-stream:{name}"


def group_name(identifier: str, region: str, account: str) -> str:
    """The name in `identifier`, which is a group's name or its ARN (without `:*`, which no call takes).

    Raises AwsError ResourceNotFoundException when the ARN is of another region or account.
    """
    if not identifier.startswith("arn:"):
        return identifier
    found = _GROUP_ARN.fullmatch(identifier)
    if found is None:
        raise AwsError("InvalidParameterException", f"Invalid log group ARN: {identifier}")
    if (found[1], found[2]) != (region, account):
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    return found[3]


def resources(operation: str, parameters: Mapping[str, Any], context: Context) -> Sequence[str]:
    """The ARN that decides whether a caller may.

    AWS judges calls on a group by the ARN of a nameless stream in it (`...:log-group:x:log-stream:`;
    DescribeLogGroups: `...:log-group::log-stream:`), as its refusals show, so that policies on
    `log-group:x:*` cover them. Tagging is judged by the group's own ARN.
    """
    if "resourceArn" in parameters:
        return [str(parameters["resourceArn"])]
    identifier = str(parameters.get("logGroupName", parameters.get("logGroupIdentifier", "")))
    found = _GROUP_ARN.fullmatch(identifier)
    group = found[3] if found else identifier
    stream = str(parameters.get("logStreamName", "")) if operation in _ON_A_STREAM else ""
    return [stream_arn(context.region, context.account, group, stream)]
