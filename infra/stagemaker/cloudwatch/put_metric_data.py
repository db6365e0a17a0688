"""PutMetricData: what a request's data points are, and what is wrong with them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from stagemaker.cloudwatch.parameters import Parameters, check_size, dimensions_of, invalid_combination, invalid_value
from stagemaker.cloudwatch.point_store import MetricKey, Point, PointStore
from stagemaker.cloudwatch.statistic import Aggregate
from stagemaker.cloudwatch.window import DAY, HOUR, MINUTE
from stagemaker.wire.errors import AwsError, NotHonouredError
from stagemaker.wire.message import Context

MOST_METRICS = 1000
MOST_VALUES = 150
LARGEST = 2.0**360
OLDEST, NEWEST = 14 * DAY, 2 * HOUR
"""Seconds that a point may lie in the past and in the future."""


class PutMetricData:
    """The operation."""

    def __init__(self, points: PointStore) -> None:
        self.points = points

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """Store every point of the request, or none."""
        for member in ("EntityMetricData", "StrictEntityValidation"):
            if member in parameters:
                raise NotHonouredError(member, "the stage does not relate metrics to entities.")
        namespace = parameters["Namespace"]
        _check_text(namespace, "Namespace")
        if namespace.startswith("AWS/"):
            raise invalid_value(f"The value {namespace} for parameter Namespace is invalid.")
        data = parameters.get("MetricData", [])
        if not data:
            raise AwsError("MissingParameter", "The parameter MetricData is required.")
        check_size(data, MOST_METRICS, "MetricData")
        now = time.time()
        self.points.put(
            context.region,
            [
                (key, point)
                for number, datum in enumerate(data, 1)
                for key, point in _points(namespace, datum, f"MetricData.member.{number}.", now)
            ],
        )
        return {}


def _points(namespace: str, datum: Parameters, where: str, now: float) -> Iterator[tuple[MetricKey, Point]]:
    _check_text(datum["MetricName"], f"{where}MetricName")
    dimensions = dimensions_of(datum, where)
    for number, (name, value) in enumerate(dimensions.items(), 1):
        _check_text(name, f"{where}Dimensions.member.{number}.Name", first=":")
        _check_text(value, f"{where}Dimensions.member.{number}.Value")
    key = MetricKey(namespace, datum["MetricName"], dimensions)
    moment, unit = _time(datum, where, now), datum.get("Unit", "None")
    for values in _values(datum, where):
        yield key, Point(moment, unit, values)


def _check_text(text: str, name: str, *, first: str = "") -> None:
    """ASCII without control characters, not blank; CloudWatch's rule for every name."""
    if not (text.isascii() and text.isprintable() and text.strip()) or (first and text.startswith(first)):
        raise invalid_value(f"The value {text} for parameter {name} is invalid.")


def _time(datum: Parameters, where: str, now: float) -> int:
    """The second of a high-resolution point, the minute of any other: that is what CloudWatch keeps."""
    resolution: int = datum.get("StorageResolution", MINUTE)
    if resolution not in {1, MINUTE}:
        raise invalid_value(f"The parameter {where}StorageResolution must be 1 or 60.")
    moment = datum["Timestamp"].timestamp() if "Timestamp" in datum else now
    if moment < now - OLDEST:
        raise invalid_value(f"The parameter {where}Timestamp must specify a time within the past two weeks.")
    if moment > now + NEWEST:
        raise invalid_value(f"The parameter {where}Timestamp must specify a time no more than two hours in the future.")
    second = math.floor(moment)
    return second - second % resolution


def _values(datum: Parameters, where: str) -> Iterator[Aggregate]:
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if not given:
        raise invalid_combination(
            f"At least one of the parameters {where}Value, {where}Values and {where}StatisticValues must be specified."
        )
    if len(given) > 1:
        raise invalid_combination(
            f"The parameters {where}{given[0]} and {where}{given[1]} are mutually exclusive"
            " and you have specified both."
        )
    if "Counts" in datum and "Values" not in datum:
        raise invalid_combination(f"The parameter {where}Counts can only be specified with {where}Values.")
    match given[0]:
        case "Value":
            yield _repeated(_number(datum["Value"], f"{where}Value"), 1.0)
        case "Values":
            yield from _listed(datum, where)
        case _:
            yield _set(datum["StatisticValues"], f"{where}StatisticValues.")


def _listed(datum: Parameters, where: str) -> Iterator[Aggregate]:
    values = datum["Values"]
    counts = datum.get("Counts", [1.0] * len(values))
    if not values:
        raise invalid_value(f"The collection {where}Values must not be empty.")
    check_size(values, MOST_VALUES, f"{where}Values")
    if len(values) != len(counts):
        raise invalid_value(f"The parameters {where}Values and {where}Counts must be of the same size.")
    for number, (value, count) in enumerate(zip(values, counts, strict=True), 1):
        yield _repeated(
            _number(value, f"{where}Values.member.{number}"), _count(count, f"{where}Counts.member.{number}")
        )


def _set(values: dict[str, Any], where: str) -> Aggregate:
    count = _count(values["SampleCount"], f"{where}SampleCount")
    total, low, high = (_number(values[name], f"{where}{name}") for name in ("Sum", "Minimum", "Maximum"))
    if low > high:
        raise invalid_combination(f"The parameter {where}Maximum must be greater than or equal to {where}Minimum.")
    return Aggregate(count, total, low, high)


def _repeated(value: float, count: float) -> Aggregate:
    return Aggregate(count, value * count, value, value)


def _number(value: float, name: str) -> float:
    if not -LARGEST <= value <= LARGEST:  # false for NaN, too
        raise invalid_value(f"The value {value} for parameter {name} is invalid.")
    return value


def _count(value: float, name: str) -> float:
    if not 0 < value <= LARGEST:
        raise invalid_value(f"The value {value} for parameter {name} is invalid.")
    return value
