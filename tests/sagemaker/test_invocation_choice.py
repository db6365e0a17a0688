"""Which variant and which instance take a request."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from stagemaker.sagemaker.runtime.choice import Chooser
from stagemaker.sagemaker.runtime.route import Instance, VariantRoute

CHOICES = 10_000
INSTANCES = tuple(Instance(f"i-{number}", ()) for number in range(3))


def variants(**weights: float) -> tuple[VariantRoute, ...]:
    """Variants by name and weight."""
    return tuple(VariantRoute(name, weight, (), 1) for name, weight in weights.items())


@pytest.mark.parametrize("seed", range(5))
def test_requests_are_shared_out_by_weight(seed: int) -> None:
    """Of 10,000 requests 90 and 10 parts of a 90/10 split, within four standard deviations."""
    chooser, among = Chooser(seed), variants(a=9.0, b=1.0)
    chosen = Counter(variant.name for _ in range(CHOICES) if (variant := chooser.variant(among)))
    assert chosen.total() == CHOICES
    deviation = math.sqrt(CHOICES * 0.9 * 0.1)
    assert abs(chosen["a"] - CHOICES * 0.9) < 4 * deviation


def test_weights_need_not_add_up_to_one() -> None:
    """A weight counts beside the others: 1, 1 and 2 are a quarter, a quarter and a half."""
    chooser, among = Chooser(1), variants(a=1, b=1, c=2)
    chosen = Counter(variant.name for _ in range(CHOICES) if (variant := chooser.variant(among)))
    for name, share in {"a": 0.25, "b": 0.25, "c": 0.5}.items():
        assert abs(chosen[name] - CHOICES * share) < 4 * math.sqrt(CHOICES * share * (1 - share))


def test_the_same_seed_makes_the_same_choices() -> None:
    """Otherwise nobody could repeat what they saw."""
    among = variants(a=1, b=1)

    def names() -> list[str]:
        chooser = Chooser(7)
        return [variant.name for _ in range(50) if (variant := chooser.variant(among))]

    assert names() == names()


def test_without_weight_there_is_no_traffic() -> None:
    """A variant with weight 0 gets nothing, and nothing is chosen when all have 0."""
    chooser = Chooser(3)
    assert {variant.name for _ in range(500) if (variant := chooser.variant(variants(a=0, b=1)))} == {"b"}
    assert chooser.variant(variants(a=0, b=0)) is None
    assert chooser.variant(variants(a=0)) is None


def test_the_least_busy_instance_comes_first() -> None:
    """The others follow, for when it takes no connection."""
    busy = {"i-0": 2, "i-1": 0, "i-2": 1}
    order = [each.id for each in Chooser().instances(INSTANCES, lambda instance: busy[instance.id])]
    assert order == ["i-1", "i-2", "i-0"]


def test_instances_that_are_equally_busy_take_turns() -> None:
    """Each is first as often as the others."""
    chooser = Chooser()
    first = Counter(next(chooser.instances(INSTANCES, lambda _: 0)).id for _ in range(30))
    assert first == {"i-0": 10, "i-1": 10, "i-2": 10}


def test_a_variant_without_instances_has_none_to_choose() -> None:
    """Which is no error here."""
    assert list(Chooser().instances((), lambda _: 0)) == []
