"""InvokeEndpoint beside a direct POST to the same container: what the stage adds, and how many it takes.

The container is a program that answers at once, the requests are signed beforehand, and the client is a few lines on
httptools: in a run of its own it asks the container more than ten thousand times a second, so it limits nothing.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fast_container import write_image
from measure import machine
from stagemaker.environment import Who, stage_environment
from stagemaker.sagemaker.runtime.connection import Connection, open_connection, request_bytes
from stagemaker.sagemaker.runtime.pool import Pool
from stagemaker.sagemaker.runtime.route import Container
from stagemaker.testing import RunningStage, start_stage

NAME = "bench"
BODY = b"x" * 400
"""About a row of a table."""
ROUNDS = 5
REQUESTS = 2000
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one way: the median of a request's seconds with one connection, requests a second with sixteen."""

    p50: float
    per_second: float


def host(stage: RunningStage, image: str) -> None:
    """An endpoint on one instance."""
    sagemaker = stage.client("sagemaker")
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=stage.role_arn, PrimaryContainer={"Image": image})
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME)


def signed_request(stage: RunningStage) -> bytes:
    """An InvokeEndpoint by the learner as it goes over the wire."""
    variables = stage_environment(stage.folder, stage.endpoint, Who.LEARNER)
    key = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    path = f"/endpoints/{NAME}/invocations"
    headers = {"content-type": "text/csv", "host": urlsplit(stage.endpoint).netloc}
    request = AWSRequest("POST", f"{stage.endpoint}{path}", data=BODY, headers=headers)
    SigV4Auth(key, "sagemaker", "us-east-1").add_auth(request)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


async def ask(connection: Connection, request: bytes, number: int) -> list[float]:
    """The seconds of each of so many requests, one after the other."""
    seconds = []
    for _ in range(number):
        began = time.perf_counter()
        answer = await connection.ask(request)
        seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body!r}")
    return seconds


async def measure(port: int, request: bytes) -> Figures:
    """One connection, then sixteen."""
    alone = await open_connection("127.0.0.1", port, 10)
    seconds = await ask(alone, request, REQUESTS // 4)
    alone.close()
    connections = [await open_connection("127.0.0.1", port, 10) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    await asyncio.gather(*(ask(each, request, REQUESTS // CONNECTIONS) for each in connections))
    took = time.perf_counter() - began
    for each in connections:
        each.close()
    return Figures(statistics.median(seconds), REQUESTS / took)


async def cpu(call: Callable[[], Awaitable[Any]]) -> float:
    """Seconds of CPU of a request in this process."""
    await call()
    began = time.process_time()
    for _ in range(REQUESTS // 4):
        await call()
    return (time.process_time() - began) * 4 / REQUESTS


async def clients(port: int) -> tuple[float, float]:
    """CPU of a request by the stage's client for containers and by httpcore, medians of turns."""
    pool, container = Pool(), Container("primary", "127.0.0.1", port)
    url = f"http://127.0.0.1:{port}/invocations"

    async def ours() -> None:
        sent = request_bytes(f"127.0.0.1:{port}", [("content-type", "text/csv")], BODY)
        await pool.ask(container, sent, asyncio.get_running_loop().time() + 60)

    async with httpcore.AsyncConnectionPool() as usual:

        async def theirs() -> None:
            await usual.request("POST", url, headers={"content-type": "text/csv"}, content=BODY)

        turns = [(await cpu(ours), await cpu(theirs)) for _ in range(ROUNDS)]
    pool.close()
    return statistics.median(turn[0] for turn in turns), statistics.median(turn[1] for turn in turns)


async def figures(stage: RunningStage, port: int) -> list[tuple[Figures, Figures]]:
    """Pairs (through the stage, direct), in turn; the first is to warm up."""
    through, direct = signed_request(stage), request_bytes("127.0.0.1", [("content-type", "text/csv")], BODY)
    at = urlsplit(stage.endpoint).port or 0
    return [(await measure(at, through), await measure(port, direct)) for _ in range(ROUNDS + 1)][1:]


def main() -> None:
    """Print a table of its own: its figures are no ratios."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        image = write_image(images, NAME)
        stage = start_stage(Path(folder) / "state", images=images)
        try:
            host(stage, image)
            runtime = stage.client("sagemaker-runtime")
            port = json.loads(runtime.invoke_endpoint(EndpointName=NAME, Body=b"port")["Body"].read())
            pairs = asyncio.run(figures(stage, port))
            ours, theirs = asyncio.run(clients(port))
        finally:
            stage.stop()
    through, direct = ([pair[side] for pair in pairs] for side in (0, 1))
    p50, bare = (statistics.median(each.p50 for each in side) * 1000 for side in (through, direct))
    added = statistics.median(one.p50 - other.p50 for one, other in pairs) * 1000
    rate, most = (statistics.median(each.per_second for each in side) for side in (through, direct))
    print("| InvokeEndpoint, 400 bytes | through the stage | direct POST | goal |\n|---|---|---|---|")
    met = "met" if added <= 1.5 else "not met"
    print(f"| p50, one connection | {p50:.2f} ms | {bare:.2f} ms | at most 1.5 ms more: {met}, {added:.2f} ms |")
    met = "met" if rate >= 1000 else "not met"
    print(f"| requests a second, {CONNECTIONS} connections | {rate:.0f} | {most:.0f} | at least 1,000: {met} |")
    print(f"| CPU of the client for containers, beside httpcore | {ours * 1000:.2f} ms | {theirs * 1000:.2f} ms | |")


if __name__ == "__main__":
    print(machine(), end="\n\n")
    main()
