"""What invocations leave in CloudWatch."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

import pytest
from fake_containers import until

from stagemaker.cloudwatch.service import CloudWatchService
from stagemaker.ports import Datum
from stagemaker.sagemaker.runtime import metrics as invocation_metrics
from stagemaker.sagemaker.runtime.metrics import InvocationMetrics, Observed, Source, condensed
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError

SOURCE = Source("us-east-1", "churn", "AllTraffic")
VARIANT = {"EndpointName": "churn", "VariantName": "AllTraffic"}


class Kept:
    """`ports.Metrics` that remembers."""

    def __init__(self) -> None:
        self.data: list[Datum] = []
        self.puts = 0

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """Remember."""
        assert (namespace, region) == ("AWS/SageMaker", "us-east-1")
        self.puts += 1
        self.data += data

    def values(self, name: str) -> dict[float, int]:
        """How often each value of a metric of the variant was put in."""
        return {datum.value: datum.count for datum in self.data if datum.name == name and datum.dimensions == VARIANT}


def observed(*seen: Observed) -> Kept:
    """What the store gets of invocations that were seen."""

    async def run() -> Kept:
        kept = Kept()
        metrics = InvocationMetrics(kept)
        for one in seen:
            metrics.observe(SOURCE, one)
        metrics.flush()
        return kept

    return asyncio.run(run())


def test_a_success_is_an_invocation_without_errors() -> None:
    """Latencies are microseconds; the errors are there as zeros, so that their average is a rate."""
    kept = observed(Observed(200, 1, 1500.0, 250.0))
    assert {datum.name: (datum.value, datum.count, datum.unit) for datum in kept.data} == {
        "Invocations": (1.0, 1, "None"),
        "Invocation4XXErrors": (0.0, 1, "None"),
        "Invocation5XXErrors": (0.0, 1, "None"),
        "InvocationModelErrors": (0.0, 1, "None"),
        "InvocationsPerInstance": (1.0, 1, "None"),
        "OverheadLatency": (250.0, 1, "Microseconds"),
        "ModelLatency": (1500.0, 1, "Microseconds"),
    }
    assert all(datum.dimensions == VARIANT for datum in kept.data)


@pytest.mark.parametrize(
    ("status", "latency", "client", "server", "model"),
    [(415, 1.0, 1, 0, 1), (500, 1.0, 0, 1, 1), (0, 1.0, 0, 1, 1), (0, None, 0, 1, 0), (302, 1.0, 0, 1, 1)],
    ids=["4XX", "5XX", "no answer", "nobody there", "3XX"],
)
def test_errors_are_counted_by_whose_they_are(
    status: int, latency: float | None, client: int, server: int, model: int
) -> None:
    """4XX and 5XX by the model's status; what is not 2XX is the model's error, unless no model was asked."""
    kept = observed(Observed(status, 1, latency, 1.0))
    assert kept.values("Invocation4XXErrors") == {client: 1}
    assert kept.values("Invocation5XXErrors") == {server: 1}
    assert kept.values("InvocationModelErrors") == {model: 1}
    assert len(kept.values("ModelLatency")) == (latency is not None)


def test_invocations_per_instance_are_shares() -> None:
    """Each request counts as one by the number of instances: the sum is requests an instance."""
    assert observed(*[Observed(200, 4, 1.0, 1.0)] * 8).values("InvocationsPerInstance") == {0.25: 8}


def test_containers_of_a_pipeline_have_their_own_latency() -> None:
    """With the container's name as a third dimension."""
    kept = observed(Observed(200, 1, 30.0, 1.0, (("container-1", 10.0), ("container-2", 20.0))))
    assert {
        (datum.dimensions["ContainerName"], datum.value, datum.unit)
        for datum in kept.data
        if datum.name == "ContainerLatency"
    } == {("container-1", 10.0, "Microseconds"), ("container-2", 20.0, "Microseconds")}


def test_load_does_not_melt_the_store() -> None:
    """Three thousand requests of a second are a few hundred points, and the sums are those of all requests."""
    generator = random.Random(5)
    latencies = [generator.lognormvariate(7, 1) for _ in range(3000)]
    kept = observed(*[Observed(200, 1, latency, 100.0) for latency in latencies])
    assert kept.puts == 1
    assert len(kept.data) <= invocation_metrics.MOST_VALUES + 6
    values = kept.values("ModelLatency")
    assert sum(values.values()) == 3000
    assert math.isclose(sum(value * count for value, count in values.items()), sum(latencies), rel_tol=1e-9)
    assert (min(values), max(values)) == (min(latencies), max(latencies))


@pytest.mark.parametrize(
    "values",
    [[0.0] * 500, [float(n) for n in range(1000)], [0.0, *[1e-12 * n for n in range(500)]], [5.0, 5.0 + 1e-9] * 300],
)
def test_condensed_values_keep_their_sums(values: list[float]) -> None:
    """Zeros, values of all magnitudes, values that are all but equal."""
    pairs = list(condensed(values, 50))
    assert len(pairs) <= 50
    assert sum(count for _, count in pairs) == len(values)
    assert math.isclose(sum(value * count for value, count in pairs), sum(values), rel_tol=1e-9)
    assert (min(value for value, _ in pairs), max(value for value, _ in pairs)) == (min(values), max(values))


def test_percentiles_of_condensed_values_are_near() -> None:
    """Within the step between two parts of all percentiles."""
    generator = random.Random(6)
    values = sorted(generator.lognormvariate(7, 1) for _ in range(5000))
    step = (values[-1] / values[0]) ** (1 / (invocation_metrics.MOST_VALUES - 3))
    spread = [value for value, count in sorted(condensed(values)) for _ in range(count)]
    for percent in (1, 10, 50, 90, 99, 99.9):
        exact, near = (of[int(len(of) * percent / 100)] for of in (values, spread))
        assert exact / step < near < exact * step


def test_metrics_come_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second nobody has to ask for them, and then again."""
    monkeypatch.setattr(invocation_metrics, "FLUSH_SECONDS", 0.01)

    async def run() -> None:
        kept = Kept()
        metrics = InvocationMetrics(kept)
        metrics.observe(SOURCE, Observed(200, 1, 1.0, 1.0))
        await until(lambda: kept.puts == 1)
        metrics.observe(SOURCE, Observed(200, 1, 1.0, 1.0))
        await until(lambda: kept.puts == 2)

    asyncio.run(run())


def test_a_store_that_refuses_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk costs the metrics of a second, and the log says so."""

    class Full:
        def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
            raise AwsError("InternalFailure", "disk full", 500)

    async def run() -> None:
        metrics = InvocationMetrics(Full())
        metrics.observe(SOURCE, Observed(200, 1, 1.0, 1.0))
        metrics.flush()

    asyncio.run(run())
    assert "disk full" in caplog.text


def test_the_store_keeps_counts(store: Store) -> None:
    """A value that was seen five times counts five times."""
    service = CloudWatchService(store, "123456789012")

    async def run() -> None:
        metrics = InvocationMetrics(service)
        for _ in range(5):
            metrics.observe(SOURCE, Observed(200, 1, 20.0, 1.0))
        metrics.flush()

    asyncio.run(run())
    rows = store.connection.execute(
        "SELECT count, sum, minimum, maximum FROM cloudwatch_points JOIN cloudwatch_metrics ON metric = id"
        " WHERE name = 'ModelLatency'"
    ).fetchall()
    assert [tuple(row) for row in rows] == [(5, 100, 20, 20)]
