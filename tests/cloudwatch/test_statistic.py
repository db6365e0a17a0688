from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.cloudwatch.statistic import SIMPLE, Aggregate, is_other_extended, percentile, percentile_of

finite = st.floats(-1e9, 1e9)


@given(values=st.lists(finite, min_size=1, max_size=50), percent=st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    """Of raw values, with linear interpolation."""
    found = percentile([(value, 1.0) for value in values], percent)
    assert found == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-6)


@given(
    pairs=st.lists(st.tuples(finite, st.integers(1, 20)), min_size=1, max_size=20),
    percent=st.sampled_from([0, 1, 50, 90, 99.9, 100]),
)
def test_a_count_is_as_many_values(pairs: list[tuple[float, int]], percent: float) -> None:
    """A value with a count weighs as if it had been put that often."""
    repeated = [value for value, count in pairs for _ in range(count)]
    found = percentile([(value, float(count)) for value, count in pairs], percent)
    assert found == pytest.approx(np.percentile(repeated, percent), rel=1e-9, abs=1e-6)


def test_large_and_odd_counts() -> None:
    """Counts need not be whole or small: nothing is written out value by value."""
    assert percentile([(1.0, 1e15), (2.0, 1e15)], 25) == 1.0
    assert percentile([(1.0, 1e15), (2.0, 1e15)], 75) == 2.0
    assert percentile([(5.0, 0.25)], 99) == 5.0


@given(values=st.lists(finite, min_size=1, max_size=30), cut=st.integers(0, 30))
def test_aggregates_can_be_joined(values: list[float], cut: int) -> None:
    """The statistics of two parts joined are those of the whole."""

    def of(part: list[float]) -> Aggregate:
        return Aggregate(float(len(part)), sum(part), min(part), max(part))

    left, right = values[:cut], values[cut:]
    joined = of(left).joined(of(right)) if left and right else of(values)
    for statistic in SIMPLE.values():
        assert statistic(joined) == pytest.approx(statistic(of(values)), rel=1e-9, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "percent"),
    [("p0", 0.0), ("p0.0", 0.0), ("p50", 50.0), ("p99.9999999999", 99.9999999999), ("p100", 100.0)],
)
def test_names_of_percentiles(name: str, percent: float) -> None:
    """From p0 to p100, with up to ten decimals."""
    assert percentile_of(name) == percent


@pytest.mark.parametrize(
    "name", ["p", "p101", "p100.1", "P50", "p-1", "p50.", "50", "p5e1", "p99.99999999999", "", "Sum"]
)
def test_what_is_no_percentile(name: str) -> None:
    """Nothing else is one."""
    assert percentile_of(name) is None
    assert not is_other_extended(name)


@pytest.mark.parametrize("name", ["tm90", "TM(10%:90%)", "wm99", "ts90", "tc10", "PR(100:200)", "IQM", "tm99.9"])
def test_statistics_of_aws_that_the_stage_lacks(name: str) -> None:
    """They are known by name, so that the refusal can say so."""
    assert is_other_extended(name)
