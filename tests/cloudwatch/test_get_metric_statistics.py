from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from stagemaker.cloudwatch import CloudWatchService
from stagemaker.ports import Datum

Put = Callable[..., None]
Statistics = Callable[..., list[dict[str, Any]]]


def test_one_point_a_period(put: Put, statistics: Statistics, hour: datetime) -> None:
    """Periods without data have none; the start is included, the end is not."""
    for minute, value in ((0, 1), (1, 2), (1, 3), (9, 4), (10, 5)):
        put(Timestamp=hour + timedelta(minutes=minute, seconds=30), Value=value)
    points = statistics(Period=60, EndTime=hour + timedelta(minutes=10), Statistics=["Sum", "SampleCount"])
    assert [(point["Timestamp"], point["Sum"], point["SampleCount"]) for point in points] == [
        (hour, 1.0, 1.0),
        (hour + timedelta(minutes=1), 5.0, 2.0),
        (hour + timedelta(minutes=9), 4.0, 1.0),
    ]


def test_periods_begin_at_the_start(put: Put, statistics: Statistics, hour: datetime) -> None:
    """At the minute that was asked for, not at a full hour: as AWS does."""
    put(Timestamp=hour + timedelta(minutes=50), Value=1)
    put(Timestamp=hour + timedelta(minutes=70), Value=2)
    (point,) = statistics(StartTime=hour + timedelta(minutes=20, seconds=40), EndTime=hour + timedelta(minutes=80))
    assert (point["Timestamp"], point["Sum"]) == (hour + timedelta(minutes=20), 3.0)


def test_dimensions_match_exactly(put: Put, statistics: Statistics, hour: datetime) -> None:
    """No dimensions is the metric without any, one is not the metric with two, and the order is of no account."""
    a, b = {"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}
    put(Timestamp=hour, Value=1)
    put(Timestamp=hour, Value=10, Dimensions=[a])
    put(Timestamp=hour, Value=100, Dimensions=[a, b])
    put(Timestamp=hour, Value=1000, Dimensions=[{**a, "Value": "OTHER"}])
    assert [p["Sum"] for p in statistics()] == [1.0]
    assert [p["Sum"] for p in statistics(Dimensions=[a])] == [10.0]
    assert [p["Sum"] for p in statistics(Dimensions=[b, a])] == [100.0]
    assert statistics(Dimensions=[b]) == []
    assert statistics(Namespace="Other") == []


def test_units_are_kept_apart(put: Put, statistics: Statistics, hour: datetime) -> None:
    """Without a unit a point for each; with one only its own; a unit that was never used finds nothing."""
    put(Timestamp=hour, Value=1, Unit="Seconds")
    put(Timestamp=hour, Value=1000, Unit="Milliseconds")
    assert [(p["Unit"], p["Sum"]) for p in statistics()] == [("Milliseconds", 1000.0), ("Seconds", 1.0)]
    assert [p["Sum"] for p in statistics(Unit="Seconds")] == [1.0]
    assert statistics(Unit="Count") == []


def test_regions_do_not_mix(
    service: CloudWatchService, direct_client: Callable[..., Any], put: Put, statistics: Statistics, hour: datetime
) -> None:
    """The same metric in another region is another metric."""
    put(Timestamp=hour, Value=1)
    west = direct_client(service.api(), "cloudwatch", region="eu-west-1")
    assert west.list_metrics()["Metrics"] == []
    west.put_metric_data(Namespace="Lab", MetricData=[{"MetricName": "m", "Value": 7, "Timestamp": hour}])
    assert [p["Sum"] for p in statistics()] == [1.0]


def test_percentiles_of_raw_values(any_client: Any, hour: datetime) -> None:
    """Exact, over single values and values with counts, in every protocol."""
    seeded = random.Random(5)
    singles = [seeded.uniform(0, 100) for _ in range(300)]
    any_client.put_metric_data(
        Namespace="Lab",
        MetricData=[{"MetricName": "m", "Value": value, "Timestamp": hour} for value in singles]
        + [{"MetricName": "m", "Values": [5, 50], "Counts": [7, 3], "Timestamp": hour}],
    )
    names = ["p0", "p50", "p90", "p99.9", "p100"]
    answer = any_client.get_metric_statistics(
        Namespace="Lab", MetricName="m", StartTime=hour, EndTime=hour + timedelta(hours=1), Period=3600,
        ExtendedStatistics=names,
    )  # fmt: skip
    (point,) = answer["Datapoints"]
    everything = [*singles, *[5] * 7, *[50] * 3]
    assert point["ExtendedStatistics"] == {
        name: pytest.approx(np.percentile(everything, float(name[1:]))) for name in names
    }
    assert point["Timestamp"] == hour
    assert answer["Label"] == "m"


def test_where_there_are_no_percentiles(put: Put, statistics: Statistics, hour: datetime) -> None:
    """Not of a statistic set whose values are unknown, nor of negative values; of a set of equal values there are."""
    equal = {"SampleCount": 3, "Sum": 15, "Minimum": 5, "Maximum": 5}
    unknown = {"SampleCount": 3, "Sum": 12, "Minimum": 3, "Maximum": 5}
    put(Timestamp=hour, StatisticValues=equal)
    put(Timestamp=hour + timedelta(minutes=1), StatisticValues=unknown)
    put(Timestamp=hour + timedelta(minutes=1), Value=4)
    put(Timestamp=hour + timedelta(minutes=2), Value=-1)
    points = statistics(Period=60, ExtendedStatistics=["p50"])
    assert [(p["Timestamp"], p["ExtendedStatistics"]) for p in points] == [(hour, {"p50": 5.0})]
    assert len(statistics(Period=60)) == 3


def test_the_chart_of_the_sagemaker_sdk(service: CloudWatchService, cloudwatch: Any, hour: datetime) -> None:
    """TrainingJobAnalytics: Average by the minute between the times of a job whose metrics went in by the port."""
    data = [
        Datum("validation:auc", 0.5 + n / 100, hour + timedelta(seconds=10 * n), {"TrainingJobName": "j"})
        for n in range(12)
    ]
    service.put("/aws/sagemaker/TrainingJobs", data, region="us-east-1")
    answer = cloudwatch.get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs", MetricName="validation:auc", Period=60, Statistics=["Average"],
        Dimensions=[{"Name": "TrainingJobName", "Value": "j"}],
        StartTime=hour, EndTime=hour + timedelta(minutes=3),
    )  # fmt: skip
    assert [p["Average"] for p in answer["Datapoints"]] == [pytest.approx(0.525), pytest.approx(0.585)]


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        (
            {"Statistics": ["Sum"], "ExtendedStatistics": ["p50"]},
            "InvalidParameterCombination",
            "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.",
        ),
        (
            {"ExtendedStatistics": ["p101"]},
            "InvalidParameterValue",
            "The value p101 for parameter ExtendedStatistics.member.1 is invalid.",
        ),
        (
            {"ExtendedStatistics": ["tm90"]},
            "ValidationError",
            "Stagemaker cannot honour ExtendedStatistics: of the extended statistics only percentiles, not tm90.",
        ),
        (
            {"Period": 45},
            "InvalidParameterValue",
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.",
        ),
        (
            {"Period": 1},
            "InvalidParameterCombination",
            (
                "You have requested up to 7,200 datapoints, which exceeds the limit of 1,440. You may reduce the "
                "datapoints requested by increasing Period, or decreasing the time range."
            ),
        ),
    ],
)
def test_requests_that_are_wrong(
    parameters: dict[str, Any], code: str, message: str, statistics: Statistics, put: Put
) -> None:
    """Refused in AWS's words, also for a metric that does not exist."""
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            statistics(**parameters)
        assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == (code, message)
        put(Value=1)


def test_spans_that_are_none(statistics: Statistics, cloudwatch: Any, hour: datetime) -> None:
    """The end must come after the start; some statistic must be asked for."""
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*StartTime must not equal parameter EndTime\."):
        statistics(StartTime=hour, EndTime=hour)
    with pytest.raises(
        ClientError, match=r"InvalidParameterValue.*StartTime must be less than the parameter EndTime\."
    ):
        statistics(StartTime=hour, EndTime=hour - timedelta(seconds=1))
    with pytest.raises(ClientError, match=r"InvalidParameterCombination.*Statistics and ExtendedStatistics must be"):
        cloudwatch.get_metric_statistics(
            Namespace="Lab", MetricName="m", StartTime=hour, EndTime=hour + timedelta(hours=1), Period=60
        )


def test_old_points_need_long_periods(service: CloudWatchService, statistics: Statistics) -> None:
    """By the second for three hours, by the minute for 15 days, by five for 63 days, by the hour for 455."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ages = {"recent": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=30),
            "quarter": timedelta(days=90), "ancient": timedelta(days=500)}  # fmt: skip
    service.put("Lab", [Datum(name, 1, now - age, {}) for name, age in ages.items()], region="us-east-1")

    def found(period: int) -> set[str]:
        return {
            name
            for name, age in ages.items()
            if statistics(
                MetricName=name,
                Period=period,
                StartTime=now - age,
                EndTime=now - age + timedelta(minutes=20 if period == 1 else 60),
            )
        }

    assert found(1) == {"recent"}
    assert found(60) == {"recent", "day"}
    assert found(300) == {"recent", "day", "month"}
    assert found(3600) == {"recent", "day", "month", "quarter"}


def test_a_put_and_a_query_use_the_index(service: CloudWatchService, cloudwatch: Any, hour: datetime) -> None:
    """With 100,000 points stored neither looks at more than what it is about."""
    from stagemaker.cloudwatch.point_store import _MEASURED, _VALUES, _bounds
    from stagemaker.cloudwatch.window import Window

    window = _bounds(1, Window.of(hour, hour + timedelta(hours=1), 60, hour.timestamp()), None)
    connection = service.points.store.connection
    for query in (_MEASURED, _VALUES):
        plan = " ".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", window))
        assert "SEARCH cloudwatch_points USING INDEX cloudwatch_points_in_time (metric=? AND time>? AND time<?)" in plan
        assert "SCAN" not in plan
