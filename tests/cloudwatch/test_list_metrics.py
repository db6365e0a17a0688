from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.cloudwatch import CloudWatchService
from stagemaker.ports import Datum

DAY = 24 * 3600


@pytest.fixture
def metrics(any_client: Any) -> Callable[..., list[str]]:
    """`metrics(...)`: the names listed, on all pages, by a client of each protocol."""
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    any_client.put_metric_data(
        Namespace="Lab",
        MetricData=[
            {"MetricName": "plain", "Value": 1},
            {"MetricName": "one", "Value": 1, "Dimensions": dimensions[:1]},
            {"MetricName": "two", "Value": 1, "Dimensions": dimensions[::-1]},
        ],
    )
    any_client.put_metric_data(Namespace="Other", MetricData=[{"MetricName": "one", "Value": 1}])

    def call(**parameters: Any) -> list[str]:
        pages = any_client.get_paginator("list_metrics").paginate(**parameters)
        return [f"{m['Namespace']}/{m['MetricName']}" for page in pages for m in page["Metrics"]]

    return call


def test_filters(metrics: Callable[..., list[str]]) -> None:
    """By namespace, name and any of the dimensions, in every protocol."""
    assert metrics() == ["Lab/plain", "Lab/one", "Lab/two", "Other/one"]
    assert metrics(Namespace="Other") == ["Other/one"]
    assert metrics(MetricName="one") == ["Lab/one", "Other/one"]
    assert metrics(Dimensions=[{"Name": "EndpointName"}]) == ["Lab/one", "Lab/two"]
    assert metrics(Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName"}]) == ["Lab/two"]
    assert metrics(Dimensions=[{"Name": "EndpointName", "Value": "x"}]) == []
    assert metrics(Namespace="lab") == []


def test_a_metric_is_shown_with_all_its_dimensions(metrics: Callable[..., list[str]], any_client: Any) -> None:
    """By name, so that what is listed can be asked for."""
    (metric,) = any_client.list_metrics(Namespace="Lab", MetricName="two")["Metrics"]
    assert metric["Dimensions"] == [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    (plain,) = any_client.list_metrics(MetricName="plain")["Metrics"]
    assert plain.get("Dimensions", []) == []


def test_pages_of_five_hundred(service: CloudWatchService, cloudwatch: Any) -> None:
    """Every metric once, also when a filter leaves gaps."""
    now = datetime.now(UTC)
    data = [Datum(f"m{n}", 1, now, {"parity": str(n % 2)}) for n in range(1203)]
    service.put("Lab", data, region="us-east-1")
    pages = list(cloudwatch.get_paginator("list_metrics").paginate())
    assert [len(page["Metrics"]) for page in pages] == [500, 500, 203]
    assert len({m["MetricName"] for page in pages for m in page["Metrics"]}) == 1203
    odd = list(cloudwatch.get_paginator("list_metrics").paginate(Dimensions=[{"Name": "parity", "Value": "1"}]))
    assert [len(page["Metrics"]) for page in odd] == [500, 101]


def test_what_was_not_heard_of_lately(service: CloudWatchService, cloudwatch: Any) -> None:
    """Three hours for RecentlyActive, two weeks for all; it is the time of the put that counts."""
    now = datetime.now(UTC)
    service.put("Lab", [Datum(name, 1, now, {}) for name in ("new", "hours", "weeks")], region="us-east-1")
    for name, age in (("hours", 4 * 3600), ("weeks", 15 * DAY)):
        with service.points.store.transaction() as connection:
            connection.execute("UPDATE cloudwatch_metrics SET last_put = last_put - ? WHERE name = ?", (age, name))

    def names(**parameters: Any) -> list[str]:
        return [metric["MetricName"] for metric in cloudwatch.list_metrics(**parameters)["Metrics"]]

    assert names() == ["new", "hours"]
    assert names(RecentlyActive="PT3H") == ["new"]
    service.put("Lab", [Datum("weeks", 1, now, {})], region="us-east-1")
    assert names(RecentlyActive="PT3H") == ["new", "weeks"]


def test_accounts(service: CloudWatchService, cloudwatch: Any) -> None:
    """The stage is one account: linked ones add nothing, and those of another are none."""
    service.put("Lab", [Datum("m", 1, datetime.now(UTC), {})], region="us-east-1")
    assert cloudwatch.list_metrics(IncludeLinkedAccounts=True)["OwningAccounts"] == ["123456789012"]
    assert cloudwatch.list_metrics(IncludeLinkedAccounts=True, OwningAccount="210987654321")["Metrics"] == []


@pytest.mark.parametrize("token", ["x", "-1", "²", "9" * 30])
def test_a_token_that_is_not_ours(token: str, cloudwatch: Any) -> None:
    """Refused, never read as the start."""
    with pytest.raises(ClientError, match=r"\(InvalidParameterValue\).*Request parameter NextToken is invalid"):
        cloudwatch.list_metrics(NextToken=token)
