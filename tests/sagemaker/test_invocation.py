"""InvokeEndpoint as boto3 sees it, with containers that do what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from fake_containers import Behaviour, FakeContainer, Seen, fake_container, http

from stagemaker.ports import Credentials, Datum
from stagemaker.sagemaker.runtime import api as runtime
from stagemaker.sagemaker.runtime import connection as invocation_http
from stagemaker.sagemaker.runtime import errors as invocation_errors
from stagemaker.sagemaker.runtime import invocation
from stagemaker.sagemaker.runtime import pool as invocation_pool
from stagemaker.sagemaker.runtime.api import Runtime
from stagemaker.sagemaker.runtime.data_capture import DataCapture
from stagemaker.sagemaker.runtime.errors import write_error
from stagemaker.sagemaker.runtime.metrics import InvocationMetrics
from stagemaker.sagemaker.runtime.route import Capture, Container, ExecutionMode, Instance, Route, VariantRoute
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

ACCOUNT, REGION = "123456789012", "us-east-1"
SEE = (
    f"See https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#logEventViewer:"
    f"group=/aws/sagemaker/Endpoints/churn in account {ACCOUNT} for more information."
)


@dataclass
class World:
    """The runtime with a fleet that the test sets; is `Routes`, `ports.Metrics` and where capture writes."""

    loop: asyncio.AbstractEventLoop
    session: botocore.session.Session
    routes: dict[str, Route] = field(default_factory=dict)
    data: list[Datum] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics = InvocationMetrics(self)
        self.capture = DataCapture(self, self)
        self.runtime = Runtime(ACCOUNT, self, self.metrics, self.capture, seed=1)
        self.client: Any = self.session.create_client(
            "sagemaker-runtime",
            region_name=REGION,
            endpoint_url="http://localhost:1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="example",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send", self._answer)  # type: ignore[arg-type]  # an answer ends the sending

    def route(self, region: str, endpoint: str) -> Route | None:
        """`Routes`."""
        return self.routes.get(endpoint)

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """`ports.Metrics`."""
        self.data += data

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """`ports.Roles`."""
        return Credentials("ASIA", "secret", "token")

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """For the capture."""
        self.objects[f"{bucket}/{key}"] = body

    def deploy(self, *variants: VariantRoute, capture: Capture | None = None) -> None:
        """Let the endpoint `churn` have these variants."""
        self.routes["churn"] = Route("churn", variants, capture)

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        reply = asyncio.run_coroutine_threadsafe(self._carry_out(request), self.loop).result(60)
        assert isinstance(reply.body, bytes)
        return AWSResponse(request.url, reply.status, dict(reply.headers), _Raw(reply.body))  # type: ignore[arg-type]  # urllib3's response, of which only these two are used

    async def _carry_out(self, sent: AWSPreparedRequest) -> Reply:
        headers = {
            name.lower(): value if isinstance(value, str) else value.decode() for name, value in sent.headers.items()
        }
        body = sent.body or b""
        assert isinstance(body, bytes)
        request = Request("POST", urlsplit(sent.url).path, "", headers, body)
        assert Runtime.claims(request)
        try:
            with self.runtime.admitted(request):
                call = self.runtime.read(request, REGION)
                return await self.runtime.invoke(call, request, REGION, "request-1", time.perf_counter())
        except AwsError as error:
            return write_error(error, "request-1")

    async def invoke(self, body: bytes = b"1,2", **parameters: Any) -> dict[str, Any]:
        """InvokeEndpoint; the answer's Body is read."""
        given = {"EndpointName": "churn", "ContentType": "text/csv", "Body": body, **parameters}
        answer = await asyncio.to_thread(lambda: self.client.invoke_endpoint(**given))
        return {**answer, "Body": answer["Body"].read()}

    async def fail(self, code: str, **parameters: Any) -> dict[str, Any]:
        """An InvokeEndpoint that ends in `code`; the whole error response."""
        with pytest.raises(ClientError) as failed:
            await self.invoke(**parameters)
        response: Any = failed.value.response
        assert response["Error"]["Code"] == code
        assert isinstance(failed.value, getattr(self.client.exceptions, code))
        found: dict[str, Any] = response
        return found

    def sums(self, name: str) -> dict[str, float]:
        """Of a metric, by variant or container."""
        self.metrics.flush()
        found: Counter[str] = Counter()
        for datum in self.data:
            if datum.name == name:
                found[datum.dimensions.get("ContainerName", datum.dimensions["VariantName"])] += (
                    datum.value * datum.count  # type: ignore[assignment]  # a Counter of fractions
                )
        return dict(found)


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: object) -> bytes:
        body, self._body = self._body, b""
        return body


Story = Callable[[World], Awaitable[None]]
Tell = Callable[[Story], None]


@pytest.fixture(scope="module")
def session() -> botocore.session.Session:
    """Reading the model takes a while."""
    return botocore.session.Session()


@pytest.fixture
def tell(session: botocore.session.Session) -> Tell:
    """Run a story in a world of its own."""

    def run(story: Story) -> None:
        async def begin() -> None:
            world = World(asyncio.get_running_loop(), session)
            try:
                await story(world)
            finally:
                await world.runtime.stop()

        asyncio.run(begin())

    return run


def variant(*containers: Container, name: str = "AllTraffic", weight: float = 1.0, **members: Any) -> VariantRoute:
    """A variant with one instance that has these containers."""
    return VariantRoute(name, weight, (Instance("i-0", containers),), 1, **members)


@contextlib.asynccontextmanager
async def deployed(world: World, behave: Behaviour, **members: Any) -> AsyncIterator[FakeContainer]:
    """`churn` with one container."""
    async with fake_container(behave) as fake:
        world.deploy(variant(fake.container), **members)
        yield fake


def test_the_model_answers(tell: Tell) -> None:
    """Body and content type are the container's; the variant is named; what the client sent reaches the container."""

    async def story(world: World) -> None:
        answer = http(200, b"0.5", {"Content-Type": "text/csv; charset=utf-8", CUSTOM: "trace=7"})
        async with deployed(world, lambda _: answer) as fake:
            response = await world.invoke(Accept="text/csv", CustomAttributes="trace=1", InferenceId="id-1")
            assert (response["Body"], response["ContentType"]) == (b"0.5", "text/csv; charset=utf-8")
            assert (response["InvokedProductionVariant"], response["CustomAttributes"]) == ("AllTraffic", "trace=7")
            assert response["ResponseMetadata"]["RequestId"] == "request-1"
            seen = fake.seen[0]
            assert seen.body == b"1,2"
            assert {name: seen.headers[name] for name in ("content-type", "accept", CUSTOM, INFERENCE_ID)} == {
                "content-type": "text/csv",
                "accept": "text/csv",
                CUSTOM: "trace=1",
                INFERENCE_ID: "id-1",
            }
            assert not [name for name in seen.headers if name.startswith(("authorization", "x-amz-"))]

    tell(story)


CUSTOM = "x-amzn-sagemaker-custom-attributes"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"


@pytest.mark.parametrize(
    ("status", "whose"), [(400, "client"), (415, "client"), (500, "server"), (503, "server"), (302, "server")]
)
def test_a_model_that_refuses_is_a_model_error(tell: Tell, status: int, whose: str) -> None:
    """424 with the container's status and words, where the log is, and AWS's sentence around them."""

    async def story(world: World) -> None:
        async with deployed(world, lambda _: http(status, b"Unable to parse: \xc3\xa9")):
            response = await world.fail("ModelError")
            assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
            assert response["OriginalStatusCode"] == status
            assert response["OriginalMessage"] == "Unable to parse: é"
            assert response["LogStreamArn"] == (
                f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/churn"
            )
            assert response["Error"]["Message"] == (
                f'Received {whose} error ({status}) from primary with message "Unable to parse: é". {SEE}'
            )

    tell(story)


def test_a_model_that_takes_too_long(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limit, here a short one, the error has AWS's words and the status 0."""
    monkeypatch.setattr(invocation, "TIME_LIMIT", 0.05)

    async def silence(_: Seen) -> None:
        await asyncio.Event().wait()

    async def story(world: World) -> None:
        async with deployed(world, silence):
            response = await world.fail("ModelError")
            assert response["OriginalStatusCode"] == 0
            assert response["Error"]["Message"] == (
                'Received server error (0) from primary with message "Your invocation timed out while waiting for a '
                "response from container primary. Review the latency metrics for each container in Amazon CloudWatch, "
                f'resolve the issue, and try again.". {SEE}'
            )
        assert world.sums("InvocationModelErrors") == {"AllTraffic": 1}

    tell(story)


def test_a_container_that_dies_in_mid_request(tell: Tell) -> None:
    """A model error, and no second try: the model may have seen the request."""

    async def story(world: World) -> None:
        async with deployed(world, lambda _: None) as fake:
            response = await world.fail("ModelError")
            assert response["OriginalStatusCode"] == 0
            assert "Container primary gave no response" in response["Error"]["Message"]
            assert len(fake.seen) == 1

    tell(story)


def test_an_answer_that_is_too_large(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's limit holds for what comes back, too."""
    monkeypatch.setattr(invocation_http, "LARGEST_ANSWER", 10)

    async def story(world: World) -> None:
        async with deployed(world, lambda _: http(200, b"x" * 11)):
            response = await world.fail("ModelError")
            assert "has exceeded the maximum limit" in response["Error"]["Message"]

    tell(story)


@contextlib.contextmanager
def nobody(name: str = "primary") -> Iterator[Container]:
    """An address that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Container(name, "127.0.0.1", taken.getsockname()[1])


def test_a_request_that_reached_nobody_goes_to_another_instance(tell: Tell) -> None:
    """An instance that refuses connections costs nothing while another one takes them."""

    async def story(world: World) -> None:
        with nobody() as gone:
            async with fake_container(lambda _: http(200, b"ok")) as fake:
                instances = (Instance("i-0", (gone,)), Instance("i-1", (fake.container,)))
                world.deploy(VariantRoute("AllTraffic", 1, instances, 2))
                for _ in range(4):
                    assert (await world.invoke())["Body"] == b"ok"
        assert world.sums("InvocationModelErrors") == {"AllTraffic": 0}
        assert world.sums("InvocationsPerInstance") == {"AllTraffic": 2}

    tell(story)


def test_nobody_there_is_unavailable(tell: Tell) -> None:
    """No healthy instance, or none that takes connections: 503, which clients try again."""

    async def story(world: World) -> None:
        with nobody() as gone:
            world.deploy(variant(gone))
            assert (await world.fail("ServiceUnavailable"))["ResponseMetadata"]["HTTPStatusCode"] == 503
        world.deploy(VariantRoute("AllTraffic", 1, (), 1))
        await world.fail("ServiceUnavailable")
        assert world.sums("Invocation5XXErrors") == {"AllTraffic": 2}
        assert world.sums("ModelLatency") == {}

    tell(story)


def test_too_much_at_once_is_unavailable(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues are bounded, a container's and the stage's; the requests before are answered."""
    monkeypatch.setattr(invocation_pool, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(invocation_pool, "MOST_WAITING", 0)
    free = asyncio.Event()

    async def slow(_: Seen) -> bytes:
        await free.wait()
        return http(200, b"slow")

    async def story(world: World) -> None:
        async with deployed(world, slow) as fake:
            first = asyncio.create_task(world.invoke())
            async with asyncio.timeout(30):
                while not fake.seen:  # noqa: ASYNC110 - another thread's doing
                    await asyncio.sleep(0.005)
            assert "Too many requests wait" in (await world.fail("ServiceUnavailable"))["Error"]["Message"]
            monkeypatch.setattr(runtime, "MOST_UNDER_WAY", 1)
            assert "Too many requests are under" in (await world.fail("ServiceUnavailable"))["Error"]["Message"]
            monkeypatch.setattr(runtime, "MOST_UNDER_WAY", 10)
            monkeypatch.setattr(runtime, "MOST_BODY_BYTES", 4)
            assert "Too many requests are under" in (await world.fail("ServiceUnavailable"))["Error"]["Message"]
            free.set()
            assert (await first)["Body"] == b"slow"

    tell(story)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"EndpointName": "other"}, f"Endpoint other of account {ACCOUNT} not found."),
        ({"EndpointName": "with_underscore"}, "1 validation error detected: Value 'with_underscore' at 'endpointName'"),
        ({"TargetVariant": "beta"}, "Variant beta not found for endpoint churn."),
        ({"TargetContainerHostname": "first"}, "does not invoke its containers directly"),
        ({"CustomAttributes": "x" * 1025}, "Member must have length less than or equal to 1024"),
        ({"TargetModel": "a.tar.gz"}, "Stagemaker cannot honour TargetModel"),
        ({"EnableExplanations": "`true`"}, "Stagemaker cannot honour EnableExplanations"),
        ({"SessionId": "NEW_SESSION"}, "Stagemaker cannot honour SessionId"),
    ],
)
def test_requests_that_cannot_be_carried_out(tell: Tell, parameters: dict[str, str], message: str) -> None:
    """ValidationError, 400, with what is wrong; no container hears of it, and it is no invocation."""

    async def story(world: World) -> None:
        async with deployed(world, lambda _: http()) as fake:
            response = await world.fail("ValidationError", **parameters)
            assert message in response["Error"]["Message"]
            assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
            assert not fake.seen
        assert world.sums("Invocations") == {}

    tell(story)


def test_the_variant_can_be_chosen(tell: Tell) -> None:
    """TargetVariant goes past the weights, also to a variant that gets nothing by them."""

    async def story(world: World) -> None:
        async with fake_container(lambda _: http(200, b"a")) as a, fake_container(lambda _: http(200, b"b")) as b:
            world.deploy(variant(a.container, name="a"), variant(b.container, name="b", weight=0))
            assert {(await world.invoke())["InvokedProductionVariant"] for _ in range(5)} == {"a"}
            response = await world.invoke(TargetVariant="b")
            assert (response["InvokedProductionVariant"], response["Body"]) == ("b", b"b")
            world.deploy(variant(a.container, name="a", weight=0))
            await world.fail("ServiceUnavailable")

    tell(story)


def test_while_traffic_shifts_the_chosen_variant_follows_it(tell: Tell) -> None:
    """A variant that is there twice, in an old fleet and a new one, is the one that has the weight."""

    async def story(world: World) -> None:
        async with (
            fake_container(lambda _: http(200, b"old")) as old,
            fake_container(lambda _: http(200, b"new")) as new,
        ):
            world.deploy(variant(old.container, weight=0), variant(new.container, weight=1))
            assert (await world.invoke())["Body"] == b"new"
            assert (await world.invoke(TargetVariant="AllTraffic"))["Body"] == b"new"
            gone = VariantRoute("AllTraffic", 0, (), 1)
            world.deploy(gone, variant(new.container, weight=0))
            assert (await world.invoke(TargetVariant="AllTraffic"))["Body"] == b"new"

    tell(story)


def test_a_pipeline_hands_on_body_and_content_type(tell: Tell) -> None:
    """Each container gets the answer before it with its content type; Accept and the client's attributes go to all."""

    async def story(world: World) -> None:
        async with (
            fake_container(lambda _: http(200, b"{}", {"Content-Type": "application/json"}), "container-1") as one,
            fake_container(lambda _: http(200, b"0.5", {"Content-Type": "text/csv"}), "container-2") as two,
        ):
            world.deploy(variant(one.container, two.container))
            response = await world.invoke(b"raw,row", Accept="text/csv", CustomAttributes="k=v")
            assert (response["Body"], response["ContentType"]) == (b"0.5", "text/csv")
            assert "CustomAttributes" not in response
            assert (one.seen[0].body, one.seen[0].headers["content-type"]) == (b"raw,row", "text/csv")
            assert (two.seen[0].body, two.seen[0].headers["content-type"]) == (b"{}", "application/json")
            for fake in (one, two):
                assert (fake.seen[0].headers["accept"], fake.seen[0].headers[CUSTOM]) == ("text/csv", "k=v")
        latencies = world.sums("ContainerLatency")
        assert set(latencies) == {"container-1", "container-2"}
        assert sum(latencies.values()) == pytest.approx(world.sums("ModelLatency")["AllTraffic"])

    tell(story)


@pytest.mark.parametrize("position", [0, 1])
def test_a_pipeline_stops_at_the_first_error_and_names_the_container(tell: Tell, position: int) -> None:
    """By its host name, or by its number."""
    names = ["preprocess", "container-2"]

    async def story(world: World) -> None:
        answers = [http(200, b"row"), http(200, b"row")]
        answers[position] = http(400, b"bad row")
        async with (
            fake_container(lambda _: answers[0], names[0]) as one,
            fake_container(lambda _: answers[1], names[1]) as two,
        ):
            world.deploy(variant(one.container, two.container))
            response = await world.fail("ModelError")
            assert response["Error"]["Message"].startswith(
                f'Received client error (400) from {names[position]} with message "bad row".'
            )
            assert len(two.seen) == position
        assert world.sums("Invocation4XXErrors") == {"AllTraffic": 1}

    tell(story)


def test_a_container_of_a_pipeline_that_is_gone(tell: Tell) -> None:
    """Behind the first container a refused connection is an error: the request has reached a model."""

    async def story(world: World) -> None:
        with nobody("container-2") as gone:
            async with fake_container(lambda _: http(200, b"row"), "container-1") as one:
                world.deploy(variant(one.container, gone))
                response = await world.fail("ModelError")
                assert "Container container-2 gave no response" in response["Error"]["Message"]
                assert len(one.seen) == 1

    tell(story)


def test_between_containers_there_is_a_limit(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's words, with the size; the next container never sees the request."""
    monkeypatch.setattr(invocation, "LARGEST_BETWEEN", 10)

    async def story(world: World) -> None:
        async with (
            fake_container(lambda _: http(200, b"x" * 11), "container-1") as one,
            fake_container(lambda _: http(), "container-2") as two,
        ):
            world.deploy(variant(one.container, two.container))
            response = await world.fail("ModelError")
            assert response["Error"]["Message"] == (
                "Received response from container-1 with status code 200. However, the request payload from "
                f"container-1 to container-2 is 11 bytes, which has exceeded the maximum limit of 5 MB. {SEE}"
            )
            assert not two.seen
        assert world.sums("InvocationModelErrors") == {"AllTraffic": 1}

    tell(story)


def test_direct_mode_asks_the_container_that_is_named(tell: Tell) -> None:
    """And no other; a request that names none, or one that is not there, is refused."""

    async def story(world: World) -> None:
        async with (
            fake_container(lambda _: http(200, b"1"), "first") as one,
            fake_container(lambda _: http(200, b"2"), "second") as two,
        ):
            world.deploy(variant(one.container, two.container, mode=ExecutionMode.DIRECT))
            assert (await world.invoke(TargetContainerHostname="second"))["Body"] == b"2"
            assert not one.seen
            assert "must name one" in (await world.fail("ValidationError"))["Error"]["Message"]
            response = await world.fail("ValidationError", TargetContainerHostname="third")
            assert "no container with the host name third" in response["Error"]["Message"]
        assert set(world.sums("ContainerLatency")) == {"second"}

    tell(story)


CAPTURE = Capture(100, "bucket", "captured", "arn:aws:iam::123456789012:role/model", request=True, response=True)


def test_what_was_asked_and_answered_is_captured(tell: Tell) -> None:
    """A success is, with both bodies; what ends in an error is not."""

    async def story(world: World) -> None:
        async with deployed(world, lambda seen: http(200 if seen.body == b"1,2" else 400, b"0.5"), capture=CAPTURE):
            await world.invoke(InferenceId="id-1")
            await world.fail("ModelError", body=b"bad")
        await world.capture.flush()
        ((key, lines),) = world.objects.items()
        assert key.startswith("bucket/captured/churn/AllTraffic/")
        assert len(lines.splitlines()) == 1
        assert b'"data": "1,2"' in lines
        assert b'"inferenceId": "id-1"' in lines

    tell(story)


def test_only_a_sample_is_captured(tell: Tell) -> None:
    """At 0 % nothing is."""

    async def story(world: World) -> None:
        async with deployed(world, lambda _: http(), capture=replace(CAPTURE, percentage=0)):
            await world.invoke()
        await world.capture.flush()
        assert not world.objects

    tell(story)


@pytest.mark.parametrize(
    ("method", "path", "claimed"),
    [
        ("POST", "/endpoints/a/invocations", True),
        ("POST", "/endpoints/a%2Db/async-invocations", True),
        ("POST", "/endpoints/a/invocations-response-stream", True),
        ("POST", "/endpoints/a/b/invocations", False),
        ("POST", "/endpoints/a", False),
        ("GET", "/endpoints/a/invocations", False),
        ("POST", "/", False),
    ],
)
def test_paths_of_the_runtime(method: str, path: str, claimed: bool) -> None:
    """Three operations, all of them POST; everything else belongs to others."""
    assert Runtime.claims(Request(method, path, "", {})) is claimed


def test_what_is_not_there_is_refused_by_name(tell: Tell) -> None:
    """Asynchronous and streamed invocations."""

    async def story(world: World) -> None:
        async with deployed(world, lambda _: http()):
            with pytest.raises(ClientError, match="InvokeEndpointAsync is not implemented"):
                await asyncio.to_thread(
                    lambda: world.client.invoke_endpoint_async(EndpointName="churn", InputLocation="s3://b/k")
                )
            with pytest.raises(ClientError, match="InvokeEndpointWithResponseStream is not implemented"):
                await asyncio.to_thread(
                    lambda: world.client.invoke_endpoint_with_response_stream(EndpointName="churn", Body=b"")
                )

    tell(story)


def test_a_body_may_be_as_large_as_aws_says() -> None:
    """6 MB; the refusal of more is in AWS's words, without the body."""
    assert runtime.LARGEST_BODY == 6_291_456
    assert invocation_errors.LARGEST_BETWEEN == 5_242_880
    error = runtime.too_large()
    assert (error.code, error.status) == ("ValidationError", 400)
    assert error.message == (
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        "Member must have length less than or equal to 6291456"
    )
