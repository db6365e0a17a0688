"""The way of a call: guard, which call, who, may they, dispatch."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace

from stagemaker.backing import PRIVATE_PATHS
from stagemaker.gateway import guard
from stagemaker.gateway.asgi import (
    Application,
    BodyTooLargeError,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    answer_of,
    checked,
    read_body,
    read_head,
    replay,
    scope_of,
    send_reply,
)
from stagemaker.gateway.control import Control
from stagemaker.gateway.render import render_error
from stagemaker.gateway.target import Target, find_target
from stagemaker.identity.actions import Call
from stagemaker.identity.context import request_context
from stagemaker.identity.observation import is_observed
from stagemaker.identity.principal import PrincipalKind
from stagemaker.identity.room import Identity
from stagemaker.identity.s3_routes import streams as is_object_upload
from stagemaker.sagemaker.runtime.api import LARGEST_BODY as LARGEST_INVOCATION
from stagemaker.sagemaker.runtime.api import Runtime, too_large
from stagemaker.sagemaker.runtime.errors import write_error
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context, Reply, Request

_LOG = logging.getLogger(__name__)
_BODY_SECONDS = 60.0
"""For the body of a request to an endpoint: until it is there it takes room from others."""


class Gateway:
    """An ASGI application for HTTP. `apis` are the services of our own, by signing name.

    `runtime` answers the calls to endpoints; it may be given later, before the first call.
    """

    runtime: Runtime | None = None

    def __init__(
        self, identity: Identity, backing: Application, apis: Mapping[str, Api], control: Control, *, region: str
    ) -> None:
        self._identity = identity
        self._backing = backing
        self._apis = apis
        self._control = control
        self._region = region

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whatever happens."""
        began = time.perf_counter()
        head = read_head(scope)
        target = find_target(head, self._region)
        request_id = str(uuid.uuid4())
        try:
            guard.check(head, PRIVATE_PATHS)
            if guard.is_control(head):
                reply = await self._control.answer(head)
            elif self.runtime is not None and target.service == "sagemaker" and self.runtime.claims(head):
                reply = await self._invoke(self.runtime, head, receive, request_id, began)
            elif api := self._apis.get(target.service):
                reply = await self._carry_out(api, replace(head, body=await read_body(receive)), target, request_id)
            else:
                await self._hand_over(head, target, request_id, scope, receive, send)
                return
        except ClientGoneError:
            return
        except AwsError as error:
            reply = render_error(error, target.service, head, request_id)
        except Exception:  # noqa: BLE001 - a fault of ours is a 500 in AWS's form
            _LOG.exception("%s %s failed", head.method, head.path)
            failure = AwsError("InternalFailure", "The stage failed to carry out this call; its log says why.", 500)
            reply = render_error(failure, target.service, head, request_id)
        await send_reply(reply, send)

    async def _carry_out(self, api: Api, request: Request, target: Target, request_id: str) -> Reply:
        """A call to a service of ours. Its refusals are written by the protocol that the client speaks."""
        try:
            authenticated = await self._identity.authenticate(request, service_guess=target.service)
            invocation = api.read(request)
            context = Context(
                self._identity.account,
                authenticated.region,
                authenticated.principal,
                request_id,
                request.headers.get("user-agent", ""),
                request.headers,
            )
            action = api.action(invocation)
            resources = api.resources(invocation.operation.name, invocation.parameters, context)
            await self._identity.authorise_operation(authenticated, request, action, resources, invocation.parameters)
            return await api.invoke(invocation, context)
        except AwsError as error:
            return api.codec_for(request).write_error(error, request_id)

    async def _invoke(self, runtime: Runtime, head: Request, receive: Receive, request_id: str, began: float) -> Reply:
        """A call to an endpoint. It passes no role on, so its parameters are not looked through for any."""
        try:
            with runtime.admitted(head):
                try:
                    async with asyncio.timeout(_BODY_SECONDS):
                        request = replace(head, body=await read_body(receive, LARGEST_INVOCATION))
                except BodyTooLargeError:
                    raise too_large() from None
                except TimeoutError:
                    raise AwsError("RequestTimeout", "The body of the request did not come.", 408) from None
                authenticated = await self._identity.authenticate(request, service_guess="sagemaker")
                call = runtime.read(request, authenticated.region)
                await self._identity.authorise(
                    authenticated.principal,
                    call.action,
                    [call.resource],
                    context={**request_context(request), **call.context},
                    region=authenticated.region,
                    family=authenticated.family,
                )
                return await runtime.invoke(call, request, authenticated.region, request_id, began)
        except AwsError as error:
            return write_error(error, request_id)

    async def _hand_over(
        self, head: Request, target: Target, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A call to the backing. An object's bytes stream past; every other body is small and read whole."""
        streams = target.service == "s3" and is_object_upload(head)
        request = head if streams else replace(head, body=await read_body(receive))
        if target.service == "iam" and self._identity.iam.answers(request):
            await send_reply(await self._carry_out(self._identity.iam, request, target, request_id), send)
            return
        authenticated = await self._identity.authenticate(
            request, service_guess=target.service, body_is_whole=not streams
        )
        call = await self._identity.describe(request, authenticated)
        await self._identity.authorise_call(authenticated, call)
        forwarded = self._identity.forward(request, authenticated, call)
        if not streams:
            receive = replay(forwarded.body, receive)
        elif authenticated.payload_hash.startswith("STREAMING-") and (reader := authenticated.payload.reader()):
            # A plain hash is compared by the backing, which knows it when the last byte is in.
            receive = checked(receive, reader)
        inner = scope_of(
            forwarded,
            scope,
            service=authenticated.service,
            region=authenticated.region,
            anonymous=authenticated.principal.kind is PrincipalKind.ANONYMOUS,
        )
        if is_observed(call):
            await self._observe(call, inner, receive, send)
        else:
            await self._backing(inner, receive, send)

    async def _observe(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the answer to the identity room before the client sees it."""
        reply = await answer_of(self._backing, scope, receive)
        await send_reply(await self._identity.observe(call, reply), send)
