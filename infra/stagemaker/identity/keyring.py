"""The secrets that sign calls: access keys of users and sessions, kept in the stage's database.

The backing never tells a secret again, so it is learnt when CreateAccessKey's answer passes. Sessions
are the stage's own: it answers STS itself.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from stagemaker.identity.keys import AccessKey, new_access_key
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.store import Store

_TABLES = """
CREATE TABLE IF NOT EXISTS identity_access_key (
    access_key_id TEXT PRIMARY KEY, secret TEXT NOT NULL, user_name TEXT NOT NULL, active INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS identity_session (
    access_key_id TEXT PRIMARY KEY, secret TEXT NOT NULL, token TEXT NOT NULL, expiration TEXT NOT NULL,
    principal TEXT NOT NULL
);
"""
ROOT_USER = ""
"""The user name under which the root's key is kept: no IAM user can have it."""

_REMEMBERED = timedelta(days=1)
"""How long a session that is over is still known, so that its caller reads ExpiredToken."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """A long-lived key of an IAM user, or of the account's root (who has no user name)."""

    key: AccessKey
    user_name: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials and the principal that they name."""

    key: AccessKey
    token: str = field(repr=False)
    expiration: datetime
    principal: Principal


class Keyring:
    """All secrets, in memory and in the database. A change is on the disk when its method returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(_TABLES)
        self._known: dict[str, UserKey | Session] = {}
        self._load()

    def _load(self) -> None:
        connection = self._store.connection
        for row in connection.execute("SELECT * FROM identity_access_key"):
            key = AccessKey(row["access_key_id"], row["secret"])
            self._known[key.access_key_id] = UserKey(key, row["user_name"], bool(row["active"]))
        for row in connection.execute("SELECT * FROM identity_session"):
            key = AccessKey(row["access_key_id"], row["secret"])
            expiration = datetime.fromisoformat(row["expiration"])
            self._known[key.access_key_id] = Session(key, row["token"], expiration, _read_principal(row["principal"]))

    def find(self, access_key_id: str) -> UserKey | Session | None:
        """The key of that id, active or not, over or not."""
        return self._known.get(access_key_id)

    def owner(self, access_key_id: str) -> str | None:
        """The user that a long-lived key belongs to; None when the key is not known."""
        entry = self._known.get(access_key_id)
        return entry.user_name if isinstance(entry, UserKey) else None

    @property
    def has_user_keys(self) -> bool:
        """Whether anyone could sign a call."""
        return any(isinstance(entry, UserKey) for entry in self._known.values())

    def put_user_keys(self, *entries: UserKey) -> None:
        """Keep keys of users, or replace what is known of them: all or none."""
        with self._store.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO identity_access_key VALUES (?, ?, ?, ?)",
                [(one.key.access_key_id, one.key.secret_access_key, one.user_name, one.active) for one in entries],
            )
        self._known |= {one.key.access_key_id: one for one in entries}

    def set_active(self, access_key_id: str, *, active: bool) -> None:
        """Switch a user's key on or off; one that is not known stays unknown."""
        entry = self._known.get(access_key_id)
        if isinstance(entry, UserKey):
            self.put_user_keys(replace(entry, active=active))

    def rename_user(self, old: str, new: str) -> None:
        """The user's keys follow its new name."""
        self.put_user_keys(*[replace(entry, user_name=new) for entry in self._user_keys(old)])

    def drop_user_key(self, access_key_id: str) -> None:
        """Forget a user's key."""
        if isinstance(self._known.get(access_key_id), UserKey):
            with self._store.transaction() as connection:
                connection.execute("DELETE FROM identity_access_key WHERE access_key_id = ?", (access_key_id,))
            del self._known[access_key_id]

    def drop_user(self, user_name: str) -> None:
        """Forget all keys of a user."""
        for entry in self._user_keys(user_name):
            self.drop_user_key(entry.key.access_key_id)

    def _user_keys(self, user_name: str) -> list[UserKey]:
        return [entry for entry in self._known.values() if isinstance(entry, UserKey) and entry.user_name == user_name]

    def open_session(self, principal: Principal, *, now: datetime, lasts: timedelta) -> Session:
        """New temporary credentials of `principal`, whose access key id is filled in."""
        key = new_access_key(temporary=True)
        expiration = (now + lasts).replace(microsecond=0)
        principal = replace(principal, access_key_id=key.access_key_id, temporary=True, issued_at=now)
        session = Session(key, "IQoJb3JpZ2luX2Vj" + secrets.token_urlsafe(240), expiration, principal)
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO identity_session VALUES (?, ?, ?, ?, ?)",
                (
                    key.access_key_id,
                    key.secret_access_key,
                    session.token,
                    expiration.isoformat(),
                    _write_principal(principal),
                ),
            )
            self._forget_old_sessions(now)
        self._known[key.access_key_id] = session
        return session

    def _forget_old_sessions(self, now: datetime) -> None:
        old = [
            access_key_id
            for access_key_id, entry in self._known.items()
            if isinstance(entry, Session) and entry.expiration + _REMEMBERED < now
        ]
        for access_key_id in old:
            self._store.connection.execute("DELETE FROM identity_session WHERE access_key_id = ?", (access_key_id,))
            del self._known[access_key_id]

    def reset(self) -> None:
        """Forget all keys and sessions."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM identity_access_key")
            connection.execute("DELETE FROM identity_session")
        self._known.clear()


def _write_principal(principal: Principal) -> str:
    document = asdict(principal)
    document["kind"] = principal.kind.value
    document["issued_at"] = principal.issued_at.isoformat() if principal.issued_at else None
    return json.dumps(document)


def _read_principal(text: str) -> Principal:
    document = json.loads(text)
    known = {one.name for one in fields(Principal)}
    values = {name: value for name, value in document.items() if name in known}
    values["kind"] = PrincipalKind(values["kind"])
    values["issued_at"] = datetime.fromisoformat(values["issued_at"]).astimezone(UTC) if values["issued_at"] else None
    for name in ("session_policies", "session_policy_arns"):
        values[name] = tuple(values[name])
    return Principal(**values)
