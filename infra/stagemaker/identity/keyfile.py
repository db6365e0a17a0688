"""`keys.json`: the administrator's and the learner's long-lived keys of one state folder."""

from __future__ import annotations

import json
import os
import secrets
import string
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"
_TEMPORARY_PREFIX = "ASIA"
_LONG_TERM_PREFIX = "AKIA"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key: an id of 20 characters and a secret of 40, as AWS makes them."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account. They outlive restarts and resets."""

    account: str
    administrator: AccessKey
    learner: AccessKey


def new_access_key(*, temporary: bool = False) -> AccessKey:
    """A random key: `AKIA` (`ASIA` for a session) and 16 characters of A-Z2-7, and its secret."""
    prefix = _TEMPORARY_PREFIX if temporary else _LONG_TERM_PREFIX
    return AccessKey(
        prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16)),
        "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(40)),
    )


def load_or_create_keys(file: Path, account: str) -> Keys:
    """The keys in `file`; random ones are made and kept when there is no such file.

    Raises ValueError, naming the file, when it holds something else or another account's keys, and
    OSError when it cannot be read or written. A damaged file is never replaced: the account would
    be locked for whoever still holds its keys.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        keys = Keys(account, new_access_key(), new_access_key())
        _write(file, keys)
        return keys
    try:
        document = json.loads(text)
        keys = Keys(document["account"], AccessKey(**document["administrator"]), AccessKey(**document["learner"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} does not hold the keys of a stage ({error}); move it aside for new keys") from error
    if keys.account != account:
        raise ValueError(f"{file} holds keys of account {keys.account}, not of {account}")
    return keys


def _write(file: Path, keys: Keys) -> None:
    """Whole or not at all, on the disk when it returns, readable by its owner only (mkstemp's 0600)."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            json.dump(asdict(keys), target, indent=2)
            target.flush()
            os.fsync(target.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
