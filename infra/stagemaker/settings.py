"""How a stage is to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"
DEFAULT_PORT = 4566
DEFAULT_STOP_GRACE = 120.0
"""Seconds between SIGTERM and SIGKILL for a container that is stopped, as on AWS."""


class AuthMode(StrEnum):
    """`enforce`: keys, signatures and policies count. `open`: any key is the account's root."""

    ENFORCE = "enforce"
    OPEN = "open"


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
