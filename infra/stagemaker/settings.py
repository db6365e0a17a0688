"""How a stage is to run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"
DEFAULT_PORT = 4566
LOOPBACK = "127.0.0.1"
DEFAULT_STOP_GRACE = 120.0
"""Seconds between SIGTERM and SIGKILL for a container that is stopped, as on AWS."""
DEFAULT_KEEP_FAILED = 2.0
"""GB that the folders of failed jobs may take together, before the oldest go."""


class BackingKind(StrEnum):
    """`embedded`: S3, IAM ... in the stage's process. `localstack`: in a LocalStack at an address."""

    EMBEDDED = "embedded"
    LOCALSTACK = "localstack"


class AuthMode(StrEnum):
    """`enforce`: keys, signatures and policies count. `open`: any key is the account's root."""

    ENFORCE = "enforce"
    OPEN = "open"


_NO_OPTION = frozenset({"region"})
"""Every region is served; the default one is not for choosing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `stagemaker serve` was asked for. `port` 0 lets the system choose one."""

    state: Path
    port: int = DEFAULT_PORT
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    auth: AuthMode = AuthMode.ENFORCE
    allow_reset: bool = False
    images: Path | None = None
    stop_grace: float = DEFAULT_STOP_GRACE
    keep_failed: float = DEFAULT_KEEP_FAILED
    """GB (2**30 bytes) of failed jobs' folders that are kept to be looked at."""
    backing_url: str | None = None
    """Of a LocalStack (http://HOST:PORT); None for the embedded backing."""
    listen: str = LOOPBACK
    """The address to listen on. Another than loopback only inside a container whose ports are published on loopback."""

    def options(self) -> dict[str, Any]:
        """The settings as options of `serve`: strings, numbers, True or False for a switch."""
        return {
            f"--{field.name.replace('_', '-')}": str(value) if isinstance(value, Path | StrEnum) else value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None and field.name not in _NO_OPTION
        }

    @property
    def backing(self) -> BackingKind:
        """Where S3, IAM and the like are."""
        return BackingKind.LOCALSTACK if self.backing_url else BackingKind.EMBEDDED
