"""A CloudWatch service of its own for each test, and boto clients for it in each protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stagemaker.cloudwatch import CloudWatchService
from stagemaker.store import Store

PROTOCOLS = [None, "json", "query"]
"""None: what botocore chooses, which is RPC v2 CBOR."""


@pytest.fixture
def service(store: Store) -> CloudWatchService:
    """The service under test."""
    return CloudWatchService(store, "123456789012")


@pytest.fixture
def cloudwatch(service: CloudWatchService, direct_client: Callable[..., Any]) -> Any:
    """A boto client in us-east-1, as botocore makes it."""
    return direct_client(service.api(), "cloudwatch")


@pytest.fixture(params=PROTOCOLS, ids=["cbor", "json", "query"])
def any_client(request: pytest.FixtureRequest, service: CloudWatchService, direct_client: Callable[..., Any]) -> Any:
    """A client of each protocol in turn: all must see and do the same."""
    return direct_client(service.api(), "cloudwatch", protocol=request.param)


@pytest.fixture
def hour() -> datetime:
    """A full hour between one and two hours ago."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


@pytest.fixture
def put(cloudwatch: Any) -> Callable[..., None]:
    """`put(MetricName=..., Value=...)`: one datum into namespace `Lab`."""

    def call(**datum: Any) -> None:
        cloudwatch.put_metric_data(Namespace="Lab", MetricData=[{"MetricName": "m", **datum}])

    return call


@pytest.fixture
def statistics(cloudwatch: Any, hour: datetime) -> Callable[..., list[dict[str, Any]]]:
    """`statistics(...)`: the data points of metric `m` of `Lab` in the two hours from `hour`, by the hour."""

    def call(**parameters: Any) -> list[dict[str, Any]]:
        asked = {
            "Namespace": "Lab",
            "MetricName": "m",
            "StartTime": hour,
            "EndTime": hour + timedelta(hours=2),
            "Period": 3600,
            **parameters,
        }
        if "ExtendedStatistics" not in asked:
            asked.setdefault("Statistics", ["Sum"])
        points: list[dict[str, Any]] = cloudwatch.get_metric_statistics(**asked)["Datapoints"]
        return points

    return call
