"""The account's users, groups, roles and policies as its IAM tells them, kept until a write passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from stagemaker.identity.backing import Backing, BackingError, Unavailable, text_of
from stagemaker.identity.documents import MalformedPolicyError, Statement, parse_policy
from stagemaker.identity.evaluation import Policies
from stagemaker.identity.principal import Principal, PrincipalKind

_AWS_MANAGED = "arn:aws:iam::aws:policy/"
_ENTITY_LIST = {"User": "UserDetailList", "Group": "GroupDetailList", "Role": "RoleDetailList"}


@dataclass(frozen=True, slots=True)
class Entity:
    """A user, a group or a role: its inline documents, the ARNs of its managed policies, its tags.

    `trust` is a role's trust policy, `groups` a user's groups.
    """

    name: str
    arn: str
    unique_id: str
    inline: tuple[str, ...]
    attached: tuple[str, ...]
    tags: Mapping[str, str]
    groups: tuple[str, ...] = ()
    trust: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """All of IAM that a decision may need, at one moment."""

    users: Mapping[str, Entity]
    groups: Mapping[str, Entity]
    roles: Mapping[str, Entity]
    managed: Mapping[str, str]
    """ARN -> document of the default version, of the account's own managed policies."""
    policies: dict[tuple[PrincipalKind, str], Policies] = field(default_factory=dict)
    """Parsed policies of entities, filled as they are asked for. They go when the account does."""

    def entity(self, principal: Principal) -> Entity | None:
        """The user or role behind `principal`, if IAM (still) has it."""
        if principal.kind is PrincipalKind.USER:
            return self.users.get(principal.name)
        return self.roles.get(principal.name) if principal.kind is PrincipalKind.ROLE_SESSION else None


class Directory:
    """The account, asked for once and again after each `invalidate`."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._account: Account | None = None
        self._asking: asyncio.Task[Account] | None = None
        self._aws_managed: dict[str, str] = {}

    def invalidate(self) -> None:
        """IAM has changed. An answer that is on its way is not kept: it may be of before the change."""
        self._account = None
        self._asking = None

    async def account(self) -> Account:
        """The account as of now or as of the last change. Raises Unavailable."""
        while self._account is None:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            asking = self._asking
            # Shielded: a caller that goes away must not take the answer from the others.
            try:
                account = await asyncio.shield(asking)
            except Exception:
                if self._asking is asking:
                    self._asking = None
                raise
            if self._asking is asking:
                self._account, self._asking = account, None
        return self._account

    async def _ask(self) -> Account:
        found: dict[str, dict[str, Entity]] = {kind: {} for kind in _ENTITY_LIST}
        managed: dict[str, str] = {}
        parameters = {
            "Filter__member__1": "User",
            "Filter__member__2": "Group",
            "Filter__member__3": "Role",
            "Filter__member__4": "LocalManagedPolicy",
        }
        while True:
            page = await self._iam("GetAccountAuthorizationDetails", **parameters)
            for kind, where in _ENTITY_LIST.items():
                for element in page.iterfind(f".//{where}/member"):
                    entity = _entity(kind, element)
                    found[kind][entity.name] = entity
            for element in page.iterfind(".//GetAccountAuthorizationDetailsResult/Policies/member"):
                managed[text_of(element, "Arn")] = _default_document(element)
            if text_of(page, ".//GetAccountAuthorizationDetailsResult/IsTruncated") != "true":
                return Account(found["User"], found["Group"], found["Role"], managed)
            parameters["Marker"] = text_of(page, ".//GetAccountAuthorizationDetailsResult/Marker")

    async def _iam(self, action: str, **parameters: str) -> ET.Element:
        try:
            return await self._backing.iam(action, **parameters)
        except BackingError as error:
            raise Unavailable(f"iam:{action}", str(error)) from error

    async def policies(self, principal: Principal) -> Policies:
        """The identity-based policies, boundary and session policies that bear on `principal`."""
        account = await self.account()
        key = (principal.kind, principal.name)
        policies = account.policies.get(key)
        if policies is None:
            policies = await self._read_policies(account, principal)
            account.policies[key] = policies
        if principal.session_policies or principal.session_policy_arns:
            documents = [
                *principal.session_policies,
                *[await self.managed_document(arn) for arn in principal.session_policy_arns],
            ]
            return Policies(policies.identity, policies.boundary, _statements(documents, "a session policy"))
        return policies

    async def _read_policies(self, account: Account, principal: Principal) -> Policies:
        entity = account.entity(principal)
        if entity is None:
            return Policies()
        holders = [entity, *[account.groups[name] for name in entity.groups if name in account.groups]]
        documents = [document for holder in holders for document in holder.inline]
        for holder in holders:
            documents += [await self.managed_document(arn) for arn in holder.attached]
        boundary = await self._boundary(principal)
        return Policies(
            _statements(documents, f"a policy of {entity.arn}"),
            None if boundary is None else _statements([boundary], f"the permissions boundary of {entity.arn}"),
        )

    async def _boundary(self, principal: Principal) -> str | None:
        """The document of the permissions boundary. GetUser and GetRole tell it on every backing."""
        if principal.kind is PrincipalKind.USER:
            answer = await self._iam("GetUser", UserName=principal.name)
        else:
            answer = await self._iam("GetRole", RoleName=principal.name)
        arn = text_of(answer, ".//PermissionsBoundary/PermissionsBoundaryArn")
        return await self.managed_document(arn) if arn else None

    async def managed_document(self, arn: str) -> str:
        """The default version of a managed policy. AWS's own do not change, and are kept."""
        document = (await self.account()).managed.get(arn) or self._aws_managed.get(arn)
        if document is None:
            policy = await self._iam("GetPolicy", PolicyArn=arn)
            version = text_of(policy, ".//DefaultVersionId")
            answer = await self._iam("GetPolicyVersion", PolicyArn=arn, VersionId=version)
            document = _decoded(text_of(answer, ".//PolicyVersion/Document"))
            if arn.startswith(_AWS_MANAGED):
                self._aws_managed[arn] = document
        return document

    async def longest_session(self, role_name: str) -> int:
        """A role's MaxSessionDuration in seconds."""
        answer = await self._iam("GetRole", RoleName=role_name)
        return int(text_of(answer, ".//Role/MaxSessionDuration") or 3600)


def _statements(documents: Iterable[str], whose: str) -> tuple[Statement, ...]:
    try:
        statements = tuple(statement for document in documents for statement in parse_policy(document))
    except MalformedPolicyError as error:
        raise Unavailable("with a policy that can be read", f"{whose}: {error}") from error
    if any(statement.resources is None for statement in statements):
        raise Unavailable("with a policy that can be read", f"{whose}: Policy statement must contain resources.")
    return statements


def _entity(kind: str, element: ET.Element) -> Entity:
    return Entity(
        name=text_of(element, f"{kind}Name"),
        arn=text_of(element, "Arn"),
        unique_id=text_of(element, f"{kind}Id"),
        inline=tuple(_decoded(text_of(one, "PolicyDocument")) for one in element.iterfind(f"{kind}PolicyList/member")),
        attached=tuple(text_of(one, "PolicyArn") for one in element.iterfind("AttachedManagedPolicies/member")),
        tags={text_of(tag, "Key"): text_of(tag, "Value") for tag in element.iterfind("Tags/member")},
        groups=tuple(group.text or "" for group in element.iterfind("GroupList/member")),
        trust=_decoded(text_of(element, "AssumeRolePolicyDocument")),
    )


def _default_document(policy: ET.Element) -> str:
    for version in policy.iterfind("PolicyVersionList/member"):
        if text_of(version, "IsDefaultVersion") == "true":
            return _decoded(text_of(version, "Document"))
    return ""


def _decoded(document: str) -> str:
    """IAM percent-encodes the documents in its answers."""
    return document if document.lstrip().startswith("{") else unquote(document)
