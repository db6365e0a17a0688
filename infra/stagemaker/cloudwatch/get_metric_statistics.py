"""GetMetricStatistics: one metric, some statistics, one data point a period."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from stagemaker.cloudwatch.parameters import (
    Parameters,
    dimensions_of,
    invalid_combination,
    invalid_value,
)
from stagemaker.cloudwatch.point_store import Bucket, MetricKey, PointStore
from stagemaker.cloudwatch.statistic import SIMPLE, is_other_extended, percentile, percentile_of
from stagemaker.cloudwatch.window import Window, is_period
from stagemaker.wire.errors import NotHonouredError
from stagemaker.wire.message import Context

MOST_POINTS = 1440


class GetMetricStatistics:
    """The operation."""

    def __init__(self, points: PointStore) -> None:
        self.points = points

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """The data points, oldest first (AWS promises no order), one a unit where units were mixed."""
        percents = _percents(parameters)
        window = _window(parameters)
        answer: Parameters = {"Label": parameters["MetricName"], "Datapoints": []}
        metric = self.points.find(
            context.region,
            MetricKey(parameters["Namespace"], parameters["MetricName"], dimensions_of(parameters, "")),
        )
        if metric is None:
            return answer
        datapoints: dict[Bucket, Parameters] = {}
        unit = parameters.get("Unit")
        if percents:
            for bucket, values in self.points.values(metric, window, unit).items():
                datapoints[bucket] = {
                    "ExtendedStatistics": {name: percentile(values, percent) for name, percent in percents.items()}
                }
        else:
            for bucket, aggregate in self.points.aggregates(metric, window, unit).items():
                datapoints[bucket] = {name: SIMPLE[name](aggregate) for name in parameters["Statistics"]}
        answer["Datapoints"] = [
            {"Timestamp": datetime.fromtimestamp(bucket.begin, UTC), "Unit": bucket.unit, **datapoints[bucket]}
            for bucket in sorted(datapoints, key=lambda bucket: (bucket.begin, bucket.unit))
        ]
        return answer


def _percents(parameters: Parameters) -> dict[str, float]:
    """The percentiles asked for; empty when simple statistics are."""
    simple, extended = parameters.get("Statistics"), parameters.get("ExtendedStatistics")
    if not simple and not extended:
        raise invalid_combination("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    if simple and extended:
        raise invalid_combination(
            "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both."
        )
    percents: dict[str, float] = {}
    for number, name in enumerate(extended or (), 1):
        if is_other_extended(name):
            raise NotHonouredError("ExtendedStatistics", f"of the extended statistics only percentiles, not {name}.")
        percent = percentile_of(name)
        if percent is None:
            raise invalid_value(f"The value {name} for parameter ExtendedStatistics.member.{number} is invalid.")
        percents[name] = percent
    return percents


def _window(parameters: Parameters) -> Window:
    start, end, period = parameters["StartTime"], parameters["EndTime"], parameters["Period"]
    if start == end:
        raise invalid_value("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise invalid_value("The parameter StartTime must be less than the parameter EndTime.")
    if not is_period(period):
        raise invalid_value("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
    window = Window.of(start, end, period, time.time())
    if window.periods > MOST_POINTS:
        raise invalid_combination(
            f"You have requested up to {window.periods:,} datapoints, which exceeds the limit of {MOST_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    return window
