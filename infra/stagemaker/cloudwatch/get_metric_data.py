"""GetMetricData: many metrics at once, one statistic each, page by page."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from stagemaker.cloudwatch.parameters import Parameters, dimensions_of
from stagemaker.cloudwatch.point_store import MetricKey, PointStore
from stagemaker.cloudwatch.statistic import SIMPLE, Aggregate, is_other_extended, percentile, percentile_of
from stagemaker.cloudwatch.window import Window, is_period
from stagemaker.wire.errors import AwsError, NotHonouredError, ValidationError
from stagemaker.wire.message import Context

MOST_QUERIES = 500
MOST_POINTS = 100_800
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_TOKEN = re.compile(r"([0-9]{1,3}):(-?[0-9]{1,12})")

Series = list[tuple[int, float]]
"""Values by the epoch second that their period begins at."""


@dataclass(frozen=True, slots=True)
class Query:
    """One metric and what is asked of it."""

    id: str
    label: str
    metric: MetricKey
    statistic: str
    period: int
    unit: str | None


class GetMetricData:
    """The operation."""

    def __init__(self, points: PointStore) -> None:
        self.points = points

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """Query by query, newest first unless asked otherwise, up to `MaxDatapoints` values in all.

        A token stands at a moment of a query, so points that come in meanwhile shift nothing. A
        result of which more is to come is `PartialData`. Without `Unit`, values of all units count.
        """
        queries = _queries(context, parameters)
        start, end = _span(parameters)
        descending = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        room = _room(parameters)
        first, resumed_at = _place(parameters, len(queries))
        answer: Parameters = {"MetricDataResults": [], "Messages": []}
        for number, query in enumerate(queries[first:], first):
            series = self._series(context.region, query, start, end)
            if resumed_at is not None and number == first:
                series = [(t, value) for t, value in series if (t <= resumed_at if descending else t >= resumed_at)]
            if descending:
                series.reverse()
            page = series[:room]
            complete = len(page) == len(series)
            if page or complete:
                answer["MetricDataResults"].append(_result(query, page, complete=complete))
            if not complete:
                answer["NextToken"] = f"{number}:{series[room][0]}"
                break
            room -= len(page)
        return answer

    def _series(self, region: str, query: Query, start: datetime, end: datetime) -> Series:
        """Oldest first."""
        metric = self.points.find(region, query.metric)
        if metric is None:
            return []
        window = Window.of(start, end, query.period, time.time())
        percent = percentile_of(query.statistic)
        if percent is None:
            totals: dict[int, Aggregate] = {}
            for bucket, aggregate in self.points.aggregates(metric, window, query.unit).items():
                known = totals.get(bucket.begin)
                totals[bucket.begin] = known.joined(aggregate) if known else aggregate
            return [(begin, SIMPLE[query.statistic](total)) for begin, total in sorted(totals.items())]
        values: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        for bucket, pairs in self.points.values(metric, window, query.unit).items():
            values[bucket.begin] += pairs
        return [(begin, percentile(pairs, percent)) for begin, pairs in sorted(values.items())]


def _result(query: Query, page: Series, *, complete: bool) -> Parameters:
    return {
        "Id": query.id,
        "Label": query.label,
        "Timestamps": [datetime.fromtimestamp(moment, UTC) for moment, _ in page],
        "Values": [value for _, value in page],
        "StatusCode": "Complete" if complete else "PartialData",
    }


# --- reading the request -------------------------------------------------------------------------


def _queries(context: Context, parameters: Parameters) -> list[Query]:
    """The queries whose data is to be returned. Raises AwsError ValidationException, all of AWS's reasons at once."""
    asked = parameters["MetricDataQueries"]
    if len(asked) > MOST_QUERIES:
        raise ValidationError(f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}.")
    if len({query["Id"] for query in asked}) < len(asked):
        raise ValidationError("The values for parameter id in MetricDataQueries are not unique.")
    problems: list[str] = []
    queries = []
    for number, query in enumerate(asked, 1):
        problem = _problem(context, query, f"MetricDataQueries.member.{number}.")
        if problem:
            problems.append(problem)
        elif query.get("ReturnData", True):
            queries.append(_query(query, f"MetricDataQueries.member.{number}."))
    if problems:
        raise ValidationError("\n".join(problems))
    return queries


def _problem(context: Context, query: Parameters, where: str) -> str | None:
    if not _ID.fullmatch(query["Id"]):
        return (
            f"The value {query['Id']} for parameter {where}Id is not matching the expected pattern"
            " ^[a-z][a-zA-Z0-9_]*$."
        )
    if ("Expression" in query) == ("MetricStat" in query):
        return f"Exactly one of the parameters {where}Expression and {where}MetricStat must be specified."
    if query.get("AccountId", context.account) != context.account:
        raise NotHonouredError(f"{where}AccountId", "the stage is one account, with no others linked to it.")
    if "Expression" in query:
        raise NotHonouredError(f"{where}Expression", "metric math and Metrics Insights are not supported.")
    if "Period" in query:
        return f"The parameter {where}Period can only be specified with an Expression."
    if "${" in query.get("Label", ""):
        raise NotHonouredError(f"{where}Label", "dynamic labels (${...}) are not supported.")
    stat = query["MetricStat"]
    for name in ("Namespace", "MetricName"):
        if name not in stat["Metric"]:
            return f"The parameter {where}MetricStat.Metric.{name} is required."
    if not is_period(stat["Period"]):
        return f"The parameter {where}MetricStat.Period must be 1, 5, 10, 20, 30 or a multiple of 60."
    if is_other_extended(stat["Stat"]):
        raise NotHonouredError(
            f"{where}MetricStat.Stat", f"of the extended statistics only percentiles, not {stat['Stat']}."
        )
    if stat["Stat"] not in SIMPLE and percentile_of(stat["Stat"]) is None:
        return f"The value {stat['Stat']} for parameter {where}MetricStat.Stat is not a valid statistic."
    return None


def _query(query: Parameters, where: str) -> Query:
    stat = query["MetricStat"]
    metric = stat["Metric"]
    return Query(
        id=query["Id"],
        label=query.get("Label", metric["MetricName"]),
        metric=MetricKey(
            metric["Namespace"], metric["MetricName"], dimensions_of(metric, f"{where}MetricStat.Metric.")
        ),
        statistic=stat["Stat"],
        period=stat["Period"],
        unit=stat.get("Unit"),
    )


def _span(parameters: Parameters) -> tuple[datetime, datetime]:
    start, end = parameters["StartTime"], parameters["EndTime"]
    if start == end:
        raise ValidationError("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise ValidationError("The parameter EndTime must be greater than StartTime.")
    return start, end


def _room(parameters: Parameters) -> int:
    room: int = parameters.get("MaxDatapoints", MOST_POINTS)
    if not 0 < room <= MOST_POINTS:
        raise ValidationError(f"The parameter MaxDatapoints must be between 1 and {MOST_POINTS}.")
    return room


def _place(parameters: Parameters, queries: int) -> tuple[int, int | None]:
    """The query to go on with, and the moment in it."""
    if "NextToken" not in parameters:
        return 0, None
    found = _TOKEN.fullmatch(parameters["NextToken"])
    if found is None or int(found[1]) >= queries:
        raise AwsError("InvalidNextToken", "The value for parameter NextToken is invalid.")
    return int(found[1]), int(found[2])
