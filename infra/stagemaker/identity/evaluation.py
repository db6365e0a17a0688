"""The logic of policy evaluation within one account.

After "Policy evaluation logic" of the IAM user guide: an explicit deny anywhere wins; a permissions
boundary and session policies limit what identity-based policies allow; a resource-based policy that
names the principal itself allows on its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

from stagemaker.identity.documents import Effect, Principals, Statement
from stagemaker.identity.globs import Keys
from stagemaker.identity.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True)
class Question:
    """May this action be done on this resource, in this context? `action` is spelt as AWS does."""

    action: str
    resource: str
    keys: Keys


class Verdict(Enum):
    """What a set of statements says."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


class Reach(IntEnum):
    """How closely the Principal element of a statement names a principal, in rising order."""

    NONE = 0
    ACCOUNT = 1
    """Its account, which leaves the decision to identity-based policies."""
    ROLE = 2
    """The role of a session: boundaries and session policies still limit it."""
    ITSELF = 3
    """The user or the session: nothing but an explicit deny limits it."""


class Reason(Enum):
    """How AWS words the end of a refusal. An empty text: it gives no reason."""

    IDENTITY_DENIES = "with an explicit deny in an identity-based policy"
    RESOURCE_DENIES = "with an explicit deny in a resource-based policy"
    BOUNDARY_DENIES = "with an explicit deny in a permissions boundary"
    SESSION_DENIES = "with an explicit deny in a session policy"
    IDENTITY_SILENT = "because no identity-based policy allows the {action} action"
    RESOURCE_SILENT = "because no resource-based policy allows the {action} action"
    BOUNDARY_SILENT = "because no permissions boundary allows the {action} action"
    SESSION_SILENT = "because no session policy allows the {action} action"
    TRUST_SILENT = ""


@dataclass(frozen=True, slots=True)
class Policies:
    """The statements that bear on one call. `boundary` and `session` are None where there are none."""

    identity: tuple[Statement, ...] = ()
    boundary: tuple[Statement, ...] | None = None
    session: tuple[Statement, ...] | None = None
    resource: tuple[Statement, ...] = ()
    resource_must_allow: bool = False
    """As a role's trust policy must: an identity-based policy alone does not suffice."""


def decide(statements: Iterable[Statement], question: Question) -> Verdict:
    """What identity-based statements say: a deny if any denies, else allow if any allows."""
    action = question.action.lower()
    verdict = Verdict.SILENT
    for statement in statements:
        if verdict is Verdict.ALLOW and statement.effect is Effect.ALLOW:
            continue
        if statement.covers(action, question.resource, question.keys):
            if statement.effect is Effect.DENY:
                return Verdict.DENY
            verdict = Verdict.ALLOW
    return verdict


def decide_resource(statements: Iterable[Statement], question: Question, principal: Principal) -> tuple[Verdict, Reach]:
    """What a resource's own policy says to `principal`, and how closely the allowing statement names it."""
    action = question.action.lower()
    closest = Reach.NONE
    for statement in statements:
        reach = reach_of(statement, principal)
        if reach is Reach.NONE or not statement.covers(action, question.resource, question.keys):
            continue
        if statement.effect is Effect.DENY:
            return Verdict.DENY, reach
        closest = max(closest, reach)
    return (Verdict.ALLOW if closest else Verdict.SILENT), closest


def reach_of(statement: Statement, principal: Principal) -> Reach:
    """How closely the statement names `principal`. Without a Principal element it names nobody."""
    if statement.principals is None:
        return Reach.NONE
    reach = _named(statement.principals, principal)
    if not statement.not_principals:
        return reach
    # A deny spares only whom NotPrincipal lists in person: a user's account or a session's role is not enough.
    spared = reach is Reach.ITSELF if statement.effect is Effect.DENY else reach is not Reach.NONE
    return Reach.NONE if spared else Reach.ITSELF


def _named(principals: Principals, principal: Principal) -> Reach:
    if principal.kind is PrincipalKind.SERVICE:
        return Reach.ITSELF if principals.everyone or principal.name in principals.services else Reach.NONE
    if principal.kind is PrincipalKind.ANONYMOUS:
        return Reach.ITSELF if principals.everyone else Reach.NONE
    reach = Reach.NONE
    if principals.everyone:
        reach = Reach.ROLE if principal.kind is PrincipalKind.ROLE_SESSION else Reach.ITSELF
    for named in principals.aws:
        if named == principal.arn:
            return Reach.ITSELF
        if named == principal.entity_arn:
            reach = max(reach, Reach.ROLE)
        elif named in {principal.account, f"arn:aws:iam::{principal.account}:root"}:
            reach = max(reach, Reach.ACCOUNT)
    return reach


def evaluate(policies: Policies, question: Question, principal: Principal) -> Reason | None:
    """Why the call is refused; None: it is allowed."""
    is_root = principal.kind is PrincipalKind.ROOT
    identity = Verdict.ALLOW if is_root else decide(policies.identity, question)
    boundary = Verdict.ALLOW if policies.boundary is None else decide(policies.boundary, question)
    session = Verdict.ALLOW if policies.session is None else decide(policies.session, question)
    resource, reach = decide_resource(policies.resource, question, principal)
    for verdict, reason in (
        (identity, Reason.IDENTITY_DENIES),
        (resource, Reason.RESOURCE_DENIES),
        (boundary, Reason.BOUNDARY_DENIES),
        (session, Reason.SESSION_DENIES),
    ):
        if verdict is Verdict.DENY:
            return reason
    if policies.resource_must_allow and resource is not Verdict.ALLOW:
        return Reason.TRUST_SILENT
    if resource is Verdict.ALLOW and reach is Reach.ITSELF:
        return None
    if identity is not Verdict.ALLOW and not (resource is Verdict.ALLOW and reach is Reach.ROLE):
        anonymous = principal.kind in {PrincipalKind.ANONYMOUS, PrincipalKind.SERVICE}
        return Reason.RESOURCE_SILENT if anonymous else Reason.IDENTITY_SILENT
    if boundary is not Verdict.ALLOW:
        return Reason.BOUNDARY_SILENT
    if session is not Verdict.ALLOW:
        return Reason.SESSION_SILENT
    return None
