"""The variables that lead an unmodified AWS client to the stage, and keep it from anything else of AWS's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum

from stagemaker.gateway.authority import Authority
from stagemaker.identity.keys import KeyFile
from stagemaker.settings import DEFAULT_REGION
from stagemaker.state import StateFolder

_BUNDLE_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_PERSONAL = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"})
_NO_PROXY = "127.0.0.1,localhost,::1"


class Who(StrEnum):
    """Whose key a client is given."""

    LEARNER = "learner"
    ADMIN = "admin"
    ROOT = "root"


def stage_environment(folder: StateFolder, endpoint: str, who: Who) -> dict[str, str]:
    """What a client needs to reach the stage by its endpoint, with one of the account's keys.

    NO_PROXY in both spellings: with HTTP_PROXY set, as behind a company's proxy, botocore would send the
    calls for the loopback endpoint there.
    """
    keys = KeyFile(folder.keys).read()
    pair = {Who.LEARNER: keys.learner, Who.ADMIN: keys.admin, Who.ROOT: keys.root}[who]
    config, credentials = folder.client / "config", folder.client / "credentials"
    folder.client.mkdir(exist_ok=True)
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
        "STAGEMAKER_BACKING": folder.backing_kind,
        "NO_PROXY": _NO_PROXY,
        "no_proxy": _NO_PROXY,
    }


def proxy_environment(folder: StateFolder, proxy: str) -> dict[str, str]:
    """What leads clients with hard-wired hosts through the proxy.

    Both spellings: Python's `urllib` prefers the lower case, other programs know the upper one only.
    """
    authority = Authority(folder.client)
    authority.prepare()
    variables = {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": _NO_PROXY}
    variables |= {name.lower(): value for name, value in variables.items()}
    return variables | dict.fromkeys(_BUNDLE_VARIABLES, str(authority.bundle))


def inside_environment(
    folder: StateFolder, running: Mapping[str, str], outer: Mapping[str, str], who: Who
) -> dict[str, str]:
    """The whole environment of a program that is to see the stage and nothing else of AWS's.

    Settings of the user's own AWS account are hidden from it, with one warning.
    """
    hidden = sorted(name for name in outer if name.startswith("AWS_"))
    if personal := [name for name in hidden if name in _PERSONAL]:
        print(f"stagemaker: hidden from this command: your own {', '.join(personal)}", file=sys.stderr)  # noqa: T201
    kept = {name: value for name, value in outer.items() if name not in hidden}
    return {
        **kept,
        **stage_environment(folder, running["endpoint"], who),
        **proxy_environment(folder, running["proxy"]),
    }
