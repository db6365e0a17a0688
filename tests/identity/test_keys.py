"""The keys of an account: made once, kept, learnt and forgotten."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from stagemaker.identity.actions import Call
from stagemaker.identity.keys import KeyFile
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"


class TestKeyFile:
    """`keys.json`."""

    def test_it_is_made_once(self, tmp_path: Path) -> None:
        """The first start makes random keys of AWS's form; later starts find the same."""
        file = KeyFile(tmp_path / "keys.json")
        keys = file.read_or_create(ACCOUNT)
        for key in (keys.admin, keys.learner):
            assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.access_key_id)
            assert re.fullmatch(r"[A-Za-z0-9+/]{40}", key.secret_access_key)
        assert keys.admin != keys.learner
        assert file.read_or_create(ACCOUNT) == file.read() == keys
        assert KeyFile(tmp_path / "other.json").read_or_create(ACCOUNT) != keys

    def test_only_its_owner_reads_it(self, tmp_path: Path) -> None:
        """Mode 0600, and no other file is left beside it."""
        KeyFile(tmp_path / "keys.json").read_or_create(ACCOUNT)
        [file] = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"account": "1", "admin": {}, "learner": {}}'])
    def test_a_damaged_one_is_not_replaced(self, text: str, tmp_path: Path) -> None:
        """Whoever holds the old keys must hear of it; the message names the file."""
        file = tmp_path / "keys.json"
        file.write_text(text)
        with pytest.raises(ValueError, match=re.escape(str(file))):
            KeyFile(file).read_or_create(ACCOUNT)
        assert file.read_text() == text

    def test_it_belongs_to_one_account(self, tmp_path: Path) -> None:
        """The keys of another account are refused."""
        file = KeyFile(tmp_path / "keys.json")
        file.read_or_create(ACCOUNT)
        with pytest.raises(ValueError, match="holds keys of account 123456789012, not of 210987654321"):
            file.read_or_create("210987654321")

    def test_without_a_file_there_is_nothing_to_read(self, tmp_path: Path) -> None:
        """Reading makes no keys."""
        with pytest.raises(FileNotFoundError):
            KeyFile(tmp_path / "keys.json").read()

    def test_it_names_the_execution_role(self, tmp_path: Path) -> None:
        """The role's ARN goes with the account."""
        keys = KeyFile(tmp_path / "keys.json").read_or_create(ACCOUNT)
        assert keys.role_arn == f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole"


def name_of(room: Any, signed: Signed, key: Any) -> str:
    """The user whose key it is. Raises AwsError."""
    request = signed(key, "s3", "GET", "/")
    return str(room.run(room.identity.authenticate(request, service_guess="s3")).principal.name)


class TestLearning:
    """Keys are learnt from IAM's answers, and forgotten by them."""

    def test_a_new_key_works_at_once(self, room: Any, signed: Signed) -> None:
        """What CreateAccessKey answered signs calls, also after a kill."""
        ann = room.user("ann")
        assert name_of(room, signed, ann) == "ann"
        room.open()
        assert name_of(room, signed, ann) == "ann"

    def test_the_answer_goes_on_unchanged(self, room: Any) -> None:
        """A body that comes in pieces is read, and given back whole."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"<R><AccessKey><UserName>ann</UserName><AccessKeyId>AKIAX</AccessKeyId>"
            yield b"<SecretAccessKey>s</SecretAccessKey></AccessKey></R>"

        call = Call("iam", "CreateAccessKey", (), {}, {})
        reply = room.run(room.identity.observe(call, Reply(200, {"a": "b"}, pieces())))
        assert reply.body.startswith(b"<R>")
        assert reply.headers == {"a": "b"}
        assert room.identity._keyring.find("AKIAX").user_name == "ann"

    @pytest.mark.parametrize(
        ("operation", "parameters", "status", "known"),
        [
            ("UpdateAccessKey", {"Status": "Inactive"}, 200, False),
            ("UpdateAccessKey", {"Status": "Active"}, 200, True),
            ("DeleteAccessKey", {}, 200, False),
            ("DeleteAccessKey", {}, 404, True),
            ("DeleteUser", {"UserName": "ann"}, 200, False),
            ("DeleteUser", {"UserName": "bob"}, 200, True),
            ("DeleteUser", {"UserName": "ann"}, 409, True),
        ],
    )
    def test_keys_end(
        self, operation: str, parameters: dict[str, str], status: int, known: bool, room: Any, signed: Signed
    ) -> None:
        """A key that was switched off, deleted, or whose user was, signs nothing any more, after a restart either."""
        ann = room.user("ann")
        call = Call("iam", operation, (), {}, {"AccessKeyId": ann.access_key_id, **parameters})
        room.run(room.identity.observe(call, Reply(status, {})))
        for _ in range(2):
            if known:
                assert name_of(room, signed, ann) == "ann"
            else:
                with pytest.raises(AwsError, match="InvalidAccessKeyId"):
                    name_of(room, signed, ann)
            room.open()

    def test_a_user_that_is_renamed_keeps_its_keys(self, room: Any, signed: Signed) -> None:
        """UpdateUser moves them."""
        ann = room.user("ann")
        users = room.account.entities["User"]
        users["anna"] = users.pop("ann")
        users["anna"].name = "anna"
        call = Call("iam", "UpdateUser", (), {}, {"UserName": "ann", "NewUserName": "anna"})
        room.run(room.identity.observe(call, Reply(200, {})))
        assert name_of(room, signed, ann) == "anna"

    def test_a_secret_that_cannot_be_kept_fails_the_call(self, room: Any) -> None:
        """CreateAccessKey is not acknowledged when its secret would be lost."""
        room.store.connection.execute("PRAGMA query_only=ON")
        with pytest.raises(AwsError, match="could not write its state") as failed:
            room.user("ann")
        assert failed.value.status == 500


OWN_KEYS = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "iam:*AccessKey*",
        "Resource": "arn:aws:iam::*:user/${aws:username}",
    },
}


@pytest.mark.parametrize("operation", ["DeleteAccessKey", "UpdateAccessKey"])
@pytest.mark.parametrize(
    ("whose", "named", "outcome"),
    [
        ("own", "", None),
        ("own", "ann", None),
        ("admin", "", "NoSuchEntity"),
        ("admin", "ann", "NoSuchEntity"),
        ("admin", "admin", "AccessDenied"),
    ],
)
def test_managing_ones_own_keys_reaches_no_others(
    operation: str, whose: str, named: str, outcome: str | None, room: Any, signed: Signed
) -> None:
    """Who may change the keys of one user finds no other user's key, named or not."""
    ann = room.user("ann", OWN_KEYS)
    key = ann if whose == "own" else room.keys.admin
    fields = {"Action": operation, "AccessKeyId": key.access_key_id, **({"UserName": named} if named else {})}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = signed(ann, "iam", "POST", "/", urlencode(fields).encode(), headers)
    error = room.refusal(lambda: room.backing_call(request, "iam"))
    assert (error.code if error else None) == outcome


def test_secrets_are_not_shown(room: Any) -> None:
    """A key or session that ends up in a log says nothing that signs a call."""
    session = room.identity.sessions.session_of_user(room.run(_principal(room)), None)
    shown = f"{room.keys}{session}"
    for secret in (room.keys.admin.secret_access_key, session.key.secret_access_key, session.token):
        assert secret not in shown


async def _principal(room: Any) -> Principal:
    user = (await room.identity._directory.account()).users["admin"]
    return Principal(
        user.arn, user.unique_id, kind=PrincipalKind.USER, account=ACCOUNT, name="admin", entity_arn=user.arn
    )


class TestSeeding:
    """The users, the keys and the role that an account starts with."""

    def test_the_first_start(self, empty_room: Any, signed: Signed) -> None:
        """Two users with keys that IAM can list, and a role that SageMaker may assume."""
        empty_room.run(empty_room.identity.start())
        account, keys = empty_room.account, empty_room.keys
        assert set(account.entities["User"]) == {"admin", "learner"}
        role = account.entities["Role"]["AmazonSageMaker-ExecutionRole"]
        assert role.arn == keys.role_arn
        assert json.loads(role.trust)["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}
        assert empty_room.registered == [
            ("admin", keys.admin.access_key_id),
            ("learner", keys.learner.access_key_id),
        ]
        assert name_of(empty_room, signed, keys.admin) == "admin"
        assert name_of(empty_room, signed, keys.learner) == "learner"

    def test_the_second_start_changes_nothing(self, room: Any, signed: Signed) -> None:
        """What the user has made of the account stays."""
        del room.account.entities["User"]["learner"]
        room.open()
        room.run(room.identity.start())
        assert "learner" not in room.account.entities["User"]
        with pytest.raises(AwsError, match="InvalidAccessKeyId"):
            name_of(room, signed, room.keys.learner)

    def test_a_backing_that_lost_its_state(self, room: Any, signed: Signed) -> None:
        """An account without its administrator is set up again, with the same keys."""
        for entities in room.account.entities.values():
            entities.clear()
        room.open()
        room.run(room.identity.start())
        assert name_of(room, signed, room.keys.learner) == "learner"

    def test_an_interrupted_one_is_begun_again(self, empty_room: Any, signed: Signed) -> None:
        """A start that failed half-way leaves an account that the next one completes."""
        empty_room.account.fails = "AttachRolePolicy"
        with pytest.raises(AwsError, match="AttachRolePolicy"):
            empty_room.run(empty_room.identity.start())
        empty_room.account.fails = ""
        empty_room.run(empty_room.identity.start())
        assert name_of(empty_room, signed, empty_room.keys.learner) == "learner"

    def test_after_a_reset_the_keys_are_the_same(self, room: Any, signed: Signed) -> None:
        """A reset empties the account, and nobody has to change a key."""
        for entities in room.account.entities.values():
            entities.clear()
        room.identity.reset()
        room.run(room.identity.seed())
        assert name_of(room, signed, room.keys.learner) == "learner"

    def test_it_fails_aloud(self, empty_room: Any) -> None:
        """When the backing does not know a policy, the start says which call it refused."""
        empty_room.account.unknown_policies.add("arn:aws:iam::aws:policy/PowerUserAccess")
        with pytest.raises(AwsError, match="iam:AttachUserPolicy while the account was set up: NoSuchEntity"):
            empty_room.run(empty_room.identity.start())
