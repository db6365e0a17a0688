"""Metrics and their data points in the store.

A point is (count, sum, minimum, maximum) at a second: a single value is itself a set of one. Where
minimum and maximum are equal the values are known exactly, which is what percentiles need.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stagemaker.cloudwatch.statistic import Aggregate
from stagemaker.cloudwatch.window import Window
from stagemaker.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS cloudwatch_metrics (
    id INTEGER PRIMARY KEY,
    region TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    dimensions TEXT NOT NULL, -- a JSON object with sorted keys
    last_put INTEGER NOT NULL, -- epoch seconds of wall time
    UNIQUE (region, namespace, name, dimensions)
);
CREATE TABLE IF NOT EXISTS cloudwatch_points (
    metric INTEGER NOT NULL REFERENCES cloudwatch_metrics ON DELETE CASCADE,
    time INTEGER NOT NULL, -- epoch seconds
    unit TEXT NOT NULL,
    count REAL NOT NULL,
    sum REAL NOT NULL,
    minimum REAL NOT NULL,
    maximum REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS cloudwatch_points_in_time ON cloudwatch_points (metric, time);
"""

_MEASURED = """
SELECT :start + (time - :start) / :period * :period AS period_start, unit,
       SUM(count), SUM(sum), MIN(minimum), MAX(maximum)
FROM cloudwatch_points
WHERE metric = :metric AND time >= MAX(:start, :oldest) AND time < :end AND unit = COALESCE(:unit, unit)
GROUP BY period_start, unit ORDER BY period_start, unit
"""
_VALUES = """
SELECT :start + (time - :start) / :period * :period AS period_start, unit, count, minimum, maximum
FROM cloudwatch_points
WHERE metric = :metric AND time >= MAX(:start, :oldest) AND time < :end AND unit = COALESCE(:unit, unit)
"""


@dataclass(frozen=True, slots=True)
class MetricKey:
    """What names a metric. Other dimensions, also fewer of them, are another metric."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]

    @property
    def dimensions_text(self) -> str:
        """As stored."""
        return json.dumps(dict(self.dimensions), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Point:
    """Values of a metric at `time` (epoch seconds)."""

    time: int
    unit: str
    values: Aggregate


@dataclass(frozen=True, slots=True)
class Bucket:
    """A period, by the second it begins at, and the unit of the values in it."""

    begin: int
    unit: str


class PointStore:
    """All metrics of the account, by region."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.connection.executescript(SCHEMA)

    def put(self, region: str, points: Iterable[tuple[MetricKey, Point]]) -> None:
        """Keep points, all or none."""
        by_metric: defaultdict[tuple[str, str, str], list[Point]] = defaultdict(list)
        for key, point in points:
            by_metric[key.namespace, key.name, key.dimensions_text].append(point)
        with self.store.transaction() as connection:
            for metric, its_points in by_metric.items():
                number = connection.execute(
                    "INSERT INTO cloudwatch_metrics (region, namespace, name, dimensions, last_put)"
                    " VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET last_put = excluded.last_put RETURNING id",
                    (region, *metric, int(time.time())),
                ).fetchone()[0]
                connection.executemany(
                    "INSERT INTO cloudwatch_points VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (number, p.time, p.unit, p.values.count, p.values.sum, p.values.minimum, p.values.maximum)
                        for p in its_points
                    ],
                )

    def find(self, region: str, key: MetricKey) -> int | None:
        """The number of the metric that has exactly these dimensions."""
        row = self.store.connection.execute(
            "SELECT id FROM cloudwatch_metrics WHERE region = ? AND namespace = ? AND name = ? AND dimensions = ?",
            (region, key.namespace, key.name, key.dimensions_text),
        ).fetchone()
        return None if row is None else int(row[0])

    def aggregates(self, metric: int, window: Window, unit: str | None) -> dict[Bucket, Aggregate]:
        """Per period and unit that has points, in order of time. `unit` None: every unit."""
        rows = self.store.connection.execute(_MEASURED, _bounds(metric, window, unit))
        return {Bucket(begin, its_unit): Aggregate(*values) for begin, its_unit, *values in rows}

    def values(self, metric: int, window: Window, unit: str | None) -> dict[Bucket, list[tuple[float, float]]]:
        """The (value, how often) pairs of each period and unit.

        Periods of which some values are not known exactly, or are negative, are left out: CloudWatch
        has no percentiles of them.
        """
        found: defaultdict[Bucket, list[tuple[float, float]]] = defaultdict(list)
        without: set[Bucket] = set()
        for begin, its_unit, count, low, high in self.store.connection.execute(_VALUES, _bounds(metric, window, unit)):
            bucket = Bucket(begin, its_unit)
            found[bucket].append((low, count))
            if low != high or low < 0:
                without.add(bucket)
        return {bucket: values for bucket, values in found.items() if bucket not in without}

    def metrics(
        self, region: str, *, namespace: str | None, name: str | None, put_since: int, after: int
    ) -> Iterator[tuple[int, MetricKey]]:
        """Metrics that had points put since `put_since`, in the order of their numbers, from `after` on."""
        rows = self.store.connection.execute(
            "SELECT id, namespace, name, dimensions FROM cloudwatch_metrics WHERE region = ? AND id > ?"
            " AND namespace = COALESCE(?, namespace) AND name = COALESCE(?, name) AND last_put >= ? ORDER BY id",
            (region, after, namespace, name, put_since),
        ).fetchall()
        for number, its_namespace, its_name, dimensions in rows:
            yield number, MetricKey(its_namespace, its_name, json.loads(dimensions))

    def clear(self) -> None:
        """Forget every metric."""
        with self.store.transaction() as connection:
            connection.execute("DELETE FROM cloudwatch_points")
            connection.execute("DELETE FROM cloudwatch_metrics")


def _bounds(metric: int, window: Window, unit: str | None) -> dict[str, int | str | None]:
    return {
        "metric": metric,
        "start": window.start,
        "end": window.end,
        "oldest": window.oldest,
        "period": window.period,
        "unit": unit,
    }
