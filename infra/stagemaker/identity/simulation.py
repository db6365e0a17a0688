"""IAM's policy simulator, answered by the same evaluation that judges real calls.

A backing's own simulator would be a second account of the facts; the SageMaker SDK asks this one
whether an execution role will do. Source: SimulatePrincipalPolicy in the IAM API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from stagemaker.identity.context import question_keys
from stagemaker.identity.directory import Directory
from stagemaker.identity.documents import MalformedPolicyError, Statement, parse_policy
from stagemaker.identity.evaluation import Policies, Question, Reason, evaluate
from stagemaker.identity.principal import Principal, PrincipalKind
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context
from stagemaker.wire.model import load_service_model
from stagemaker.wire.query import QueryCodec

_DENIALS = frozenset({Reason.IDENTITY_DENIES, Reason.RESOURCE_DENIES, Reason.BOUNDARY_DENIES, Reason.SESSION_DENIES})
_NOT_SIMULATED = ("ResourcePolicy", "ResourceOwner", "CallerArn", "ResourceHandlingOption")


def iam_api(directory: Directory, account: str, clock: Callable[[], datetime]) -> Api:
    """The two operations of IAM that are ours; the backing has the rest."""
    model = load_service_model("iam")
    simulator = _Simulator(directory, account, clock)
    return Api(
        model,
        [QueryCodec(model)],
        {
            "SimulatePrincipalPolicy": simulator.simulate_principal_policy,
            "SimulateCustomPolicy": simulator.simulate_custom_policy,
        },
        prefix="iam",
        resources=_resources,
    )


def _resources(_operation: str, parameters: dict[str, Any], _context: Context) -> Sequence[str]:
    arn = parameters.get("PolicySourceArn")
    return [arn] if isinstance(arn, str) else ["*"]


class _Simulator:
    def __init__(self, directory: Directory, account: str, clock: Callable[[], datetime]) -> None:
        self._directory = directory
        self._account = account
        self._clock = clock

    async def simulate_principal_policy(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """Every action on every resource, as the user or role would be judged. Raises NoSuchEntity."""
        principal = await self._principal(parameters["PolicySourceArn"])
        policies = await self._directory.policies(principal)
        return await self._simulate(context, parameters, principal, policies)

    async def simulate_custom_policy(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """The same for policies that belong to nobody."""
        nobody = Principal(
            f"arn:aws:iam::{self._account}:user/simulated", kind=PrincipalKind.USER, account=self._account
        )
        return await self._simulate(context, parameters, nobody, Policies())

    async def _simulate(
        self, context: Context, parameters: dict[str, Any], principal: Principal, policies: Policies
    ) -> dict[str, Any]:
        for member in _NOT_SIMULATED:
            if member in parameters:
                raise AwsError("InvalidInput", f"Stagemaker's policy simulator does not take {member}.")
        policies = replace(policies, identity=policies.identity + _parsed(parameters.get("PolicyInputList", [])))
        if boundary := parameters.get("PermissionsBoundaryPolicyInputList"):
            policies = replace(policies, boundary=_parsed(boundary))
        entity = (await self._directory.account()).entity(principal)
        given = {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in parameters.get("ContextEntries", [])}
        keys = question_keys(principal, entity, given, region=context.region, account=self._account, now=self._clock())
        results = [
            _result(action, resource, evaluate(policies, Question(action, resource, keys), principal))
            for action in parameters["ActionNames"]
            for resource in parameters.get("ResourceArns", ["*"])
        ]
        return {"EvaluationResults": results, "IsTruncated": False}

    async def _principal(self, arn: str) -> Principal:
        account = await self._directory.account()
        for kind, entities in ((PrincipalKind.USER, account.users), (PrincipalKind.ROLE_SESSION, account.roles)):
            for entity in entities.values():
                if entity.arn == arn:
                    return Principal(
                        arn, entity.unique_id, kind=kind, account=self._account, name=entity.name, entity_arn=arn
                    )
        raise AwsError("NoSuchEntity", f"The policy source {arn} cannot be found: it must be a user or a role.", 404)


def _parsed(documents: Sequence[str]) -> tuple[Statement, ...]:
    try:
        return tuple(statement for document in documents for statement in parse_policy(document))
    except MalformedPolicyError as error:
        raise AwsError("InvalidInput", str(error)) from error


def _result(action: str, resource: str, reason: Reason | None) -> Mapping[str, Any]:
    decision = "allowed" if reason is None else "explicitDeny" if reason in _DENIALS else "implicitDeny"
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision,
        "MatchedStatements": [],
        "MissingContextValues": [],
    }
