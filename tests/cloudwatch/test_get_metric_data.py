from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

Put = Callable[..., None]


def query(number: str = "a", *, metric: str = "m", stat: str = "Sum", period: int = 60, **more: Any) -> dict[str, Any]:
    """A query of a metric of `Lab`."""
    measured = {"Metric": {"Namespace": "Lab", "MetricName": metric}, "Period": period, "Stat": stat}
    return {"Id": number, "MetricStat": measured, **more}


@pytest.fixture
def ask(cloudwatch: Any, hour: datetime) -> Callable[..., dict[str, Any]]:
    """`ask(query, ..., MaxDatapoints=...)` about the hour from `hour`."""

    def call(*queries: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        asked = {"StartTime": hour, "EndTime": hour + timedelta(hours=1), **parameters}
        answer: dict[str, Any] = cloudwatch.get_metric_data(MetricDataQueries=queries, **asked)
        return answer

    return call


def test_every_protocol(any_client: Any, hour: datetime) -> None:
    """Several metrics at once, newest first, the same in CBOR, JSON and query."""
    any_client.put_metric_data(
        Namespace="Lab",
        MetricData=[
            {"MetricName": name, "Value": value, "Timestamp": hour + timedelta(minutes=minute)}
            for name in ("m", "n")
            for minute, value in ((0, 1), (1, 2), (1, 4))
        ],
    )
    answer = any_client.get_metric_data(
        MetricDataQueries=[
            query("a", stat="Average"),
            query("b", metric="n", stat="p50", Label="half"),
            query("c", metric="n", ReturnData=False),
            query("d", metric="missing"),
        ],
        StartTime=hour,
        EndTime=hour + timedelta(hours=1),
    )
    answer.pop("ResponseMetadata")
    times = [hour + timedelta(minutes=1), hour]
    assert answer == {
        "MetricDataResults": [
            {"Id": "a", "Label": "m", "Timestamps": times, "Values": [3.0, 1.0], "StatusCode": "Complete"},
            {"Id": "b", "Label": "half", "Timestamps": times, "Values": [3.0, 1.0], "StatusCode": "Complete"},
            {"Id": "d", "Label": "missing", "Timestamps": [], "Values": [], "StatusCode": "Complete"},
        ],
        "Messages": [],
    }


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("size", [1, 3, 4, 10, 100])
def test_pages(size: int, order: str, cloudwatch: Any, hour: datetime) -> None:
    """Each value is on one page, in order, whatever the size; only unfinished results are partial."""
    lengths = {"a": 4, "b": 0, "c": 5, "d": 3}
    for name, length in lengths.items():
        data = [{"MetricName": name, "Value": n, "Timestamp": hour + timedelta(minutes=n)} for n in range(length)]
        if data:
            cloudwatch.put_metric_data(Namespace="Lab", MetricData=data)
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query(name, metric=name) for name in lengths],
        StartTime=hour,
        EndTime=hour + timedelta(hours=1),
        ScanBy=order,
        MaxDatapoints=size,
    )
    read: dict[str, list[float]] = {name: [] for name in lengths}
    complete: list[str] = []
    for page in pages:
        assert sum(len(result["Values"]) for result in page["MetricDataResults"]) <= size
        for result in page["MetricDataResults"]:
            read[result["Id"]] += result["Values"]
            if result["StatusCode"] == "Complete":
                complete.append(result["Id"])
        assert ("NextToken" in page) == (len(complete) < len(lengths))
    descending = order == "TimestampDescending"
    assert read == {name: sorted(map(float, range(n)), reverse=descending) for name, n in lengths.items()}
    assert complete == list(lengths)


def test_data_that_comes_in_between_pages(ask: Callable[..., dict[str, Any]], put: Put, hour: datetime) -> None:
    """A token stands at a moment: newer points shift nothing, and none is given twice."""
    for minute in range(4):
        put(Value=minute, Timestamp=hour + timedelta(minutes=minute))
    first = ask(query(), MaxDatapoints=2)
    put(Value=9, Timestamp=hour + timedelta(minutes=5))
    second = ask(query(), MaxDatapoints=2, NextToken=first["NextToken"])
    assert [page["MetricDataResults"][0]["Values"] for page in (first, second)] == [[3.0, 2.0], [1.0, 0.0]]
    assert "NextToken" not in second


def test_units(ask: Callable[..., dict[str, Any]], put: Put, hour: datetime) -> None:
    """A unit picks its own values; without one all count, as there is no place to tell them apart."""
    put(Value=1, Timestamp=hour, Unit="Seconds")
    put(Value=3, Timestamp=hour, Unit="Count")

    def values(stat: str, **more: Any) -> list[float]:
        asked = query(stat=stat)
        asked["MetricStat"].update(more)
        found: list[float] = ask(asked)["MetricDataResults"][0]["Values"]
        return found

    assert values("Sum", Unit="Seconds") == [1.0]
    assert values("Sum") == [4.0]
    assert values("Average") == [2.0]
    assert values("p50") == [2.0]
    assert values("p50", Unit="Bytes") == []


def test_dimensions_match_exactly(ask: Callable[..., dict[str, Any]], put: Put, hour: datetime) -> None:
    """The metric without dimensions is not the sum of those with some."""
    put(Value=1, Timestamp=hour, Dimensions=[{"Name": "a", "Value": "b"}])
    asked = query("q")
    assert ask(asked)["MetricDataResults"][0]["Values"] == []
    asked["MetricStat"]["Metric"]["Dimensions"] = [{"Name": "a", "Value": "b"}]
    assert ask(asked)["MetricDataResults"][0]["Values"] == [1.0]


WHERE = "MetricDataQueries.member.1."


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"Id": "a", "Expression": "m1/m2"},
         f"Stagemaker cannot honour {WHERE}Expression: metric math and Metrics Insights are not supported."),
        ({"Id": "a"}, f"Exactly one of the parameters {WHERE}Expression and {WHERE}MetricStat must be specified."),
        (query("a", Expression="m1"),
         f"Exactly one of the parameters {WHERE}Expression and {WHERE}MetricStat must be specified."),
        (query("A"), f"The value A for parameter {WHERE}Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."),
        (query(stat="Median"), f"The value Median for parameter {WHERE}MetricStat.Stat is not a valid statistic."),
        (query(stat="IQM"),
         f"Stagemaker cannot honour {WHERE}MetricStat.Stat: of the extended statistics only percentiles, not IQM."),
        (query(period=90), f"The parameter {WHERE}MetricStat.Period must be 1, 5, 10, 20, 30 or a multiple of 60."),
        (query(Period=60), f"The parameter {WHERE}Period can only be specified with an Expression."),
        (query(Label="max ${MAX}"),
         f"Stagemaker cannot honour {WHERE}Label: dynamic labels (${{...}}) are not supported."),
        (query(AccountId="210987654321"),
         f"Stagemaker cannot honour {WHERE}AccountId: the stage is one account, with no others linked to it."),
        ({"Id": "a", "MetricStat": {"Metric": {"Namespace": "Lab"}, "Period": 60, "Stat": "Sum"}},
         f"The parameter {WHERE}MetricStat.Metric.MetricName is required."),
    ],
)  # fmt: skip
def test_queries_that_are_wrong(asked: dict[str, Any], message: str, ask: Callable[..., dict[str, Any]]) -> None:
    """ValidationError, with the place in the request."""
    with pytest.raises(ClientError) as caught:
        ask(asked)
    assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == (
        "ValidationError",
        message,
    )


def test_all_wrong_queries_are_named(ask: Callable[..., dict[str, Any]]) -> None:
    """One line each, as AWS answers."""
    with pytest.raises(
        ClientError, match=r"member\.1\..*not a valid statistic\.\n.*member\.3\..*not a valid statistic\."
    ):
        ask(query("a", stat="x"), query("b"), query("c", stat="y"))


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"MaxDatapoints": 0}, "ValidationError", "The parameter MaxDatapoints must be between 1 and 100800."),
        ({"MaxDatapoints": 100_801}, "ValidationError", "The parameter MaxDatapoints must be between 1 and 100800."),
        ({"NextToken": "rubbish"}, "InvalidNextToken", "The value for parameter NextToken is invalid."),
        ({"NextToken": "1:0"}, "InvalidNextToken", "The value for parameter NextToken is invalid."),
        ({"StartTime": datetime(2100, 1, 1, tzinfo=UTC)}, "ValidationError",
         "The parameter EndTime must be greater than StartTime."),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(
    parameters: dict[str, Any], code: str, message: str, ask: Callable[..., dict[str, Any]]
) -> None:
    """Refused in AWS's words."""
    with pytest.raises(ClientError) as caught:
        ask(query(), **parameters)
    assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == (code, message)


def test_the_whole_of_a_request(ask: Callable[..., dict[str, Any]], hour: datetime) -> None:
    """At most 500 queries, each with an id of its own, over a span that is one."""
    with pytest.raises(ClientError, match="must not have a size greater than 500"):
        ask(*[query(f"q{n}") for n in range(501)])
    with pytest.raises(ClientError, match="The values for parameter id in MetricDataQueries are not unique"):
        ask(query("a"), query("a"))
    with pytest.raises(ClientError, match=r"\(ValidationError\).*StartTime must not equal parameter EndTime"):
        ask(query(), StartTime=hour, EndTime=hour)
