"""The variables that lead an unmodified AWS client to the stage."""

from __future__ import annotations

from stagemaker.identity.keys import KeyFile
from stagemaker.settings import DEFAULT_REGION
from stagemaker.state import StateFolder


def stage_environment(folder: StateFolder, endpoint: str, *, admin: bool) -> dict[str, str]:
    """Everything a client needs, and what keeps it from the user's own AWS configuration."""
    keys = KeyFile(folder.keys).read()
    pair = keys.admin if admin else keys.learner
    config, credentials = folder.root / "client" / "config", folder.root / "client" / "credentials"
    config.parent.mkdir(exist_ok=True)
    config.touch()
    credentials.touch(mode=0o600)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": pair.access_key_id,
        "AWS_SECRET_ACCESS_KEY": pair.secret_access_key,
        "AWS_REGION": DEFAULT_REGION,
        "AWS_DEFAULT_REGION": DEFAULT_REGION,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_EC2_METADATA_DISABLED": "true",
        "STAGEMAKER_ACCOUNT": keys.account,
        "STAGEMAKER_ROLE_ARN": keys.role_arn,
        "STAGEMAKER_STATE": str(folder.root),
        "STAGEMAKER_ID": folder.id,
    }
