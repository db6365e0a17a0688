"""Roles and sessions: who may assume what, what a session may do, and how long."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from stagemaker.identity.keys import AccessKey
from stagemaker.ports import Credentials, PortError
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

Signed = Callable[..., Request]
ACCOUNT = "123456789012"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
READ = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
ASSUME = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """A document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(principal: Any, **more: Any) -> dict[str, Any]:
    """A trust policy."""
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@pytest.mark.parametrize(
    ("trusted", "own", "allowed"),
    [
        (trust({"AWS": ANN}), [], True),
        (trust(ROOT), [policy(ASSUME)], True),
        (trust(ROOT), [], False),
        (trust({"AWS": "*"}), [], True),
        (trust({"Service": "sagemaker.amazonaws.com"}), [policy(ASSUME)], False),
        (trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}), [policy(ASSUME)], False),
        (trust({"AWS": ANN}), [policy({**ASSUME, "Effect": "Deny"})], False),
        (trust({"AWS": ANN}, Effect="Deny"), [policy(ASSUME)], False),
        (trust({"AWS": ANN}, Condition={"StringEquals": {"sts:ExternalId": "secret"}}), [], False),
        (trust({"AWS": ANN}, Condition={"StringEquals": {"sts:RoleSessionName": "work"}}), [], True),
        (trust({"AWS": ANN}, Condition={"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}), [], False),
        ("not a policy", [policy(ASSUME)], False),
    ],
)
def test_who_may_assume_a_role(trusted: Any, own: list[Any], allowed: bool, room: Any) -> None:
    """The trust policy must allow it; if that names only the account, the caller's own policy must too."""
    room.role("reader", trusted)
    ann = room.user("ann", *own)
    error = room.refusal(lambda: room.assume(ann, ROLE))
    assert (error is None) is allowed
    if error is not None:
        assert (error.code, error.status) == ("AccessDenied", 403)
        expected = f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
        denied = own and own[0]["Statement"][0]["Effect"] == "Deny"
        tail = " with an explicit deny in an identity-based policy" if denied else ""
        if trusted == trust(ROOT):
            tail = " because no identity-based policy allows the sts:AssumeRole action"
        if trusted == trust({"AWS": ANN}, Effect="Deny"):
            tail = " with an explicit deny in a resource-based policy"
        assert error.message == expected + tail


def test_an_external_id(room: Any) -> None:
    """The id that the trust policy asks for opens the role."""
    room.role("reader", trust({"AWS": ANN}, Condition={"StringEquals": {"sts:ExternalId": "secret"}}))
    key, _ = room.assume(room.user("ann"), ROLE, ExternalId="secret")
    assert key.access_key_id.startswith("ASIA")


def test_a_role_that_is_not_there(room: Any) -> None:
    """Is refused like one that does not trust the caller, whose policies allow it."""
    with pytest.raises(AwsError, match=r"sts:AssumeRole on resource: arn:aws:iam::\d+:role/reader"):
        room.assume(room.user("ann", policy(ASSUME)), ROLE)


def read(signed: Signed, session: tuple[AccessKey, str | None], method: str = "GET") -> Request:
    """A call to S3 with temporary credentials."""
    return signed(session[0], "s3", method, "/lake/a.csv", token=session[1])


class TestASession:
    """What temporary credentials are worth."""

    @pytest.fixture
    def session(self, room: Any) -> tuple[AccessKey, str]:
        """Ann's session of the role `reader`."""
        room.account.buckets["lake"] = {}
        room.role("reader", trust({"AWS": ANN}), policy(READ))
        found = room.assume(room.user("ann"), ROLE)
        assert isinstance(found, tuple)
        return found

    def test_it_may_what_its_role_may(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """And nothing of what its user may; its own name is in refusals."""
        authenticated, _ = room.backing_call(read(signed, session), "s3")
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/work"
        assert authenticated.principal.arn == arn
        with pytest.raises(AwsError) as refused:
            room.backing_call(read(signed, session, method="PUT"), "s3")
        assert refused.value.message == (
            f'User: {arn} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::lake/a.csv" '
            "because no identity-based policy allows the s3:PutObject action"
        )

    def test_sts_tells_who_it_is(self, session: tuple[AccessKey, str], room: Any) -> None:
        """GetCallerIdentity names the session, with the role's id."""
        key, token = session
        answer = room.sts(key, "GetCallerIdentity", token=token)
        role_id = room.account.entities["Role"]["reader"].unique_id
        assert f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/reader/work</Arn>" in answer
        assert f"<UserId>{role_id}:work</UserId>" in answer
        assert f"<Account>{ACCOUNT}</Account>" in answer

    @pytest.mark.parametrize(
        ("service", "code", "status"),
        [("s3", "ExpiredToken", 400), ("iam", "ExpiredToken", 403), ("sagemaker", "ExpiredTokenException", 400)],
    )
    def test_it_ends(
        self, session: tuple[AccessKey, str], service: str, code: str, status: int, room: Any, signed: Signed
    ) -> None:
        """After its hour the token has expired, whatever the service."""
        key, token = session
        room.clock.ahead = timedelta(minutes=61)
        target = {"x-amz-target": "SageMaker.ListModels"} if service == "sagemaker" else {}
        request = signed(key, service, "POST" if target else "GET", "/lake", b"", target, token=token)
        with pytest.raises(AwsError) as refused:
            room.run(room.identity.authenticate(request, service_guess=service))
        assert (refused.value.code, refused.value.status) == (code, status)

    @pytest.mark.parametrize(
        ("service", "without", "wrong"),
        [
            ("s3", ("InvalidAccessKeyId", 403), ("InvalidToken", 400)),
            ("iam", ("InvalidClientTokenId", 403), ("InvalidClientTokenId", 403)),
        ],
    )
    def test_its_token_is_needed(
        self,
        session: tuple[AccessKey, str],
        service: str,
        without: tuple[str, int],
        wrong: tuple[str, int],
        room: Any,
        signed: Signed,
    ) -> None:
        """The key without its token, or with another one, is no key."""
        for token, expected in ((None, without), ("IQoJb3JpZ2luX2Vjx", wrong)):
            request = signed(session[0], service, "GET", "/lake", token=token)
            error = room.refusal(
                lambda request=request: room.run(room.identity.authenticate(request, service_guess=service))
            )
            assert (error.code, error.status) == expected

    def test_a_users_key_takes_no_token(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """A token beside a long-lived key is refused."""
        request = read(signed, (room.keys.learner, session[1]))
        with pytest.raises(AwsError, match="InvalidToken"):
            room.run(room.identity.authenticate(request, service_guess="s3"))

    def test_it_survives_a_kill(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """What was answered is on the disk: a new process on the folder knows the session and Ann's key."""
        room.open()
        authenticated, _ = room.backing_call(read(signed, session), "s3")
        assert authenticated.principal.session_name == "work"

    def test_a_role_made_anew_is_another_role(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """A session dies with its role, even when one of the same name follows."""
        del room.account.entities["Role"]["reader"]
        room.role("reader", trust({"AWS": ANN}), policy(READ))
        with pytest.raises(AwsError, match="InvalidAccessKeyId"):
            room.backing_call(read(signed, session), "s3")

    def test_a_reset_ends_it(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """After a reset no session and no user's key is left but the first ones."""
        room.identity.reset()
        room.run(room.identity.seed())
        with pytest.raises(AwsError, match="InvalidAccessKeyId"):
            room.backing_call(read(signed, session), "s3")
        room.backing_call(signed(room.keys.learner, "s3", "GET", "/"), "s3")

    def test_a_presigned_url_of_it(self, session: tuple[AccessKey, str], room: Any, signed: Signed) -> None:
        """A URL carries the token, and ends with the session if that is earlier."""
        request = signed(session[0], "s3", "GET", "/lake/a.csv", token=session[1], expires=7200)
        authenticated, call = room.backing_call(request, "s3")
        assert "oken" not in room.identity.forward(request, authenticated, call).query
        room.clock.ahead = timedelta(minutes=61)
        with pytest.raises(AwsError, match="ExpiredToken"):
            room.backing_call(request, "s3")

    @pytest.mark.parametrize(
        ("principal", "allowed"),
        [
            ({"AWS": ROLE}, True),
            ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/work"}, True),
            ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/other"}, False),
            ({"AWS": ANN}, False),
            (ROOT, False),
            ("*", True),
        ],
    )
    def test_a_bucket_policy_can_name_it(
        self, session: tuple[AccessKey, str], principal: Any, allowed: bool, room: Any, signed: Signed
    ) -> None:
        """By its role, or by itself."""
        statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:PutObject", "Resource": "*"}
        room.account.buckets["lake"] = {"policy": json.dumps(policy({**statement, "Resource": "arn:aws:s3:::lake/*"}))}
        error = room.refusal(lambda: room.backing_call(read(signed, session, method="PUT"), "s3"))
        assert (error is None) is allowed


SESSION_SILENT = "because no session policy allows the s3:GetObject action"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"Policy": json.dumps(policy(READ))}, None),
        ({"Policy": json.dumps(policy({**READ, "Action": "s3:*"}))}, None),
        ({"Policy": json.dumps(policy({**READ, "Resource": "arn:aws:s3:::lake/b.csv"}))}, SESSION_SILENT),
        (
            {"Policy": json.dumps(policy({**READ, "Effect": "Deny"}))},
            "with an explicit deny in a session policy",
        ),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/AdministratorAccess"}, None),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"}, SESSION_SILENT),
    ],
)
def test_session_policies_limit_a_session(
    parameters: dict[str, str], reason: str | None, room: Any, signed: Signed
) -> None:
    """A session may do what its role and its session policies both allow, and its bucket's policy in between."""
    room.account.buckets["lake"] = {}
    room.role("reader", trust({"AWS": ANN}), policy(READ))
    session = room.assume(room.user("ann"), ROLE, **parameters)
    error = room.refusal(lambda: room.backing_call(read(signed, session), "s3"))
    assert (error.message.partition('" ')[2] if error else None) == reason
    with pytest.raises(AwsError):
        room.backing_call(read(signed, session, method="PUT"), "s3")


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"DurationSeconds": 7200}, "ValidationError", "exceeds the MaxSessionDuration set for this role"),
        ({"DurationSeconds": 60}, "ValidationException", "greater than or equal to 900"),
        ({"Policy": "{"}, "MalformedPolicyDocument", "Syntax errors"),
        ({"Tags.member.1.Key": "a", "Tags.member.1.Value": "b"}, "ValidationError", "cannot honour Tags"),
    ],
)
def test_what_assume_role_refuses(parameters: dict[str, Any], code: str, words: str, room: Any) -> None:
    """Too long, malformed, or something that would have no effect here."""
    room.role("reader", trust({"AWS": ANN}))
    with pytest.raises(AwsError) as refused:
        room.assume(room.user("ann"), ROLE, **parameters)
    assert refused.value.code == code
    assert words in refused.value.message


def test_a_longer_session(room: Any) -> None:
    """A role may allow hours; a session that is opened by a session lasts one at most."""
    other = f"arn:aws:iam::{ACCOUNT}:role/other"
    room.role("reader", trust({"AWS": [ANN, other]}), longest=7200)
    room.role("other", trust({"AWS": ANN}))
    ann = room.user("ann")
    key, _ = room.assume(ann, ROLE, DurationSeconds=7200)
    assert room.identity._keyring.find(key.access_key_id).expiration > room.clock() + timedelta(minutes=119)
    other_key, token = room.assume(ann, other)
    chained = {"token": token, "RoleArn": ROLE, "RoleSessionName": "chained"}
    assert "assumed-role/reader/chained" in room.sts(other_key, "AssumeRole", **chained)
    with pytest.raises(AwsError, match="1 hour session limit for roles assumed by role chaining"):
        room.sts(other_key, "AssumeRole", **chained, DurationSeconds=7200)


class TestSessionOfAUser:
    """GetSessionToken."""

    def test_it_is_the_user(self, room: Any, signed: Signed) -> None:
        """With the user's own name and permissions, but not for IAM, as it was opened without a second factor."""
        answer = room.sts(room.keys.learner, "GetSessionToken")
        key, token = _credentials(answer)
        authenticated, _ = room.backing_call(signed(key, "s3", "GET", "/", token=token), "s3")
        assert authenticated.principal.arn == f"arn:aws:iam::{ACCOUNT}:user/learner"
        assert f"<Arn>{authenticated.principal.arn}</Arn>" in room.sts(key, "GetCallerIdentity", token=token)
        with pytest.raises(AwsError, match="InvalidClientTokenId"):
            room.run(room.identity.authenticate(signed(key, "iam", "POST", "/", token=token), service_guess="iam"))
        with pytest.raises(AwsError, match="Cannot call GetSessionToken with session credentials"):
            room.sts(key, "GetSessionToken", token=token)


def _credentials(answer: str) -> tuple[AccessKey, str]:
    def between(tag: str) -> str:
        return answer.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]

    return AccessKey(between("AccessKeyId"), between("SecretAccessKey")), between("SessionToken")


def test_sts_knows_the_user(room: Any) -> None:
    """GetCallerIdentity needs no permission, and names the user behind the key."""
    answer = room.sts(room.user("ann"), "GetCallerIdentity")
    assert f"<Arn>{ANN}</Arn>" in answer
    assert f"<UserId>{room.account.entities['User']['ann'].unique_id}</UserId>" in answer


class TestRolesPort:
    """What SageMaker asks of IAM and STS."""

    def test_the_execution_role(self, room: Any, signed: Signed) -> None:
        """Its credentials outlast the longest job and sign calls that are the role's."""
        found: Credentials = room.run(
            room.identity.sessions.assume(room.keys.role_arn, region="us-east-1", session_name="SageMaker")
        )
        assert found.expiration is not None
        assert found.expiration > room.clock() + timedelta(days=28)
        assert found.session_token is not None
        key = AccessKey(found.access_key_id, found.secret_access_key)
        room.account.buckets["lake"] = {}
        authenticated, _ = room.backing_call(read(signed, (key, found.session_token)), "s3")
        name = room.keys.role_arn.rpartition("/")[2]
        assert authenticated.principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/SageMaker"

    @pytest.mark.parametrize(
        "role_arn",
        [
            f"arn:aws:iam::{ACCOUNT}:role/nobody",
            f"arn:aws:iam::{ACCOUNT}:role/AmazonSageMaker-ExecutionRole",
            "arn:aws:iam::999999999999:role/service-role/AmazonSageMaker-ExecutionRole",
        ],
    )
    def test_no_such_role(self, role_arn: str, room: Any) -> None:
        """The whole ARN counts, its path and account too."""
        with pytest.raises(PortError) as refused:
            room.run(room.identity.sessions.assume(role_arn, region="us-east-1", session_name="x"))
        assert refused.value.code == "NoSuchEntity"

    @pytest.mark.parametrize(
        ("trusted", "allowed"),
        [
            (trust({"Service": "sagemaker.amazonaws.com"}), True),
            (trust({"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}), True),
            (trust({"Service": "ec2.amazonaws.com"}), False),
            (trust(ROOT), False),
            (
                trust(
                    {"Service": "sagemaker.amazonaws.com"},
                    Condition={
                        "StringEquals": {"aws:SourceAccount": ACCOUNT},
                        "ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*"},
                    },
                ),
                True,
            ),
            (
                trust(
                    {"Service": "sagemaker.amazonaws.com"},
                    Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}},
                ),
                False,
            ),
        ],
    )
    def test_the_trust_policy_counts(self, trusted: Any, allowed: bool, room: Any) -> None:
        """Only a role that trusts SageMaker is assumed for it."""
        room.role("reader", trusted)
        work = room.identity.sessions.assume(ROLE, region="us-east-1", session_name="x")
        if allowed:
            assert room.run(work).access_key_id.startswith("ASIA")
            return
        with pytest.raises(PortError) as refused:
            room.run(work)
        assert refused.value.code == "AccessDenied"

    def test_in_open_mode_any_role_will_do(self, open_room: Any) -> None:
        """Where nothing is enforced a role need not even exist."""
        work = open_room.identity.sessions.assume(ROLE, region="us-east-1", session_name="x")
        assert open_room.run(work).access_key_id.startswith("ASIA")


def test_old_sessions_are_forgotten(room: Any) -> None:
    """A session that ended more than a day ago leaves the database."""
    room.role("reader", trust({"AWS": ANN}))
    ann = room.user("ann")
    key, _ = room.assume(ann, ROLE)
    keyring = room.identity._keyring
    principal = keyring.find(key.access_key_id).principal
    keyring.open_session(principal, now=room.clock() + timedelta(hours=2), lasts=timedelta(hours=1))
    assert keyring.find(key.access_key_id) is not None
    keyring.open_session(principal, now=room.clock() + timedelta(days=2), lasts=timedelta(hours=1))
    assert keyring.find(key.access_key_id) is None
    rows = room.store.connection.execute("SELECT access_key_id FROM identity_session").fetchall()
    assert key.access_key_id not in {row[0] for row in rows}


def test_a_session_is_the_same_after_a_restart(room: Any) -> None:
    """Everything about its principal comes back from the database."""
    room.role("reader", trust({"AWS": ANN}))
    key, _ = room.assume(room.user("ann"), ROLE, Policy=json.dumps(policy(READ)))
    before = room.identity._keyring.find(key.access_key_id)
    room.open()
    assert room.identity._keyring.find(key.access_key_id) == before
