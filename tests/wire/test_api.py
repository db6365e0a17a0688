from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.model import ServiceModel

from stagemaker.wire import api as api_module
from stagemaker.wire.api import Api, Held
from stagemaker.wire.cbor import CborCodec
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.errors import AwsError, NotHonouredError, UnsupportedError
from stagemaker.wire.message import MOST_UNPACKED, Caller, Context, Reply, Request

CONTEXT = Context("123456789012", "us-east-1", Caller("arn:aws:iam::123456789012:root"), "id-1")


def request(operation: str = "Echo", body: bytes = b"{}", **headers: str) -> Request:
    """A JSON request to the echo service."""
    return Request("POST", "/", "", {"x-amz-target": f"EchoService.{operation}", **headers}, body)


def echo_api(model: ServiceModel, answer: Callable[[], Awaitable[dict[str, Any]]] | None = None) -> Api:
    """An echo service; with `answer`, a held one."""

    async def echo(_: Context, parameters: dict[str, Any]) -> dict[str, Any] | Held:
        return Held(answer) if answer else parameters

    return Api(model, [JsonCodec(model), CborCodec(model)], {"Echo": echo}, prefix="echo")


async def body_of(reply: Reply) -> bytes:
    """The whole body of a reply."""
    return reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])


def test_a_request_is_read_and_carried_out(echo_model: ServiceModel) -> None:
    """`read` tells operation, parameters and IAM action before anything happens; `invoke` answers."""
    api = echo_api(echo_model)
    invocation = api.read(request(body=b'{"Everything": {"Text": "hi"}}'))
    assert api.action(invocation) == "echo:Echo"
    assert invocation.parameters == {"Everything": {"Text": "hi"}}
    assert api.resources("Echo", invocation.parameters, CONTEXT) == ["*"]
    reply = asyncio.run(api.invoke(invocation, CONTEXT))
    assert json.loads(asyncio.run(body_of(reply))) == {"Everything": {"Text": "hi"}}


def test_the_parameters_are_validated_before_the_handler(echo_model: ServiceModel) -> None:
    """A request that breaks the model never reaches a handler."""
    from stagemaker.wire.model import load_service_model

    async def never(_: Context, __: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("the handler was called")

    model = load_service_model("sagemaker")
    api = Api(model, [JsonCodec(model)], {"DescribeTrainingJob": never}, prefix="sagemaker")
    asked = Request("POST", "/", "", {"x-amz-target": "SageMaker.DescribeTrainingJob"}, b"{}")
    with pytest.raises(AwsError, match="Value null at 'trainingJobName'") as caught:
        asyncio.run(api.invoke(api.read(asked), CONTEXT))
    assert caught.value.code == "ValidationException"


def test_a_service_may_call_validation_its_own_way() -> None:
    """CloudWatch Logs answers InvalidParameterException, in the same words."""
    from stagemaker.wire.model import load_service_model

    model = load_service_model("logs")
    api = Api(
        model,
        [JsonCodec(model)],
        {"DeleteLogGroup": lambda _, parameters: asyncio.sleep(0, parameters)},
        prefix="logs",
        validation_code="InvalidParameterException",
    )
    asked = Request("POST", "/", "", {"x-amz-target": "Logs_20140328.DeleteLogGroup"}, b"{}")
    with pytest.raises(AwsError, match="1 validation error detected: Value null at 'logGroupName'") as caught:
        asyncio.run(api.invoke(api.read(asked), CONTEXT))
    assert caught.value.code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request("Quiet"), "echo:Quiet is not implemented by this version of Stagemaker"),
        (request("Shout"), "echo has no operation named Shout"),
        (Request("POST", "/", "", {}, b""), "The request names no operation of echo"),
        (Request("POST", "/", "", {"x-amz-target": "Other.Echo"}, b""), "The request names no operation of echo"),
    ],
)
def test_an_operation_that_is_not_there(asked: Request, said: str, echo_model: ServiceModel) -> None:
    """Known but not built, unknown, and none at all: each is refused with a 4xx that clients do not retry."""
    with pytest.raises(UnsupportedError, match=said) as caught:
        echo_api(echo_model).read(asked)
    assert (caught.value.code, caught.value.status) == ("UnknownOperationException", 400)


def test_a_table_of_handlers_names_real_operations(echo_model: ServiceModel) -> None:
    """A misspelt handler is found when the service is built."""
    with pytest.raises(ValueError, match="not operations of echo: \\['Ecko'\\]"):
        Api(echo_model, [JsonCodec(echo_model)], {"Ecko": None}, prefix="echo")  # type: ignore[dict-item]  # never called


def test_an_error_is_written_in_the_protocol_of_its_request(echo_model: ServiceModel) -> None:
    """Also when the operation is unknown, the body broken or its packing wrong; else in the main one."""
    api = echo_api(echo_model)
    cbor = {"smithy-protocol": "rpc-v2-cbor"}
    for asked, kind in (
        (Request("POST", "/service/Echo/operation/Shout", "", cbor, b"\xff"), CborCodec),
        (Request("POST", "/service/Echo/operation/Echo", "", {**cbor, "content-encoding": "gzip"}, b"x"), CborCodec),
        (request("Shout"), JsonCodec),
        (Request("GET", "/", "", {}, b""), JsonCodec),
    ):
        with pytest.raises(AwsError):
            api.read(asked)
        assert isinstance(api.codec_for(asked), kind)


def test_a_packed_body_is_unpacked(echo_model: ServiceModel) -> None:
    """A client packs large bodies; a handler never notices."""
    body = json.dumps({"Everything": {"Text": "x" * 50_000}}).encode()
    invocation = echo_api(echo_model).read(request(body=gzip.compress(body), **{"content-encoding": "gzip"}))
    assert len(invocation.parameters["Everything"]["Text"]) == 50_000


@pytest.mark.parametrize(
    ("encoding", "body", "code", "status"),
    [
        ("gzip", b"not gzip", "SerializationException", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], "SerializationException", 400),
        ("gzip", gzip.compress(bytes(MOST_UNPACKED + 1), mtime=0), "RequestEntityTooLarge", 413),
        ("br", b"{}", "SerializationException", 415),
    ],
    # Bytes in an id would differ between the workers of a parallel run.
    ids=["not packed", "cut off", "too large", "packed otherwise"],
)
def test_a_body_that_cannot_be_unpacked(
    encoding: str, body: bytes, code: str, status: int, echo_model: ServiceModel
) -> None:
    """Broken, cut off, unpacking to more than memory should hold, or packed some other way: refused."""
    with pytest.raises(AwsError) as caught:
        echo_api(echo_model).read(request(body=body, **{"content-encoding": encoding}))
    assert (caught.value.code, caught.value.status) == (code, status)


def test_a_held_answer(echo_model: ServiceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets its headers at once, spaces while it waits, then a document that JSON still accepts."""
    monkeypatch.setattr(api_module, "HEARTBEAT_SECONDS", 0.01)

    async def later() -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"Everything": {"Text": "done"}}

    async def call() -> tuple[Reply, list[bytes]]:
        api = echo_api(echo_model, later)
        reply = await api.invoke(api.read(request()), CONTEXT)
        assert not isinstance(reply.body, bytes)
        return reply, [piece async for piece in reply.body]

    reply, pieces = asyncio.run(call())
    assert reply.status == 200
    assert "content-length" not in reply.headers
    assert pieces[0] == b" "
    assert len(pieces) > 3
    assert set(pieces[:-1]) == {b" "}
    assert json.loads(b"".join(pieces)) == {"Everything": {"Text": "done"}}


def test_a_held_answer_that_fails(echo_model: ServiceModel) -> None:
    """The status went out with the headers, so an error is the document: the client's next call gets it as one."""

    async def gone() -> dict[str, Any]:
        raise AwsError("BadThing", "it went away")

    async def call() -> bytes:
        api = echo_api(echo_model, gone)
        return await body_of(await api.invoke(api.read(request()), CONTEXT))

    assert json.loads(asyncio.run(call())) == {"__type": "BadThingException", "message": "it went away"}


def test_a_client_that_leaves_ends_the_wait(echo_model: ServiceModel) -> None:
    """When the reply is closed before its end, what it waited for is cancelled, not left behind."""
    cancelled = asyncio.Event()

    async def never() -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    async def call() -> None:
        api = echo_api(echo_model, never)
        reply = await api.invoke(api.read(request()), CONTEXT)
        assert not isinstance(reply.body, bytes)
        assert await anext(reply.body) == b" "
        waiting = asyncio.ensure_future(anext(reply.body))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait_for(cancelled.wait(), 1)

    asyncio.run(call())


@pytest.mark.parametrize(
    ("user_agent", "is_waiter"),
    [
        ("Boto3/1.43.106 md/Botocore#1.43.106 m/Z,D,b,B cfg/retry-mode#standard", True),
        ("Boto3/1.43.106 m/B,Z", True),
        ("Boto3/1.43.106 m/Z,D,b", False),
        ("Boto3/1.43.106 md/B#x", False),
        ("", False),
    ],
)
def test_waiters_are_known_by_their_user_agent(user_agent: str, *, is_waiter: bool) -> None:
    """Feature id `B`, in any place of the list `m/`; `b` is another feature."""
    context = Context("123456789012", "us-east-1", Caller("arn"), "id", user_agent=user_agent)
    assert context.is_waiter is is_waiter


def test_what_cannot_be_honoured_names_its_member() -> None:
    """The refusal is a ValidationException that starts with whose fault it is."""
    error = NotHonouredError("KmsKeyId", "nothing is encrypted here")
    assert (error.code, error.status) == ("ValidationException", 400)
    assert error.message == "Stagemaker cannot honour KmsKeyId: nothing is encrypted here"
