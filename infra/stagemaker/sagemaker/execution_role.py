"""The execution role of a job or model: assumed when it is created; a job's keys are kept in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from stagemaker.ports import Credentials, PortError, Roles
from stagemaker.wire.errors import ValidationError


async def assume(roles: Roles, role: str, region: str) -> Credentials:
    """Keys of `role`. Raises ValidationException, in AWS's words, for one that cannot be assumed."""
    try:
        return await roles.assume(role, region=region, session_name="SageMaker")
    except PortError as error:
        raise ValidationError(cannot_assume(role)) from error


def cannot_assume(role: str) -> str:
    """AWS's words for a role that is not there, or that does not let SageMaker assume it."""
    return (
        f"Could not assume role {role}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role."
    )


def save_credentials(file: Path, credentials: Credentials) -> None:
    """Write the keys for the runner, for this user's eyes only."""
    file.touch(mode=0o600)
    file.write_text(
        json.dumps(
            {
                "access_key_id": credentials.access_key_id,
                "secret_access_key": credentials.secret_access_key,
                "session_token": credentials.session_token,
            }
        )
    )
