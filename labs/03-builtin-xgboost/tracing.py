"""Trace a table of numbers back to the customers it was made from: which row is who, which column is what.

The learner chooses columns, their order and their encoding, and tells nobody. Yet held-back customers can be scored
only in the same encoding, and leakage, overlap and a label in the wrong place can be proved only when each row is
known. So both are worked out from the numbers:

1. A few columns give the rows away. Minutes and charges take hundreds of values; a learner's column whose values are
   all found in one of them (as they are, or shifted and scaled) is that column. A row is the customer who agrees
   with it in at least two of day, evening and night; that is unique for all but a dozen of the 5,000.
2. Once rows are known, a column is what it is a function of: the label, one column of the source (any flag, one-hot,
   code, bin, scale or log), a linear combination of numbers, or a product or ratio of two.
3. The same function then encodes a held-back customer.

A column that is none of these is reported as unknown, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray
from tables import Floats, Ints, Source

GROUPS = ("day", "eve", "night")
"""Minutes and charge of one time of day say the same, so they count as one witness."""

FEWEST_VALUES = 300
"""A column with fewer values is a poor witness; minutes and charges of 4,000 customers take more than 900."""

PLAIN_SHARE, SCALED_SHARE = 0.9, 0.99
"""The share of a column's values that must be found. By chance the evening's minutes share 0.81 with the night's."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of the learner's table is.

    `kind` is constant, label, inverted, copy (of the label in other numbers), function, mean (of the label by `of`,
    over train and validation together), linear, pair, differs (one function in train, another in validation) or
    unknown. `of` names what it is made from. `auc` says how well the column alone ranks those who left, 0.5 to 1.
    `encoded` is the column for every customer of the source, NaN where that cannot be said.
    """

    kind: str
    of: tuple[str, ...]
    auc: float
    encoded: Floats


def auc(label: NDArray[np.generic], score: Floats) -> float:
    """The area under the ROC curve: how often one who left is ranked above one who stayed. Ties count half."""
    _, rank, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    left = np.asarray(label) == 1
    positive, negative = int(left.sum()), int((~left).sum())
    if not positive or not negative:
        return float("nan")
    return float((middle[rank][left].sum() - positive * (positive + 1) / 2) / (positive * negative))


def who(values: Floats, source: Source) -> Ints:
    """For each row the position of its customer in the source: -1 for a row of nobody, -2 when several would fit."""
    witnesses = _witnesses(values, source)
    votes: list[Counter[int]] = [Counter() for _ in values]
    for (mine, theirs), (mine_too, theirs_too) in combinations(witnesses, 2):
        customers: dict[tuple[int, int], list[int]] = {}
        for customer, pair in enumerate(zip(theirs.tolist(), theirs_too.tolist(), strict=True)):
            customers.setdefault(pair, []).append(customer)
        for vote, pair in zip(votes, zip(mine.tolist(), mine_too.tolist(), strict=True), strict=True):
            vote.update(customers.get(pair, ()))
    rows = np.full(len(values), -1)
    for place, vote in enumerate(votes):
        best = [customer for customer, count in vote.items() if count == max(vote.values())]
        if best:
            rows[place] = best[0] if len(best) == 1 else -2
    return rows


def _witnesses(values: Floats, source: Source) -> list[tuple[Ints, Ints]]:
    """For each time of day that can be recognised: each row's value of it, and each customer's, as positions."""
    columns = [column for column in values.T if len(np.unique(column)) >= FEWEST_VALUES]
    found = []
    for group in GROUPS:
        names = (f"total_{group}_minutes", f"total_{group}_charge")
        # As they are first, for all columns: that is the usual case, and a hundred times quicker than the other.
        tries = ((name, column, scaled) for scaled in (False, True) for name in names for column in columns)
        places = ((name, _same(column, source.columns[name], scaled=scaled)) for name, column, scaled in tries)
        name, mine = next(((name, place) for name, place in places if place is not None), ("", None))
        if mine is not None:
            theirs: Ints = np.unique(source.columns[name], return_inverse=True)[1]
            found.append((mine, theirs))
    return found


def _same(column: Floats, known: Floats, *, scaled: bool) -> Ints | None:
    """Each cell's position among the sorted values of `known`, -1 where none is near; None for another column.

    When `scaled`, the column may be shifted and scaled: its lowest and highest value are then those of `known`, or
    within five of them where outliers were dropped.
    """
    mine, inverse = np.unique(column, return_inverse=True)
    values: Floats = np.unique(known)
    near = 0.1 * float(np.diff(values).min())
    guesses = [(1.0, 0.0)]
    if scaled:
        pairs = product(values[:5], values[-5:])
        slopes = ((low, (high - low) / (mine[-1] - mine[0])) for low, high in pairs)
        guesses = [(slope, low - slope * mine[0]) for low, slope in slopes]
    for slope, shift in guesses:
        back = mine * slope + shift
        place = np.clip(np.searchsorted(values, back), 1, len(values) - 1)
        place -= (back - values[place - 1]) < (values[place] - back)
        hit = np.abs(values[place] - back) <= near
        if hit.mean() >= (SCALED_SHARE if scaled else PLAIN_SHARE):
            places: Ints = np.where(hit, place, -1)[inverse]
            return places
    return None


def settle(values: Floats, rows: Ints, columns: list[Column]) -> Ints:
    """`rows` with each -2 replaced by the customer whose encoding differs from the row in the fewest columns."""
    known = np.column_stack([column.encoded for column in columns])
    settled = rows.copy()
    for place in np.flatnonzero(rows == -2):
        settled[place] = int((~np.isclose(known, values[place], rtol=1e-5)).sum(axis=1).argmin())
    return settled


@dataclass(frozen=True, slots=True)
class _Feature:
    """A column of the source: its value for every customer, and for the rows: value, distinct values, place, count."""

    name: str
    is_category: bool
    everywhere: Floats
    here: Floats
    known: Floats
    place: Ints
    count: Ints


def _feature(name: str, everywhere: Floats, rows: Ints, *, is_category: bool) -> _Feature:
    here = everywhere[rows]
    known, place, count = np.unique(here, return_inverse=True, return_counts=True)
    return _Feature(name, is_category, everywhere, here, known, place, count)


def what(values: Floats, rows: Ints, in_train: NDArray[np.bool_], source: Source) -> list[Column]:
    """What each column is, judged by the rows whose customer is known (`rows` >= 0)."""
    sure = rows >= 0
    rows, in_train = rows[sure], in_train[sure]
    label = _feature("", source.label.astype(np.float64), rows, is_category=True)
    features = [
        _feature(name, everywhere, rows, is_category=name in source.categories)
        for name, everywhere in source.columns.items()
    ]
    # The simplest explanation first: of a flag rather than of minutes, which nearly every customer has alone.
    features.sort(key=lambda feature: len(feature.known))
    return [_explain(column[sure], rows, in_train, label, features) for column in values.T]


def _explain(
    column: Floats, rows: Ints, in_train: NDArray[np.bool_], label: _Feature, features: list[_Feature]
) -> Column:
    alone = auc(label.here, column)
    alone = max(alone, 1 - alone)
    unknown = np.full(len(label.everywhere), np.nan)
    near = 1e-6 * float(np.ptp(column))
    if near == 0:
        return Column("constant", (), alone, np.full(len(unknown), column[0]))
    by_label = _image(column, label, near)
    if by_label is not None:
        kind = {(0.0, 1.0): "label", (1.0, 0.0): "inverted"}.get(tuple(by_label.tolist()), "copy")
        return Column(kind, (), alone, unknown)
    distinct = len(np.unique(column))
    for feature in features:
        straight = None if feature.is_category or len(feature.known) != distinct else _straight(column, feature, near)
        if straight is not None:
            return Column("function", (feature.name,), alone, straight)
    for feature in features:
        image = _image(column, feature, near)
        if image is None:
            continue
        encoded = np.interp(feature.everywhere, feature.known, image)
        if feature.is_category:
            encoded[~np.isin(feature.everywhere, feature.known)] = np.nan
        kind = "mean" if _is_mean(image, feature, label.here, in_train) else "function"
        return Column(kind, (feature.name,), alone, encoded)
    for kind, of, encoded in _mixtures(column, rows, features):
        if np.nanmax(np.abs(encoded[rows] - column)) <= 100 * near:
            return Column(kind, of, alone, encoded)
    for feature in features:
        parts = (
            (column[part], _feature(feature.name, feature.everywhere, rows[part], is_category=feature.is_category))
            for part in (in_train, ~in_train)
        )
        if all(_image(part, in_part, near) is not None for part, in_part in parts):
            return Column("differs", (feature.name,), alone, unknown)
    return Column("unknown", (), alone, unknown)


def _straight(column: Floats, feature: _Feature, near: float) -> Floats | None:
    """The feature for all customers as it is, or shifted and scaled, if that is what the column holds."""
    if np.abs(feature.here - column).max() <= near:
        return feature.everywhere
    slope, base = np.polyfit(feature.here, column, 1)
    if np.abs(slope * feature.here + base - column).max() > near:
        return None
    line: Floats = slope * feature.everywhere + base
    return line


def _image(column: Floats, of: _Feature, near: float) -> Floats | None:
    """The column's value at each distinct value of the feature, if the column is a function of it.

    At least a hundred rows must share their value with another row: otherwise anything is a function.
    """
    lowest = np.full(len(of.known), np.inf)
    highest = np.full(len(of.known), -np.inf)
    np.minimum.at(lowest, of.place, column)
    np.maximum.at(highest, of.place, column)
    if (highest - lowest).max() > near or of.count[of.count > 1].sum() < 100:
        return None
    return lowest


def _is_mean(image: Floats, of: _Feature, label: Floats, in_train: NDArray[np.bool_]) -> bool:
    """Whether the column is the share of those who left at each value, counted over validation rows too."""
    if len(of.known) < 3:
        return False

    def shares(part: NDArray[np.bool_]) -> Floats:
        left, all_of_it = (np.bincount(of.place[part], weights, len(of.known)) for weights in (label[part], None))
        return left / np.maximum(all_of_it, 1)

    everywhere = np.ones(len(label), bool)
    return np.allclose(image, shares(everywhere), atol=1e-4) and not np.allclose(image, shares(in_train), atol=1e-4)


def _mixtures(column: Floats, rows: Ints, features: list[_Feature]) -> Iterator[tuple[str, tuple[str, ...], Floats]]:
    """Candidates made from several columns: the best linear combination, then products and ratios of two.

    A ratio is NaN where it divides by 0: what the learner put there instead is not known.
    """
    numbers = {
        feature.name: feature.everywhere for feature in features if not feature.is_category or len(feature.known) == 2
    }
    design = np.column_stack([*numbers.values(), np.ones(len(features[0].everywhere))])
    weights = np.linalg.lstsq(design[rows], column, rcond=None)[0]
    used = tuple(name for name, weight in zip(numbers, weights[:-1], strict=True) if abs(weight) > 1e-4)
    yield "linear", used, design @ weights
    for (first, left), (second, right) in permutations(numbers.items(), 2):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = left / right
        yield "pair", (first, second), np.where(np.isfinite(ratio), ratio, np.nan)
        if first < second:
            yield "pair", (first, second), left * right
