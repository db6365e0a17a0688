"""A service of ours as the gateway sees it: read a request, say what it touches, carry it out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.model import OperationModel, ServiceModel

from stagemaker.wire.codec import Codec, find_operation
from stagemaker.wire.errors import AwsError, UnsupportedError, ValidationError
from stagemaker.wire.message import Context, Reply, Request
from stagemaker.wire.validation import validate

HEARTBEAT_SECONDS = 5.0
"""Between two spaces of a held reply: far below any client's read time-out (botocore's is 60 s)."""


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that comes later. The client is kept waiting with white space until `result` is done.

    JSON allows white space before the document, so an unmodified client simply waits.
    """

    result: Callable[[], Awaitable[dict[str, Any]]]


Handler = Callable[[Context, dict[str, Any]], Awaitable[dict[str, Any] | Held]]
Resources = Callable[[str, dict[str, Any], Context], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A request understood: which operation, with which parameters, in which protocol."""

    operation: OperationModel
    parameters: dict[str, Any]
    codec: Codec


class Api:
    """One service: its model, the protocols it answers, the handlers of its operations.

    `resources(operation, parameters, context)` gives the ARNs that an authoriser should judge
    (`["*"]` where the operation has none). `prefix` is the service's word in IAM actions.
    `validation_code` is the code of a request that breaks its model, where it is not AWS's usual one.
    """

    def __init__(
        self,
        model: ServiceModel,
        codecs: Sequence[Codec],
        handlers: Mapping[str, Handler],
        *,
        prefix: str,
        resources: Resources = lambda _operation, _parameters, _context: ["*"],
        validation_code: str = "ValidationException",
    ) -> None:
        unknown = set(handlers) - set(model.operation_names)
        if unknown:
            raise ValueError(f"not operations of {model.service_name}: {sorted(unknown)}")
        self.model = model
        self.codecs = tuple(codecs)
        self.handlers = dict(handlers)
        self.prefix = prefix
        self.resources = resources
        self.validation_code = validation_code

    def codec_for(self, request: Request) -> Codec:
        """The protocol that `request` speaks; the service's main one when none claims it. Never raises."""
        with contextlib.suppress(AwsError):
            request = request.unpacked()
        return self._understood(request)[0]

    def _understood(self, request: Request) -> tuple[Codec, str | None]:
        for codec in self.codecs:
            if name := codec.operation_name(request):
                return codec, name
        return self.codecs[0], None

    def answers(self, request: Request) -> bool:
        """Whether `request` names an operation that has a handler. Never raises."""
        with contextlib.suppress(AwsError):
            return self._understood(request.unpacked())[1] in self.handlers
        return False

    def read(self, request: Request) -> Invocation:
        """Understand `request`. Raises AwsError when it is malformed or names no known operation."""
        request = request.unpacked()
        codec, name = self._understood(request)
        if name is None:
            raise UnsupportedError(f"The request names no operation of {self.model.service_name}")
        operation = find_operation(self.model, name)
        if name not in self.handlers:
            raise UnsupportedError(
                f"{self.model.service_name}:{name} is not implemented by this version of Stagemaker. "
                "docs/fidelity.md says what is."
            )
        return Invocation(operation, codec.read(operation, request), codec)

    def action(self, invocation: Invocation) -> str:
        """The IAM action, such as `sagemaker:CreateTrainingJob`."""
        return f"{self.prefix}:{invocation.operation.name}"

    async def invoke(self, invocation: Invocation, context: Context) -> Reply:
        """Validate and carry out. Raises AwsError."""
        operation, codec = invocation.operation, invocation.codec
        try:
            validate(operation.input_shape, invocation.parameters)
        except ValidationError as error:
            raise AwsError(self.validation_code, error.message) from None
        result = await self.handlers[operation.name](context, invocation.parameters)
        if isinstance(result, Held):
            head = codec.write(operation, {}, context.request_id)
            return Reply(head.status, head.headers, _held_body(result, codec, operation, context.request_id))
        return codec.write(operation, result, context.request_id)


async def _held_body(
    held: Held, codec: Codec, operation: OperationModel, request_id: str
) -> AsyncGenerator[bytes, None]:
    """White space at intervals, then the document. The status is sent already: errors end the stream."""
    waiting = asyncio.ensure_future(held.result())
    try:
        yield b" "
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=HEARTBEAT_SECONDS)
            if not waiting.done():
                yield b" "
        try:
            reply = codec.write(operation, waiting.result(), request_id)
        except AwsError as error:
            reply = codec.write_error(error, request_id)
        if isinstance(reply.body, bytes):
            yield reply.body
    finally:
        waiting.cancel()
