"""Ranges: every value lies inside, scalings turn back, ends are reached."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.search.ranges import (
    Categorical,
    Continuous,
    Integer,
    Scaling,
    all_combinations,
    combinations,
    draw,
    read,
    texts,
)

SCALINGS = st.sampled_from([Scaling.AUTO, Scaling.LINEAR, Scaling.LOGARITHMIC])


@given(st.floats(1e-6, 1e3), st.floats(1, 1e5), st.floats(0, 1), SCALINGS)
def test_continuous_values_lie_inside_and_turn_back(low: float, factor: float, unit: float, scaling: Scaling) -> None:
    """Whatever the scaling, a unit gives a value of the range, and the value the same place again."""
    each = Continuous("x", low, low * factor, scaling)
    value = each.at(unit)
    assert value in each
    assert each.at(each.unit(value)) == pytest.approx(value, rel=1e-6)


def test_scalings_have_their_middles() -> None:
    """Halfway is the mean, the geometric mean, and for ReverseLogarithmic the same seen from 1."""
    assert Continuous("x", 0.0, 10.0, Scaling.LINEAR).at(0.5) == 5.0
    assert Continuous("x", 0.01, 100.0, Scaling.LOGARITHMIC).at(0.5) == pytest.approx(1.0)
    assert Continuous("x", 0.9, 0.999, Scaling.REVERSE_LOGARITHMIC).at(0.5) == pytest.approx(0.99)


def test_auto_is_logarithmic_from_a_factor_of_a_thousand_on() -> None:
    """And linear below it, and where the range begins at zero."""
    assert Continuous("x", 0.001, 1.0).at(0.5) == pytest.approx(math.sqrt(0.001))
    assert Continuous("x", 0.01, 1.0).at(0.5) == pytest.approx(0.505)
    assert Continuous("x", 0.0, 1000.0).at(0.5) == pytest.approx(500.0)


@pytest.mark.parametrize("scaling", [Scaling.LINEAR, Scaling.LOGARITHMIC])
def test_integers_reach_both_ends_and_nothing_else(scaling: Scaling) -> None:
    """Both ends are drawn, and no value outside."""
    each, generator = Integer("n", 2, 5, scaling), random.Random(1)
    assert {each.draw(generator) for _ in range(200)} == {2, 3, 4, 5}


def test_combinations_are_each_listed_once() -> None:
    """The product of integers and categories; a continuous range has no end, unless it is a point."""
    space = (Integer("n", 1, 3), Categorical("c", ("a", "b")), Continuous("x", 0.5, 0.5))
    listed = [tuple(values.values()) for values in all_combinations(space)]
    assert combinations(space) == len(listed) == len(set(listed)) == 6
    assert math.isinf(combinations((Continuous("x", 0, 1),)))


@given(st.integers(0, 1000))
def test_texts_turn_back(seed: int) -> None:
    """What a container is told is exactly what was drawn."""
    space = (Integer("n", -5, 500), Categorical("c", ("a", "b")), Continuous("x", 1e-9, 1.0))
    values = draw(space, random.Random(seed))
    assert read(space, texts(values)) == values


def test_values_of_another_search_are_taken_only_if_they_fit() -> None:
    """A value that is missing, outside the range or no number makes the whole unusable."""
    space = (Integer("n", 1, 5),)
    assert read(space, {"n": "3", "other": "x"}) == {"n": 3}
    for given_values in ({}, {"n": "6"}, {"n": "3.5"}, {"n": "many"}):
        assert read(space, given_values) is None
