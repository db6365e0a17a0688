"""An account in memory, answering as AWS's IAM and S3 do, and a room that judges by it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from stagemaker.identity.actions import Call
from stagemaker.identity.authenticator import Authenticated
from stagemaker.identity.keys import AccessKey, KeyFile
from stagemaker.identity.room import Identity
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context, Reply, Request

ACCOUNT = "123456789012"
REGION = "us-east-1"
ENDPOINT = "http://localhost:4566"
Value = TypeVar("Value")

EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
AWS_MANAGED = {
    "arn:aws:iam::aws:policy/AdministratorAccess": EVERYTHING,
    "arn:aws:iam::aws:policy/PowerUserAccess": json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*"},
                {"Effect": "Allow", "Action": ["iam:ListRoles", "account:GetAccountInformation"], "Resource": "*"},
            ],
        }
    ),
    "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess": json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["sagemaker:*", "logs:*"], "Resource": "*"}],
        }
    ),
}


def _unique_id() -> str:
    return uuid.uuid4().hex[:17].upper()


@dataclass
class Entity:
    """A user, a role or a group as IAM keeps it."""

    kind: str
    name: str
    path: str = "/"
    inline: dict[str, str] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    boundary: str = ""
    trust: str = ""
    longest: int = 3600
    unique_id: str = field(default_factory=_unique_id)

    @property
    def arn(self) -> str:
        """As IAM makes it of name and path."""
        return f"arn:aws:iam::{ACCOUNT}:{self.kind.lower()}{self.path}{self.name}"


class RefusedError(Exception):
    """The account's answer is an error."""

    def __init__(self, code: str, status: int = 404) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Account:
    """IAM and S3 as far as identity asks them. `calls` lists what was asked."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Entity]] = {"User": {}, "Group": {}, "Role": {}}
        self.managed: dict[str, str] = {}
        self.buckets: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.page_size = 100
        self.unknown_policies: set[str] = set()
        self.fails = ""
        """A call that fails with 503."""

    async def send(self, request: Request, *, service: str, region: str) -> Reply:
        """Answer a raw request. The answer is as old as the question when it arrives, as over a network."""
        reply = self._reply(request, service)
        for _ in range(3):
            await asyncio.sleep(0)
        return reply

    def _reply(self, request: Request, service: str) -> Reply:
        parameters = dict(parse_qsl(request.body.decode()))
        name = parameters.pop("Action") if service == "iam" else f"?{request.query}"
        self.calls.append(name)
        if self.fails == name:
            return Reply(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        try:
            if service == "s3":
                return Reply(200, {}, self._subresource(unquote(request.path[1:]), request.query).encode())
            answer = self._answer(name, parameters)
        except RefusedError as error:
            document = f"<Error><Code>{error.code}</Code><Message>{error.code}</Message></Error>"
            return Reply(error.status, {}, f"<ErrorResponse>{document}</ErrorResponse>".encode())
        namespace = "https://iam.amazonaws.com/doc/2010-05-08/"
        document = f'<{name}Response xmlns="{namespace}"><{name}Result>{answer}</{name}Result></{name}Response>'
        return Reply(200, {"content-type": "text/xml"}, document.encode())

    def _subresource(self, bucket: str, name: str) -> str:
        if bucket not in self.buckets:
            raise RefusedError("NoSuchBucket")
        if name not in self.buckets[bucket]:
            raise RefusedError({"policy": "NoSuchBucketPolicy"}.get(name, "NoSuchPublicAccessBlockConfiguration"))
        return self.buckets[bucket][name]

    def block(self, bucket: str, **settings: bool) -> None:
        """Set a bucket's public access block."""
        content = "".join(f"<{name}>{str(value).lower()}</{name}>" for name, value in settings.items())
        self.buckets[bucket]["publicAccessBlock"] = (
            f"<PublicAccessBlockConfiguration>{content}</PublicAccessBlockConfiguration>"
        )

    def _answer(self, action: str, given: dict[str, str]) -> str:
        """What is inside the result of an IAM action. Raises RefusedError."""
        match action:
            case "GetAccountAuthorizationDetails":
                return self._details(int(given.get("Marker", "0")))
            case "GetUser":
                return f"<User>{_boundary(self._find('User', given))}</User>"
            case "GetRole":
                role = self._find("Role", given)
                return f"<Role><MaxSessionDuration>{role.longest}</MaxSessionDuration>{_boundary(role)}</Role>"
            case "GetPolicy" | "GetPolicyVersion" if given["PolicyArn"] not in AWS_MANAGED:
                raise RefusedError("NoSuchEntity")
            case "GetPolicy":
                return "<Policy><DefaultVersionId>v1</DefaultVersionId></Policy>"
            case "GetPolicyVersion":
                document = quote(AWS_MANAGED[given["PolicyArn"]])
                return f"<PolicyVersion><Document>{document}</Document></PolicyVersion>"
            case "CreateAccessKey":
                return (
                    f"<AccessKey><UserName>{given['UserName']}</UserName>"
                    f"<AccessKeyId>AKIANEW{len(self.calls)}</AccessKeyId><Status>Active</Status>"
                    f"<SecretAccessKey>made/by+iam{len(self.calls)}</SecretAccessKey></AccessKey>"
                )
            case "CreateUser":
                self.add(Entity("User", given["UserName"]))
            case "CreateRole":
                self.add(Entity("Role", given["RoleName"], given["Path"], trust=given["AssumeRolePolicyDocument"]))
            case "AttachUserPolicy" | "AttachRolePolicy":
                if given["PolicyArn"] in self.unknown_policies:
                    raise RefusedError("NoSuchEntity")
                self._find(action[6:10], given).attached.append(given["PolicyArn"])
            case "PutUserPolicy" | "PutRolePolicy":
                self._find(action[3:7], given).inline[given["PolicyName"]] = given["PolicyDocument"]
            case _:
                raise RefusedError("InvalidAction", 400)
        return ""

    def _details(self, first: int) -> str:
        entities = [entity for kind in self.entities.values() for entity in kind.values()]
        page = entities[first : first + self.page_size]
        more = first + self.page_size < len(entities)
        lists = "".join(
            f"<{kind}DetailList>{''.join(_detail(entity) for entity in page if entity.kind == kind)}</{kind}DetailList>"
            for kind in self.entities
        )
        policies = "".join(
            f"<member><Arn>{arn}</Arn><PolicyVersionList>"
            f"<member><Document>{quote('{}')}</Document><IsDefaultVersion>false</IsDefaultVersion></member>"
            f"<member><Document>{quote(document)}</Document><IsDefaultVersion>true</IsDefaultVersion></member>"
            f"</PolicyVersionList></member>"
            for arn, document in self.managed.items()
        )
        marker = f"<Marker>{first + self.page_size}</Marker>" if more else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        return f"{lists}<Policies>{'' if more else policies}</Policies>{truncated}{marker}"

    def _find(self, kind: str, given: dict[str, str]) -> Entity:
        name = given[f"{kind}Name"]
        if name not in self.entities[kind]:
            raise RefusedError("NoSuchEntity")
        return self.entities[kind][name]

    def add(self, entity: Entity) -> Entity:
        """Take an entity in, as CreateUser and CreateRole do."""
        if entity.name in self.entities[entity.kind]:
            raise RefusedError("EntityAlreadyExists", 409)
        self.entities[entity.kind][entity.name] = entity
        return entity


def _boundary(entity: Entity) -> str:
    arn = f"<PermissionsBoundaryArn>{entity.boundary}</PermissionsBoundaryArn>"
    return f"<PermissionsBoundary>{arn}</PermissionsBoundary>" if entity.boundary else ""


def _detail(entity: Entity) -> str:
    kind = entity.kind
    inline = "".join(
        f"<member><PolicyName>{name}</PolicyName><PolicyDocument>{quote(document)}</PolicyDocument></member>"
        for name, document in entity.inline.items()
    )
    attached = "".join(f"<member><PolicyArn>{arn}</PolicyArn></member>" for arn in entity.attached)
    groups = "".join(f"<member>{name}</member>" for name in entity.groups)
    tags = "".join(f"<member><Key>{key}</Key><Value>{value}</Value></member>" for key, value in entity.tags.items())
    return (
        f"<member><{kind}Name>{entity.name}</{kind}Name><Arn>{entity.arn}</Arn><{kind}Id>{entity.unique_id}</{kind}Id>"
        f"<{kind}PolicyList>{inline}</{kind}PolicyList><AttachedManagedPolicies>{attached}</AttachedManagedPolicies>"
        f"<GroupList>{groups}</GroupList><Tags>{tags}</Tags>"
        f"<AssumeRolePolicyDocument>{quote(entity.trust)}</AssumeRolePolicyDocument></member>"
    )


class Clock:
    """Wall time, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time that the room believes it is."""
        return datetime.now(UTC) + self.ahead


class Room:
    """An identity room over an account in memory, and the gateway's part of a call."""

    def __init__(self, folder: Path, *, enforce: bool = True) -> None:
        self.account = Account()
        self.clock = Clock()
        self.folder = folder
        self.keys = KeyFile(folder / "keys.json").read_or_create(ACCOUNT)
        self.registered: list[tuple[str, str]] = []
        self.open(enforce=enforce)

    def open(self, *, enforce: bool = True) -> None:
        """Start the room, as at the start of the stage."""
        self.store = Store(self.folder / "identity.db")
        self.store.connection.execute("PRAGMA synchronous=OFF")  # no test pulls the plug, and syncing takes seconds
        self.identity = Identity(
            account=ACCOUNT,
            region=REGION,
            keys=self.keys,
            store=self.store,
            send=self.account.send,
            enforce=enforce,
            clock=self.clock,
            register=self._register,
        )

    async def _register(self, user: str, key_id: str) -> None:
        self.registered.append((user, key_id))

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """The result of `work`."""
        return asyncio.run(work)

    def user(self, name: str, *documents: object, **more: Any) -> AccessKey:
        """A new IAM user with inline policies, and a key of its own."""
        self.account.add(Entity("User", name, inline=_named(documents), **more))
        return self.access_key(name)

    def access_key(self, name: str) -> AccessKey:
        """A new key for an existing user, made as a client makes it: by a call that passes the room."""
        call = Call("iam", "CreateAccessKey", (), {}, {"UserName": name})

        async def create() -> Reply:
            body = f"Action=CreateAccessKey&UserName={name}".encode()
            reply = await self.account.send(Request("POST", "/", "", {}, body), service="iam", region=REGION)
            return await self.identity.observe(call, reply)

        reply = self.run(create())
        assert isinstance(reply.body, bytes)
        text = reply.body.decode()
        return AccessKey(_between(text, "AccessKeyId"), _between(text, "SecretAccessKey"))

    def role(self, name: str, trust: object, *documents: object, **more: Any) -> Entity:
        """A new role."""
        role = Entity("Role", name, inline=_named(documents), trust=json.dumps(trust), **more)
        self.identity.invalidate()
        return self.account.add(role)

    def assume(self, caller: AccessKey, role_arn: str, **parameters: Any) -> tuple[AccessKey, str]:
        """AssumeRole over the wire's form, judged as the gateway does. Gives the key and its token."""
        form = {"RoleArn": role_arn, "RoleSessionName": "work", **parameters}
        answer = self.sts(caller, "AssumeRole", **form)
        key = AccessKey(_between(answer, "AccessKeyId"), _between(answer, "SecretAccessKey"))
        return key, _between(answer, "SessionToken")

    def sts(self, caller: AccessKey, operation: str, token: str | None = None, **parameters: Any) -> str:
        """Any STS operation, through authentication, authorisation and the service's own API."""
        fields = {"Action": operation, "Version": "2011-06-15", **parameters}
        body = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in fields.items()).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = sign(caller, "sts", "POST", "/", body, headers, token=token)

        async def answer() -> Reply:
            identity, api = self.identity, self.identity.sts
            authenticated = await identity.authenticate(request, service_guess="sts")
            invocation = api.read(request)
            context = Context(ACCOUNT, authenticated.region, authenticated.principal, "request-1")
            resources = api.resources(operation, invocation.parameters, context)
            await identity.authorise_operation(
                authenticated, request, api.action(invocation), resources, invocation.parameters
            )
            return await api.invoke(invocation, context)

        reply = self.run(answer())
        assert isinstance(reply.body, bytes)
        return reply.body.decode()

    def backing_call(self, request: Request, service: str) -> tuple[Authenticated, Call]:
        """A call to the backing: who makes it and what it is, if it is allowed. Raises AwsError."""

        async def judge() -> tuple[Authenticated, Call]:
            authenticated = await self.identity.authenticate(request, service_guess=service)
            call = await self.identity.describe(request, authenticated)
            await self.identity.authorise_call(authenticated, call)
            return authenticated, call

        return self.run(judge())

    def own_call(self, request: Request, action: str, resource: str, parameters: dict[str, Any]) -> Authenticated:
        """A call to SageMaker, if it is allowed. Raises AwsError."""

        async def judge() -> Authenticated:
            authenticated = await self.identity.authenticate(request, service_guess="sagemaker")
            await self.identity.authorise_operation(authenticated, request, action, [resource], parameters)
            return authenticated

        return self.run(judge())

    def refusal(self, judge: Callable[[], object]) -> AwsError | None:
        """The error that `judge` raises; None: it allows the call."""
        try:
            judge()
        except AwsError as error:
            return error
        return None


def _named(documents: tuple[object, ...]) -> dict[str, str]:
    return {
        f"policy-{number}": document if isinstance(document, str) else json.dumps(document)
        for number, document in enumerate(documents)
    }


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def sign(
    key: AccessKey,
    service: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    region: str = REGION,
    token: str | None = None,
    expires: int | None = None,
    endpoint: str = ENDPOINT,
) -> Request:
    """A request as botocore signs and sends it; presigned when `expires` is given."""
    url = endpoint + path
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    credentials = Credentials(key.access_key_id, key.secret_access_key, token)
    if expires is not None:
        presigner = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
        presigner(credentials, service, region, expires).add_auth(request)
    else:
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(credentials, service, region).add_auth(request)
    prepared = request.prepare()
    target = urlsplit(prepared.url)
    sent = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    return Request(method, target.path, target.query, {"host": target.netloc, **sent}, body)


@pytest.fixture
def signed() -> Callable[..., Request]:
    """The function `sign`."""
    return sign


@pytest.fixture
def empty_room(tmp_path: Path) -> Iterator[Room]:
    """A room whose account has not been set up."""
    room = Room(tmp_path)
    yield room
    room.store.close()


@pytest.fixture
def room(empty_room: Room) -> Room:
    """A room with the users and the role that every account starts with."""
    empty_room.run(empty_room.identity.start())
    return empty_room


@pytest.fixture
def open_room(tmp_path: Path) -> Iterator[Room]:
    """A room that enforces nothing."""
    room = Room(tmp_path, enforce=False)
    room.run(room.identity.start())
    yield room
    room.store.close()
