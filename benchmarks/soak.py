"""A soak of endpoints: many requests, bad ones among them, containers that die, clients that hang up.

`python benchmarks/soak.py [REQUESTS] [SEED]`. Every answer must be the right one or a well-formed AWS error, the
metrics must count what was asked, and in the end the stage has no more processes, files and memory than at the start.
Exits with 1 when that is not so. A seed draws the same requests again; sixteen clients still race.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fast_container import write_image
from measure import machine
from stagemaker.environment import Who, stage_environment
from stagemaker.sagemaker.runtime.connection import Connection, ContainerAnswer, ContainerError, open_connection
from stagemaker.testing import RunningStage, start_stage

ENDPOINTS = ("shop", "line")
"""Two instances of one container; one instance of a pipeline of two."""
CONNECTIONS = 16
SIGN_SECONDS = 300.0
"""A signature is good for 15 minutes."""
DEATHS = 0.001
"""Share of the requests that end their container, or that their client forsakes."""
DEATH_SECONDS = 5.0
"""Between two containers that die: one that dies again and again is started again more and more slowly."""
QUIET_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of request. `right` says whether an answer is what it must be when nothing dies meanwhile."""

    name: str
    share: float
    endpoint: str
    body: Callable[[random.Random], bytes]
    right: Callable[[bytes, ContainerAnswer], bool]
    headers: tuple[tuple[str, str], ...] = ()
    forged: bool = False
    disturbed_by_deaths: bool = True


def echoed(body: bytes, answer: ContainerAnswer) -> bool:
    """The model has answered."""
    return (
        answer.status == 200
        and answer.body == body
        and answer.headers.get("x-amzn-invoked-production-variant") == "AllTraffic"
    )


def error(code: str, status: int, original: int | None = None) -> Callable[[bytes, ContainerAnswer], bool]:
    """A well-formed error of this code."""

    def right(_: bytes, answer: ContainerAnswer) -> bool:
        found = error_of(answer)
        return found is not None and (found["code"], answer.status, found.get("OriginalStatusCode")) == (
            code,
            status,
            original,
        )

    return right


def error_of(answer: ContainerAnswer) -> dict[str, Any] | None:
    """The members of a well-formed AWS error, with its code; None for anything else."""
    code = answer.headers.get("x-amzn-errortype")
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    if code and isinstance(document, dict) and document.get("Message") and "x-amzn-requestid" in answer.headers:
        return {**document, "code": code}
    return None


def text(body: bytes) -> Callable[[random.Random], bytes]:
    """Always the same body."""
    return lambda _: body


def row(draw: random.Random) -> bytes:
    """A row of a table of 20 to 2,000 bytes."""
    return (b"%d," % draw.randrange(10**9)) * draw.randrange(2, 200)


KINDS = (
    Kind("rows", 60, "shop", row, echoed),
    Kind("rows through a pipeline", 20, "line", row, echoed),
    Kind("large rows", 0.5, "shop", lambda draw: draw.randbytes(300_000), echoed),
    Kind("the largest body", 0.02, "shop", lambda draw: draw.randbytes(6 * 1024 * 1024), echoed),
    Kind("too large a body", 0.02, "shop", lambda _: bytes(6 * 1024 * 1024 + 1), error("ValidationError", 400),
         disturbed_by_deaths=False),
    Kind("refused by the model", 5, "shop", text(b"status 415"), error("ModelError", 424, 415)),
    Kind("failed in the model", 5, "line", text(b"status 500"), error("ModelError", 424, 500)),
    Kind("hung up on", 1, "shop", text(b"hang-up"), error("ModelError", 424, 0)),
    Kind("answered with garbage", 1, "shop", text(b"garbage"), error("ModelError", 424, 0)),
    Kind("no such endpoint", 3, "nobody", row, error("ValidationError", 400), disturbed_by_deaths=False),
    Kind("no such variant", 2, "shop", row, error("ValidationError", 400),
         (("x-amzn-sagemaker-target-variant", "beta"),), disturbed_by_deaths=False),
    Kind("forged", 2, "shop", row, error("InvalidSignatureException", 403), forged=True, disturbed_by_deaths=False),
)  # fmt: skip
DYING = Kind("deadly", 0, "", text(b"die"), error("ModelError", 424, 0))
FORSAKEN = Kind("forsaken by its client", 0, "line", row, echoed)
_UNCOUNTED = frozenset({"too large a body", "no such variant", "forged"})
"""Kinds for `shop` that reach no variant."""


@dataclass
class Soak:
    """The state of one run."""

    stage: RunningStage
    draw: random.Random
    done: int = 0
    right: Counter[str] = field(default_factory=Counter)
    disturbed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    counted: int = 0
    """Requests that a variant of `shop` had to answer."""

    def __post_init__(self) -> None:
        variables = stage_environment(self.stage.folder, self.stage.endpoint, Who.LEARNER)
        self._keys = variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
        self._port = urlsplit(self.stage.endpoint).port or 0
        self._prepared: dict[str, list[tuple[bytes, bytes]]] = {}
        self._prepared_at = -SIGN_SECONDS
        self._died = 0.0

    def request(self, kind: Kind, endpoint: str) -> tuple[bytes, bytes]:
        """A body and the signed request around it. Twenty of each kind are prepared at a time."""
        if time.monotonic() - self._prepared_at > SIGN_SECONDS:
            self._prepared, self._prepared_at = {}, time.monotonic()
        prepared = self._prepared.setdefault(f"{kind.name} {endpoint}", [])
        if len(prepared) < 20:
            prepared.append(self._sign(kind, endpoint))
            return prepared[-1]
        return self.draw.choice(prepared)

    def _sign(self, kind: Kind, endpoint: str) -> tuple[bytes, bytes]:
        body, path = kind.body(self.draw), f"/endpoints/{endpoint}/invocations"
        headers = {"content-type": "text/csv", "host": urlsplit(self.stage.endpoint).netloc, **dict(kind.headers)}
        request = AWSRequest("POST", f"{self.stage.endpoint}{path}", data=body, headers=headers)
        key, secret = self._keys
        SigV4Auth(Credentials(key, "forged" if kind.forged else secret), "sagemaker", "us-east-1").add_auth(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return body, f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body

    async def ask_until(self, end: int, *, deaths: float) -> None:
        """One client: requests by chance until `end` of all clients are done."""
        connection: Connection | None = None
        while self.done < end:
            self.done += 1
            if connection is None or not connection.reusable:
                connection = await open_connection("127.0.0.1", self._port, 30)
            if deaths and self.draw.random() < deaths:
                if time.monotonic() - self._died < DEATH_SECONDS or self.draw.random() < 0.5:
                    await self._forsake()
                    continue
                self._died = time.monotonic()
                kind, endpoint = DYING, self.draw.choice(ENDPOINTS)
            else:
                kind = self.draw.choices(KINDS, [each.share for each in KINDS])[0]
                endpoint = kind.endpoint
            await self._ask(connection, kind, endpoint)
        if connection is not None:
            connection.close()

    async def _ask(self, connection: Connection, kind: Kind, endpoint: str) -> None:
        body, request = self.request(kind, endpoint)
        self.counted += endpoint == "shop" and kind.name not in _UNCOUNTED
        try:
            async with asyncio.timeout(90):
                answer = await connection.ask(request)
        except (ContainerError, TimeoutError) as gone:
            self.wrong.append(f"{kind.name}: no answer: {gone!r}")
            return
        self.judge(kind, body, answer)

    def judge(self, kind: Kind, body: bytes, answer: ContainerAnswer) -> None:
        """Right, or an error that a death explains, or wrong."""
        found = error_of(answer)
        if kind.right(body, answer):
            self.right[kind.name] += 1
        elif (
            kind.disturbed_by_deaths
            and found
            and (found["code"], found.get("OriginalStatusCode"))
            in {
                ("ModelError", 0),
                ("ServiceUnavailable", None),
            }
        ):
            self.disturbed[found["code"]] += 1
        else:
            self.wrong.append(f"{kind.name}: {answer.status} {answer.headers} {answer.body[:300]!r}")

    async def _forsake(self) -> None:
        """A client that sends a request, or half of one, and goes."""
        _, request = self.request(FORSAKEN, "line")
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request[: self.draw.choice([len(request), len(request) // 2])])
        await writer.drain()
        writer.transport.abort()
        self.right[FORSAKEN.name] += 1

    async def run(self, requests: int, *, deaths: float) -> None:
        """So many requests more, by all clients together."""
        end = self.done + requests
        await asyncio.gather(*(self.ask_until(end, deaths=deaths) for _ in range(CONNECTIONS)))

    async def until_quiet(self) -> None:
        """Wait until both endpoints answer a hundred rows in a row."""
        deadline = time.monotonic() + QUIET_SECONDS
        good = 0
        while good < 100:
            if time.monotonic() > deadline:
                self.wrong.append("the endpoints did not come back")
                return
            kind = KINDS[good % 2]
            connection = await open_connection("127.0.0.1", self._port, 30)
            body, request = self.request(kind, kind.endpoint)
            self.counted += kind.endpoint == "shop"
            answer = await connection.ask(request)
            connection.close()
            self.judge(kind, body, answer)
            good = good + 1 if kind.right(body, answer) else 0
            if not good:
                await asyncio.sleep(0.2)
        await asyncio.sleep(3)  # for idle connections to be closed and the last metrics to be put in


@dataclass(frozen=True, slots=True)
class Held:
    """What the stage's process has: megabytes, open files, and processes below it."""

    memory: float
    files: int
    processes: int


def held(stage: RunningStage) -> Held:
    """At this moment."""
    process = psutil.Process(stage.process.pid)
    return Held(process.memory_info().rss / 2**20, process.num_fds(), len(process.children(recursive=True)))


def host(stage: RunningStage, image: str) -> None:
    """Both endpoints."""
    sagemaker = stage.client("sagemaker")
    containers = {"shop": [{"Image": image}], "line": [{"Image": image}] * 2}
    for name, count in zip(ENDPOINTS, (2, 1), strict=True):
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=stage.role_arn, Containers=containers[name])
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant, "InitialInstanceCount": count}]
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name)


def invocations(stage: RunningStage) -> int:
    """What CloudWatch has counted at `shop`."""
    now = datetime.now(UTC)
    points: list[dict[str, float]] = stage.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=now - timedelta(hours=12),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return round(sum(point["Sum"] for point in points))


async def soak(stage: RunningStage, requests: int, seed: int) -> tuple[Soak, Held, Held]:
    """Warm up, rest, look; soak, rest, look."""
    run = Soak(stage, random.Random(seed))  # noqa: S311 - a seed for tests
    await run.run(max(requests // 10, 500), deaths=0.0)
    await run.until_quiet()
    before = held(stage)
    await run.run(requests, deaths=DEATHS)
    await run.until_quiet()
    deadline = time.monotonic() + QUIET_SECONDS
    while held(stage).processes < before.processes and time.monotonic() < deadline:  # noqa: ASYNC110 - others' doing
        await asyncio.sleep(1)  # a second instance may still be on its way back
    return run, before, held(stage)


def main() -> int:
    """Run and report."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)  # noqa: S311 - the same
    print(f"{machine()}; {requests} requests, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        image = write_image(images, "fast")
        stage = start_stage(Path(folder) / "state", images=images)
        try:
            host(stage, image)
            began = time.monotonic()
            run, before, after = asyncio.run(soak(stage, requests, seed))
            seconds, counted = time.monotonic() - began, invocations(stage)
        finally:
            stage.stop()
    for name, number in run.right.most_common():
        print(f"{number:>8}  {name}: answered rightly")
    for code, number in run.disturbed.items():
        print(f"{number:>8}  {code}, because a container had died")
    print(f"{run.done} requests in {seconds:.0f} s, {len(run.wrong)} wrong answers")
    print(f"CloudWatch counted {counted} invocations of shop, and {run.counted} were made")
    print(f"before: {before}\nafter:  {after}")
    problems = run.wrong[:10]
    if counted != run.counted:
        problems.append("the metrics do not count what was asked")
    if after.processes != before.processes:
        problems.append("there are other processes than before")
    if after.files > before.files + 4:
        problems.append("files were left open")
    if after.memory > before.memory * 1.2 + 20:
        problems.append("memory has grown")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
