"""STS, answered by the stage: the backing does not know the stage's principals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stagemaker.identity.keyring import Session
from stagemaker.identity.principal import Principal
from stagemaker.identity.sessions import Sessions
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context
from stagemaker.wire.model import load_service_model
from stagemaker.wire.query import QueryCodec

# Members whose effect is not given: session tags, second factors and chained identities.
_NOT_HONOURED = ("Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity", "ProvidedContexts")


def sts_api(sessions: Sessions, account: str) -> Api:
    """STS as the gateway sees it.

    Handlers find the `Principal` in `context.caller`. AssumeRole has been authorised against the role's
    trust policy when its handler is called.
    """
    handlers = _Handlers(sessions, account)
    model = load_service_model("sts")
    return Api(
        model,
        [QueryCodec(model)],
        {
            "AssumeRole": handlers.assume_role,
            "GetAccessKeyInfo": handlers.get_access_key_info,
            "GetCallerIdentity": handlers.get_caller_identity,
            "GetSessionToken": handlers.get_session_token,
        },
        prefix="sts",
        resources=_resources,
    )


def _resources(operation: str, parameters: dict[str, Any], _context: Context) -> Sequence[str]:
    return [str(parameters.get("RoleArn") or "*")] if operation == "AssumeRole" else ["*"]


class _Handlers:
    def __init__(self, sessions: Sessions, account: str) -> None:
        self._sessions = sessions
        self._account = account

    async def assume_role(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """Temporary credentials of a role."""
        _refuse_members(parameters)
        session = await self._sessions.assume_role(_principal(context), parameters)
        answer = {
            "Credentials": _credentials(session),
            "AssumedRoleUser": {"AssumedRoleId": session.principal.user_id, "Arn": session.principal.arn},
        }
        policies = len("".join((*session.principal.session_policies, *session.principal.session_policy_arns)))
        # AWS packs them into the token and says how full it is, in per cent of 2,048 characters.
        return {**answer, "PackedPolicySize": max(1, policies * 100 // 2048)} if policies else answer

    async def get_caller_identity(self, context: Context, _parameters: dict[str, Any]) -> dict[str, Any]:
        """Who makes this call."""
        return {"UserId": context.caller.user_id, "Account": self._account, "Arn": context.caller.arn}

    async def get_session_token(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """Temporary credentials of the caller itself."""
        _refuse_members(parameters)
        return {
            "Credentials": _credentials(
                self._sessions.session_of_user(_principal(context), parameters.get("DurationSeconds"))
            )
        }

    async def get_access_key_info(self, _context: Context, _parameters: dict[str, Any]) -> dict[str, Any]:
        """The account of a key. All keys here are of one account."""
        return {"Account": self._account}


def _refuse_members(parameters: dict[str, Any]) -> None:
    for member in _NOT_HONOURED:
        if parameters.get(member):
            raise AwsError("ValidationError", f"Stagemaker cannot honour {member}: it would have no effect here.")


def _principal(context: Context) -> Principal:
    if not isinstance(context.caller, Principal):
        raise TypeError("the gateway must hand the authenticated principal to STS")
    return context.caller


def _credentials(session: Session) -> dict[str, Any]:
    return {
        "AccessKeyId": session.key.access_key_id,
        "SecretAccessKey": session.key.secret_access_key,
        "SessionToken": session.token,
        "Expiration": session.expiration,
    }
