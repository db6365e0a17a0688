"""The service: which handler answers which operation, and what the stage's other parts ask of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stagemaker.cloudwatch.get_metric_data import GetMetricData
from stagemaker.cloudwatch.get_metric_statistics import GetMetricStatistics
from stagemaker.cloudwatch.list_metrics import ListMetrics
from stagemaker.cloudwatch.point_store import MetricKey, Point, PointStore
from stagemaker.cloudwatch.put_metric_data import PutMetricData
from stagemaker.cloudwatch.statistic import Aggregate
from stagemaker.ports import Datum
from stagemaker.store import Store
from stagemaker.wire.api import Api
from stagemaker.wire.cbor import CborCodec
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.model import load_service_model
from stagemaker.wire.query import QueryCodec


class CloudWatchService:
    """CloudWatch metrics of one account, all regions. Is `ports.Metrics`."""

    def __init__(self, store: Store, account: str) -> None:
        self.account = account
        self.points = PointStore(store)

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """Store data points to the second: see `ports.Metrics`. Raises ValueError for a value that is not finite."""
        if wrong := [datum for datum in data if not math.isfinite(datum.value)]:
            raise ValueError(f"CloudWatch has no such value: {wrong[0]}")
        self.points.put(
            region,
            [
                (
                    MetricKey(namespace, datum.name, datum.dimensions),
                    Point(
                        math.floor(datum.time.timestamp()),
                        datum.unit,
                        Aggregate(datum.count, datum.value * datum.count, datum.value, datum.value),
                    ),
                )
                for datum in data
            ],
        )

    def reset(self) -> None:
        """Forget every metric of every region."""
        self.points.clear()

    def api(self) -> Api:
        """The operations: RPC v2 CBOR (botocore's choice), AWS JSON 1.0 and query."""
        model = load_service_model("cloudwatch")
        return Api(
            model,
            [CborCodec(model), JsonCodec(model), QueryCodec(model)],
            {
                "PutMetricData": PutMetricData(self.points),
                "GetMetricStatistics": GetMetricStatistics(self.points),
                "GetMetricData": GetMetricData(self.points),
                "ListMetrics": ListMetrics(self.points),
            },
            prefix="cloudwatch",
        )
