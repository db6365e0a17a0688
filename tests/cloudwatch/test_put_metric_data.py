from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.cloudwatch import CloudWatchService
from stagemaker.ports import Datum
from stagemaker.store import Store

ALL = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
Put = Callable[..., None]
Statistics = Callable[..., list[dict[str, Any]]]


def only(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The single point, without its time."""
    (point,) = points
    point.pop("Timestamp")
    return point


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Code and message of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_every_protocol(any_client: Any, statistics: Statistics, hour: datetime) -> None:
    """Values, counts, statistic sets, dimensions, units and times arrive alike in CBOR, JSON and query."""
    dimensions = [{"Name": "TrainingJobName", "Value": "churn-1 <&>"}]
    common = {"MetricName": "m", "Timestamp": hour + timedelta(minutes=5), "Dimensions": dimensions, "Unit": "Percent"}
    any_client.put_metric_data(
        Namespace="Lab",
        MetricData=[
            {**common, "Value": 0.1},
            {**common, "Value": 7},
            {**common, "Values": [1.5, 2.5], "Counts": [2, 3]},
            {**common, "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": -1, "Maximum": 20}},
            {"MetricName": "other", "Value": 1},
        ],
    )
    assert only(statistics(Statistics=ALL, Dimensions=dimensions)) == {
        "SampleCount": 11.0,
        "Sum": pytest.approx(27.6),
        "Average": pytest.approx(27.6 / 11),
        "Minimum": -1.0,
        "Maximum": 20.0,
        "Unit": "Percent",
    }


def test_a_large_request_comes_packed(any_client: Any, statistics: Statistics, hour: datetime) -> None:
    """A thousand metrics in one call: botocore packs such bodies."""
    any_client.put_metric_data(
        Namespace="Lab",
        MetricData=[{"MetricName": "m", "Value": n, "Timestamp": hour + timedelta(seconds=n)} for n in range(1000)],
    )
    assert only(statistics())["Sum"] == 499_500


def test_a_point_has_the_time_of_its_arrival_unless_it_says(put: Put, statistics: Statistics) -> None:
    """Without a timestamp it is now."""
    put(Value=1)
    (point,) = statistics(Period=60)
    assert datetime.now(UTC) - point["Timestamp"] < timedelta(minutes=2)


def test_resolution(put: Put, statistics: Statistics, hour: datetime) -> None:
    """Kept to the minute, to the second with StorageResolution 1."""
    recent = datetime.now(UTC).replace(second=42, microsecond=0) - timedelta(minutes=10)
    put(Timestamp=recent, Value=1)
    put(Timestamp=recent, Value=2, StorageResolution=1)
    times = {
        point["Timestamp"].second: point["Sum"]
        for point in statistics(
            Period=1, StartTime=recent - timedelta(minutes=1), EndTime=recent + timedelta(minutes=1)
        )
    }
    assert times == {0: 1.0, 42: 2.0}
    assert [point["Sum"] for point in statistics()] == [3.0]


def test_values_with_and_without_counts(put: Put, statistics: Statistics) -> None:
    """Each value counts once unless its count says otherwise."""
    put(Values=[1, 2, 3])
    put(Values=[10, 20], Counts=[2, 0.5])
    assert only(statistics(Statistics=["Sum", "SampleCount"])) == {"Sum": 36.0, "SampleCount": 5.5, "Unit": "None"}


SET = {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}


@pytest.mark.parametrize(
    ("datum", "message"),
    [
        ({"Value": float("nan")}, "The value nan for parameter @Value is invalid."),
        ({"Value": float("inf")}, "The value inf for parameter @Value is invalid."),
        ({"Value": 2.0**361}, f"The value {2.0**361} for parameter @Value is invalid."),
        ({"Values": []}, "The collection @Values must not be empty."),
        ({"Values": list(range(151))}, "The collection @Values must not have a size greater than 150."),
        ({"Values": [1, 2], "Counts": [1]}, "The parameters @Values and @Counts must be of the same size."),
        ({"Values": [1, 2], "Counts": [1, 0]}, "The value 0.0 for parameter @Counts.member.2 is invalid."),
        ({"Values": [1, float("nan")]}, "The value nan for parameter @Values.member.2 is invalid."),
        (
            {"StatisticValues": {**SET, "SampleCount": 0}},
            "The value 0.0 for parameter @StatisticValues.SampleCount is invalid.",
        ),
        ({"Value": 1, "StorageResolution": 30}, "The parameter @StorageResolution must be 1 or 60."),
        ({"Value": 1, "MetricName": "no\nbreak"}, "The value no\nbreak for parameter @MetricName is invalid."),
        ({"Value": 1, "MetricName": "naïve"}, "The value naïve for parameter @MetricName is invalid."),
        (
            {"Value": 1, "Dimensions": [{"Name": ":a", "Value": "b"}]},
            "The value :a for parameter @Dimensions.member.1.Name is invalid.",
        ),
        (
            {"Value": 1, "Dimensions": [{"Name": "a", "Value": " "}]},
            "The value   for parameter @Dimensions.member.1.Value is invalid.",
        ),
        (
            {"Value": 1, "Dimensions": [{"Name": "a", "Value": "b"}] * 2},
            "The value a for parameter @Dimensions.member.2.Name is given twice.",
        ),
    ],
)
def test_values_that_are_wrong(datum: dict[str, Any], message: str, cloudwatch: Any) -> None:
    """Refused by the parameter's name; nothing of the call is stored, not even what was right."""
    assert refused_datum(cloudwatch, datum) == ("InvalidParameterValue", message.replace("@", "MetricData.member.2."))


@pytest.mark.parametrize(
    ("datum", "message"),
    [
        ({}, "At least one of the parameters @Value, @Values and @StatisticValues must be specified."),
        (
            {"Value": 1, "Values": [1]},
            "The parameters @Value and @Values are mutually exclusive and you have specified both.",
        ),
        (
            {"Value": 0, "StatisticValues": SET},
            "The parameters @Value and @StatisticValues are mutually exclusive and you have specified both.",
        ),
        ({"Value": 1, "Counts": [1]}, "The parameter @Counts can only be specified with @Values."),
        (
            {"StatisticValues": {**SET, "Minimum": 2}},
            "The parameter @StatisticValues.Maximum must be greater than or equal to @StatisticValues.Minimum.",
        ),
    ],
)
def test_values_that_do_not_go_together(datum: dict[str, Any], message: str, cloudwatch: Any) -> None:
    """A datum has one kind of value, whole; nothing of the call is stored otherwise."""
    assert refused_datum(cloudwatch, datum) == (
        "InvalidParameterCombination",
        message.replace("@", "MetricData.member.2."),
    )


def refused_datum(cloudwatch: Any, datum: dict[str, Any]) -> tuple[str, str]:
    """Code and message for a wrong datum that comes after a right one; checks that neither is stored."""
    right = {"MetricName": "right", "Value": 1}
    answer = refusal(cloudwatch.put_metric_data, Namespace="Lab", MetricData=[right, {"MetricName": "m", **datum}])
    assert cloudwatch.list_metrics()["Metrics"] == []
    return answer


def test_times_that_are_wrong(put: Put, statistics: Statistics) -> None:
    """At most two weeks back and two hours ahead."""
    now = datetime.now(UTC)
    put(Value=1, Timestamp=now - timedelta(days=14) + timedelta(minutes=1))
    put(Value=1, Timestamp=now + timedelta(hours=2) - timedelta(minutes=1))
    assert refusal(put, Value=1, Timestamp=now - timedelta(days=14, minutes=1)) == (
        "InvalidParameterValue",
        "The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks.",
    )
    assert refusal(put, Value=1, Timestamp=now + timedelta(hours=2, minutes=1)) == (
        "InvalidParameterValue",
        "The parameter MetricData.member.1.Timestamp must specify a time no more than two hours in the future.",
    )


def test_the_call_as_a_whole(any_client: Any) -> None:
    """Empty, too long, into a namespace of AWS's: refused in every protocol, as boto's own exception."""
    put_metric_data = any_client.put_metric_data
    assert refusal(put_metric_data, Namespace="Lab") == ("MissingParameter", "The parameter MetricData is required.")
    assert refusal(put_metric_data, Namespace="Lab", MetricData=[{"MetricName": "m", "Value": 1}] * 1001) == (
        "InvalidParameterValue",
        "The collection MetricData must not have a size greater than 1000.",
    )
    assert refusal(put_metric_data, Namespace="AWS/SageMaker", MetricData=[{"MetricName": "m", "Value": 1}]) == (
        "InvalidParameterValue",
        "The value AWS/SageMaker for parameter Namespace is invalid.",
    )
    with pytest.raises(any_client.exceptions.InvalidParameterValueException):
        put_metric_data(Namespace="AWS/x", MetricData=[{"MetricName": "m", "Value": 1}])


def test_the_model_is_enforced(any_client: Any) -> None:
    """An unknown unit is a validation error, whatever the protocol."""
    code, message = refusal(
        any_client.put_metric_data, Namespace="Lab", MetricData=[{"MetricName": "m", "Value": 1, "Unit": "Parsecs"}]
    )
    assert code == "ValidationError"
    assert message.startswith(
        "1 validation error detected: Value 'Parsecs' at 'metricData.1.member.unit' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Seconds, Microseconds, "
    )


def test_entities_are_refused(cloudwatch: Any) -> None:
    """Nothing would be done with them."""
    _, message = refusal(
        cloudwatch.put_metric_data,
        Namespace="Lab",
        EntityMetricData=[{"MetricData": [{"MetricName": "m", "Value": 1}]}],
    )
    assert message == "Stagemaker cannot honour EntityMetricData: the stage does not relate metrics to entities."


def test_an_operation_that_is_not_there(any_client: Any) -> None:
    """Alarms are not implemented yet: a 4xx that says so, in every protocol."""
    with pytest.raises(ClientError) as caught:
        any_client.describe_alarms()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "cloudwatch:DescribeAlarms is not implemented" in caught.value.response["Error"]["Message"]


def test_the_port_for_other_services(
    service: CloudWatchService, statistics: Statistics, cloudwatch: Any, hour: datetime
) -> None:
    """They may use AWS's namespaces, any number of points and any age; times are kept to the second."""
    data = [
        Datum("m", float(number), hour + timedelta(seconds=number), {"TrainingJobName": "j"}, "Percent")
        for number in range(2500)
    ]
    service.put("/aws/sagemaker/TrainingJobs", data, region="us-east-1")
    service.put("AWS/SageMaker", [Datum("Invocations", 1, hour - timedelta(days=100), {})], region="us-east-1")
    point = only(
        statistics(
            Namespace="/aws/sagemaker/TrainingJobs",
            Dimensions=[{"Name": "TrainingJobName", "Value": "j"}],
            Statistics=["SampleCount", "Maximum"],
        )
    )
    assert point == {"SampleCount": 2500.0, "Maximum": 2499.0, "Unit": "Percent"}
    assert {m["Namespace"] for m in cloudwatch.list_metrics()["Metrics"]} == {
        "/aws/sagemaker/TrainingJobs",
        "AWS/SageMaker",
    }


def test_the_port_takes_numbers_only(service: CloudWatchService, hour: datetime, cloudwatch: Any) -> None:
    """A NaN from a job's log must be left out by who reads the log; none is stored."""
    with pytest.raises(ValueError, match="no such value"):
        service.put("Lab", [Datum("m", 1, hour, {}), Datum("m", float("nan"), hour, {})], region="us-east-1")
    assert cloudwatch.list_metrics()["Metrics"] == []


def test_a_restart_and_a_reset(
    service: CloudWatchService, put: Put, store: Store, direct_client: Callable[..., Any], cloudwatch: Any
) -> None:
    """What was acknowledged is on the disk, though nothing was closed; after a reset nothing is there."""
    put(Value=1)
    second = Store(store.file)
    try:
        client = direct_client(CloudWatchService(second, "123456789012").api(), "cloudwatch")
        assert [metric["MetricName"] for metric in client.list_metrics()["Metrics"]] == ["m"]
    finally:
        second.close()
    service.reset()
    assert cloudwatch.list_metrics()["Metrics"] == []
