"""Which variant takes a request, and which of its instances."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from stagemaker.sagemaker.runtime.route import Instance, VariantRoute


class Chooser:
    """Variants by chance, in proportion to their weights; instances by who has least to do.

    AWS publishes the first rule. Of the second it says only that traffic is balanced between instances.
    `seed` makes the choice of variants repeatable.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - shares of traffic, no secret
        self._turn = itertools.count()

    def variant(self, variants: Sequence[VariantRoute]) -> VariantRoute | None:
        """One of those that have a weight; None when none has."""
        if len(variants) == 1 and variants[0].weight > 0:
            return variants[0]
        total = sum(variant.weight for variant in variants)
        if total <= 0:
            return None
        at = self._random.random() * total
        weighty = [variant for variant in variants if variant.weight > 0]
        for variant in weighty:
            at -= variant.weight
            if at < 0:
                return variant
        return weighty[-1]  # rounding has left a crumb

    def instances(self, instances: Sequence[Instance], under_way: Callable[[Instance], int]) -> Iterator[Instance]:
        """All instances: the least busy first; those that are equally busy take turns."""
        if len(instances) < 2:
            yield from instances
            return
        first = next(self._turn) % len(instances)
        yield from sorted((*instances[first:], *instances[:first]), key=under_way)
