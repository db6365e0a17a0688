"""ListMetrics: which metrics there are."""

from __future__ import annotations

import time

from stagemaker.cloudwatch.parameters import Parameters, invalid_value
from stagemaker.cloudwatch.point_store import MetricKey, PointStore
from stagemaker.cloudwatch.window import DAY, HOUR
from stagemaker.wire.message import Context

PAGE = 500
LISTED_FOR = 14 * DAY
RECENTLY = 3 * HOUR


class ListMetrics:
    """The operation."""

    def __init__(self, points: PointStore) -> None:
        self.points = points

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """Metrics that had points in the last two weeks (RecentlyActive: three hours), 500 a page.

        A new metric is listed at once; AWS takes up to 15 minutes. There is one account: including
        linked ones adds nothing, and another one's metrics are none.
        """
        since = int(time.time()) - (RECENTLY if "RecentlyActive" in parameters else LISTED_FOR)
        token = parameters.get("NextToken", "0")
        if not (token.isascii() and token.isdigit() and len(token) < 19):
            raise invalid_value("Request parameter NextToken is invalid")
        page: list[tuple[int, MetricKey]] = []
        answer: Parameters = {}
        if parameters.get("OwningAccount", context.account) == context.account:
            for number, key in self.points.metrics(
                context.region,
                namespace=parameters.get("Namespace"),
                name=parameters.get("MetricName"),
                put_since=since,
                after=int(token),
            ):
                if not _has_dimensions(key, parameters):
                    continue
                if len(page) == PAGE:
                    answer["NextToken"] = str(page[-1][0])
                    break
                page.append((number, key))
        answer["Metrics"] = [
            {
                "Namespace": key.namespace,
                "MetricName": key.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in key.dimensions.items()],
            }
            for _, key in page
        ]
        if parameters.get("IncludeLinkedAccounts"):
            answer["OwningAccounts"] = [context.account] * len(page)
        return answer


def _has_dimensions(key: MetricKey, parameters: Parameters) -> bool:
    """Whether the metric has each dimension asked for, with its value where one is given."""
    return all(
        wanted["Name"] in key.dimensions
        and wanted.get("Value", key.dimensions[wanted["Name"]]) == key.dimensions[wanted["Name"]]
        for wanted in parameters.get("Dimensions", ())
    )
