"""What invocations leave in CloudWatch, gathered in memory and put in once a second.

A thousand requests a second would be seven thousand points a second. What is put in instead is every value
once with its count, up to `MOST_VALUES` a metric and second; beyond that, values that are nearly equal are put in
as one, their mean. So SampleCount, Sum, Average, Minimum and Maximum are exact, and percentiles nearly so.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stagemaker.ports import Datum, Metrics
from stagemaker.wire.errors import AwsError

NAMESPACE = "AWS/SageMaker"
FLUSH_SECONDS = 1.0
MOST_VALUES = 100
"""Of one metric in one flush."""

_MOST_HELD = 5000
"""Invocations that are held before they are put in, whatever the time."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """The variant that was invoked."""

    region: str
    endpoint: str
    variant: str


@dataclass(frozen=True, slots=True)
class Observed:
    """One invocation. Latencies in microseconds; `containers` holds each container's, of a model that has several.

    `status` is the last container's: 0 for one that gave no answer. `model_latency` is None when no container
    was asked.
    """

    status: int
    instance_count: int
    model_latency: float | None
    overhead_latency: float
    containers: Sequence[tuple[str, float]] = ()

    def values(self) -> Iterator[tuple[str, str, float]]:
        """(metric, container or nothing, value). The errors are 0 or 1 a request, so that Average is a rate."""
        client_error = 400 <= self.status < 500
        success = 200 <= self.status < 300
        yield "Invocations", "", 1.0
        yield "Invocation4XXErrors", "", float(client_error)
        # Without an answer it is an error of the server's, as AWS's text ("server error (0)") has it.
        yield "Invocation5XXErrors", "", float(not (client_error or success))
        yield "InvocationModelErrors", "", float(self.model_latency is not None and not success)
        yield "InvocationsPerInstance", "", 1 / max(1, self.instance_count)
        yield "OverheadLatency", "", self.overhead_latency
        if self.model_latency is not None:
            yield "ModelLatency", "", self.model_latency
        for container, latency in self.containers:
            yield "ContainerLatency", container, latency


class InvocationMetrics:
    """Counts invocations. `observe` appends to a list; the rest is done once a second."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._held: defaultdict[Source, list[Observed]] = defaultdict(list)
        self._number = 0
        self._since = datetime.now(UTC)
        self._flushing: asyncio.TimerHandle | None = None

    def observe(self, source: Source, seen: Observed) -> None:
        """Take an invocation in. Must be called on the event loop."""
        if self._flushing is None:
            self._since = datetime.now(UTC)
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._held[source].append(seen)
        self._number += 1
        if self._number >= _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Put in what is held. What the store does not take is lost, and said to be."""
        held = self._held
        self.forget()
        by_region: defaultdict[str, list[Datum]] = defaultdict(list)
        for source, observed in held.items():
            by_region[source.region] += self._data(source, observed)
        for region, data in by_region.items():
            try:
                self._metrics.put(NAMESPACE, data, region=region)
            except AwsError as error:
                _LOG.warning("metrics of invocations are lost: %s", error)

    def _data(self, source: Source, observed: Sequence[Observed]) -> Iterator[Datum]:
        series: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for one in observed:
            for name, container, value in one.values():
                series[name, container].append(value)
        for (name, container), values in series.items():
            dimensions = {"EndpointName": source.endpoint, "VariantName": source.variant}
            if container:
                dimensions["ContainerName"] = container
            unit = "Microseconds" if name.endswith("Latency") else "None"
            for value, count in condensed(values):
                yield Datum(name, value, self._since, dimensions, unit, count)

    def forget(self) -> None:
        """Drop what is held."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._held = defaultdict(list)
        self._number = 0


def condensed(values: Sequence[float], most: int = MOST_VALUES) -> Iterator[tuple[float, int]]:
    """At most `most` (value, count) pairs with the count, sum, minimum and maximum of `values`.

    When there are too many different ones, those between the extremes are parted by their magnitude, in steps
    of equal ratio, and each part becomes its mean.
    """
    distinct = Counter(values)
    if len(distinct) <= most:
        yield from distinct.items()
        return
    low, *between, high = sorted(values)
    yield low, 1
    yield high, 1
    smallest = max(low, 1e-9)
    steps = (most - 3) / math.log(max(high, smallest) / smallest) if high > smallest else 0.0
    parts: defaultdict[int, list[float]] = defaultdict(list)
    for value in between:
        parts[int(steps * math.log(max(value, smallest) / smallest))].append(value)
    for part in parts.values():
        yield math.fsum(part) / len(part), len(part)
