"""The way of a call: guard, which call, who, may they, dispatch."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace

from stagemaker.backing import PRIVATE_PATHS
from stagemaker.backing.port import Backing
from stagemaker.gateway import guard
from stagemaker.gateway.asgi import ClientGoneError, Receive, Scope, Send, read_body, read_head, replay, send_reply
from stagemaker.gateway.control import Control
from stagemaker.gateway.render import render_error
from stagemaker.gateway.target import Target, find_target
from stagemaker.identity.room import Identity
from stagemaker.wire.api import Api
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context, Reply, Request

_log = logging.getLogger(__name__)


class Gateway:
    """An ASGI application for HTTP. `apis` are the services of our own, by signing name."""

    def __init__(
        self, identity: Identity, backing: Backing, apis: Mapping[str, Api], control: Control, *, region: str
    ) -> None:
        self._identity = identity
        self._backing = backing
        self._apis = apis
        self._control = control
        self._region = region

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whatever happens."""
        head = read_head(scope)
        target = find_target(head, self._region)
        request_id = str(uuid.uuid4())
        try:
            guard.check(head, PRIVATE_PATHS)
            if guard.is_control(head):
                reply = await self._control.answer(head)
            elif api := self._apis.get(target.service):
                request = replace(head, body=await read_body(receive))
                reply = await self._own(api, request, target, request_id)
            else:
                await self._forward(head, target, scope, receive, send)
                return
        except ClientGoneError:
            return
        except AwsError as error:
            reply = render_error(error, target.service, head, request_id)
        except Exception:
            _log.exception("%s %s failed", head.method, head.path)
            failure = AwsError("InternalFailure", "The stage failed to carry out this call; its log says why.", 500)
            reply = render_error(failure, target.service, head, request_id)
        await send_reply(reply, send)
