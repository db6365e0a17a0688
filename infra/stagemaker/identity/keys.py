"""`keys.json`: the administrator's and the learner's long-lived keys of one state folder."""

from __future__ import annotations

import json
import os
import secrets
import string
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

EXECUTION_ROLE_NAME = "AmazonSageMaker-ExecutionRole"
EXECUTION_ROLE_PATH = "/service-role/"

_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key: an id of 20 characters and a secret of 40, as AWS makes them."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account. They outlive restarts and resets.

    `root` is for what no policy may take away: mending a bucket policy that locks everybody out.
    """

    account: str
    admin: AccessKey
    learner: AccessKey
    root: AccessKey

    @property
    def role_arn(self) -> str:
        """The ARN of the execution role that the account starts with."""
        return execution_role_arn(self.account)


class KeyFile:
    """The file that holds the keys: JSON, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Keys:
        """The keys in the file.

        Raises FileNotFoundError, other OSErrors, and ValueError, naming the file, when it holds
        something else.
        """
        try:
            document = json.loads(self.path.read_text("utf-8"))
            keys = (AccessKey(**document[whose]) for whose in ("admin", "learner", "root"))
            return Keys(str(document["account"]), *keys)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} does not hold the keys of a stage: move it aside to get new ones") from error

    def read_or_create(self, account: str) -> Keys:
        """The keys in the file; random ones are made and kept when there is no file.

        Raises OSError, and ValueError for a file of something else or of another account. A damaged
        file is never replaced: whoever holds its keys would be locked out without a word.
        """
        try:
            keys = self.read()
        except FileNotFoundError:
            keys = Keys(account, new_access_key(), new_access_key(), new_access_key())
            self._write(keys)
        if keys.account != account:
            raise ValueError(f"{self.path} holds keys of account {keys.account}, not of {account}")
        return keys

    def _write(self, keys: Keys) -> None:
        """Whole or not at all, and on the disk when it returns. `mkstemp` makes it 0600."""
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as target:
                json.dump(asdict(keys), target, indent=2)
                target.flush()
                os.fsync(target.fileno())
            Path(temporary).replace(self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def execution_role_arn(account: str) -> str:
    """The ARN of the execution role that every account starts with."""
    return f"arn:aws:iam::{account}:role{EXECUTION_ROLE_PATH}{EXECUTION_ROLE_NAME}"


def new_access_key(*, temporary: bool = False) -> AccessKey:
    """A random key: `AKIA` (`ASIA` for a session) and 16 characters of A-Z2-7, and its secret."""
    return AccessKey(
        ("ASIA" if temporary else "AKIA") + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16)),
        "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(40)),
    )
