"""How the services see one another: small protocols that `app.py` fills in.

No service imports another. Each names here what it needs of its neighbours, in their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys that sign a call. `session_token` is None for the long-lived keys of a user."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expiration: datetime | None = None


class PortError(Exception):
    """A neighbour refused: `code` and `message` in AWS's words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Roles(Protocol):
    """What SageMaker needs of IAM and STS."""

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Temporary credentials of `role_arn` for the principal sagemaker.amazonaws.com.

        Raises PortError NoSuchEntity (no such role) or AccessDenied (its trust policy does not
        let sagemaker.amazonaws.com assume it).
        """
        ...


class Objects(Protocol):
    """What SageMaker needs of S3 in the stage's process; a job's data moves over plain HTTP in the runner."""

    async def any_object(self, bucket: str, prefix: str, *, region: str, credentials: Credentials) -> bool:
        """Whether at least one key starts with `prefix`. Raises PortError NoSuchBucket, AccessDenied."""
        ...

    async def has_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bool:
        """Whether there is an object of this key that may be read. Raises PortError for one that may not."""
        ...

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """Write an object. Raises PortError NoSuchBucket, AccessDenied ..."""
        ...


@dataclass(frozen=True, slots=True)
class Datum:
    """A value of a metric that was seen `count` times: `time` in wall time (UTC), `unit` as CloudWatch names it."""

    name: str
    value: float
    time: datetime
    dimensions: Mapping[str, str]
    unit: str = "None"
    count: int = 1


class Metrics(Protocol):
    """What the other services need of CloudWatch."""

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """Store data points durably. Not limited to 1,000 a call as the API is."""
        ...


class Logs(Protocol):
    """What the other services need of CloudWatch Logs."""

    def attach(self, group: str, stream: str, file: Path, *, region: str) -> None:
        """Let `stream` of `group` be the log file `file`, read in place and never copied.

        Each line of the file is one event: epoch milliseconds, a tab, the message. The file may
        still be growing, and may not exist yet. Creates the group when needed. Idempotent.
        """
        ...


class Events(Protocol):
    """What the other services need of EventBridge."""

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """Put one event on the default bus, as the AWS service `source`. `detail` is JSON. Raises PortError."""
        ...
