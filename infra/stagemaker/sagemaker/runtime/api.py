"""SageMaker Runtime: `POST /endpoints/{EndpointName}/invocations`, from the HTTP request to the HTTP reply.

The other services read and write through botocore's models. This path is walked a thousand times a second, so
it goes by hand, to the same model: names of headers, limits, patterns and their texts.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from botocore.model import Shape

from stagemaker.sagemaker.honoured import HONOURED, Entry, Refused, refuse_unhonoured
from stagemaker.sagemaker.part import Part
from stagemaker.sagemaker.runtime.choice import Chooser
from stagemaker.sagemaker.runtime.data_capture import DataCapture
from stagemaker.sagemaker.runtime.errors import Place, RuntimeApiError, UnavailableError
from stagemaker.sagemaker.runtime.invocation import CUSTOM_ATTRIBUTES, Invoked, Invoker, InvokeRequest
from stagemaker.sagemaker.runtime.metrics import InvocationMetrics
from stagemaker.sagemaker.runtime.pool import Pool
from stagemaker.sagemaker.runtime.route import Routes
from stagemaker.wire.errors import UnsupportedError, ValidationError
from stagemaker.wire.message import Reply, Request
from stagemaker.wire.model import load_service_model
from stagemaker.wire.validation import validate

LARGEST_BODY = 6 * 1024 * 1024
"""Bytes of a request's body."""

MOST_UNDER_WAY = 512
"""Requests at once, at all endpoints. Each holds a connection of its client's and one to a container."""

MOST_BODY_BYTES = 256 * 1024 * 1024
"""Of the bodies of all requests at once."""

_PATH = re.compile(r"/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)")
_OPERATIONS = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}

_HEADERS = {
    "content-type": "ContentType",
    "accept": "Accept",
    CUSTOM_ATTRIBUTES: "CustomAttributes",
    "x-amzn-sagemaker-inference-id": "InferenceId",
    "x-amzn-sagemaker-target-variant": "TargetVariant",
    "x-amzn-sagemaker-target-container-hostname": "TargetContainerHostname",
    "x-amzn-sagemaker-target-model": "TargetModel",
    "x-amzn-sagemaker-enable-explanations": "EnableExplanations",
    "x-amzn-sagemaker-inference-component": "InferenceComponentName",
    "x-amzn-sagemaker-session-id": "SessionId",
    "x-amzn-sagemaker-prefix-aware-id": "PrefixAwareId",
}
"""The members of InvokeEndpoint that are headers."""

HONOURED_MEMBERS: dict[str, Entry] = {
    "EndpointName": HONOURED,
    "Body": HONOURED,
    "ContentType": HONOURED,
    "Accept": HONOURED,
    "CustomAttributes": HONOURED,
    "InferenceId": HONOURED,
    "TargetVariant": HONOURED,
    "TargetContainerHostname": HONOURED,
    "TargetModel": Refused("there are no multi-model endpoints yet"),
    "EnableExplanations": Refused("predictions are not explained"),
    "InferenceComponentName": Refused("there are no inference components"),
    "SessionId": Refused("models have no sessions"),
    "PrefixAwareId": Refused("requests are not routed by prefix"),
}


@dataclass(frozen=True, slots=True)
class RuntimeCall:
    """A call of the runtime API before it is judged: the IAM action, its resource, the keys for conditions."""

    operation: str
    endpoint: str
    resource: str
    context: Mapping[str, str]

    @property
    def action(self) -> str:
        """As policies spell it."""
        return f"sagemaker:{self.operation}"


class Runtime(Part):
    """The runtime API. As a part of SageMaker it has no operations in the control plane, only a life."""

    def __init__(
        self,
        account: str,
        routes: Routes,
        metrics: InvocationMetrics,
        capture: DataCapture,
        *,
        pool: Pool | None = None,
        seed: int | None = None,
    ) -> None:
        self._account = account
        self._metrics = metrics
        self._capture = capture
        self._pool = pool or Pool()
        self._invoker = Invoker(routes, self._pool, Chooser(seed), metrics, capture)
        self._under_way = 0
        self._body_bytes = 0

    async def start(self) -> None:
        """Begin to write what is captured."""
        await self._capture.start()

    async def stop(self) -> None:
        """Put in the last metrics, write the last captured data."""
        self._pool.close()
        self._metrics.flush()
        await self._capture.stop()

    def reset(self) -> None:
        """Forget what belongs to endpoints that are no more."""
        self._pool.close()
        self._metrics.forget()
        self._capture.forget()

    @staticmethod
    def claims(request: Request) -> bool:
        """Whether `request` is one for this API, by its method and path."""
        return request.method == "POST" and _PATH.fullmatch(request.path) is not None

    @contextlib.contextmanager
    def admitted(self, head: Request) -> Iterator[None]:
        """Room for one more request and its body. Raises ServiceUnavailable when there is none."""
        length = head.headers.get("content-length", "")
        size = min(int(length), LARGEST_BODY) if length.isascii() and length.isdigit() else LARGEST_BODY
        if self._under_way >= MOST_UNDER_WAY or self._body_bytes + size > MOST_BODY_BYTES:
            raise UnavailableError("Too many requests are under way.")
        self._under_way += 1
        self._body_bytes += size
        try:
            yield
        finally:
            self._under_way -= 1
            self._body_bytes -= size

    def read(self, head: Request, region: str) -> RuntimeCall:
        """What the request is about; its ARN has the name in small letters, as AWS's has."""
        match = _PATH.fullmatch(head.path)
        assert match is not None, "claims() comes first"
        endpoint = unquote(match[1])
        target_model = head.headers.get("x-amzn-sagemaker-target-model")
        return RuntimeCall(
            _OPERATIONS[match[2]],
            endpoint,
            f"arn:aws:sagemaker:{region}:{self._account}:endpoint/{endpoint.lower()}",
            {"sagemaker:TargetModel": target_model} if target_model is not None else {},
        )

    async def invoke(self, call: RuntimeCall, request: Request, region: str, request_id: str, began: float) -> Reply:
        """Carry a call out that is allowed. `began` is when it came in, by `time.perf_counter`. Raises AwsError."""
        if call.operation != "InvokeEndpoint":
            raise UnsupportedError(
                f"sagemaker-runtime:{call.operation} is not implemented by this version of Stagemaker. "
                "docs/fidelity.md says what is."
            )
        members = _members(call, request)
        invoked = await self._invoker.invoke(
            InvokeRequest(
                Place(self._account, region, call.endpoint),
                request.body,
                began,
                members.get("ContentType"),
                members.get("Accept"),
                members.get("CustomAttributes"),
                members.get("InferenceId"),
                members.get("TargetVariant"),
                members.get("TargetContainerHostname"),
            )
        )
        return _reply(invoked, request_id)


def too_large() -> RuntimeApiError:
    """A body above `LARGEST_BODY`."""
    return RuntimeApiError(
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        f"Member must have length less than or equal to {LARGEST_BODY}"
    )


def _members(call: RuntimeCall, request: Request) -> dict[str, str]:
    """The members of the request beside its body. Raises AwsError for one that breaks the model."""
    members = {member: value for header, member in _HEADERS.items() if (value := request.headers.get(header))}
    try:
        validate(_input_shape(), {"EndpointName": call.endpoint, "Body": b"", **members})
        refuse_unhonoured(members, HONOURED_MEMBERS)
    except ValidationError as error:
        raise RuntimeApiError(error.message) from None
    return members


@cache
def _input_shape() -> Shape | None:
    return load_service_model("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape


def _reply(invoked: Invoked, request_id: str) -> Reply:
    headers = {"x-amzn-requestid": request_id, "x-amzn-invoked-production-variant": invoked.variant}
    for name in ("content-type", CUSTOM_ATTRIBUTES):
        if name in invoked.answer.headers:
            headers[name] = invoked.answer.headers[name]
    return Reply(200, headers, invoked.answer.body)
