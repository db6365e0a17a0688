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

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from tables import Floats, Ints, Source

GROUPS = ("day", "eve", "night")
"""Minutes and charge of one time of day say the same, so they count as one witness."""

WITNESSES = 2
FEWEST_VALUES = 300
"""A column with fewer values is a poor witness; minutes and charges of 4,000 customers take more than 900."""


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
    votes = np.zeros((len(values), len(source.label)), np.int8)
    for group in GROUPS:
        agree = np.zeros(votes.shape, bool)
        for name in (f"total_{group}_minutes", f"total_{group}_charge"):
            for column in values.T:
                places = _same(column, source.columns[name])
                if places is not None:
                    known = np.unique(source.columns[name], return_inverse=True)[1]
                    agree |= places[:, None] == known[None, :]
        votes += agree
    best = votes.max(axis=1, initial=0)
    rows: Ints = votes.argmax(axis=1).astype(np.int64)
    rows[(votes == best[:, None]).sum(axis=1) > 1] = -2
    rows[best < WITNESSES] = -1
    return rows


def _same(column: Floats, known: Floats) -> Ints | None:
    """Each cell's position among the sorted values of `known`, -1 where none is near; None for another column.

    The column may be shifted and scaled: its lowest and highest value are then those of `known`, or within five of
    them where outliers were dropped.
    """
    mine, inverse = np.unique(column, return_inverse=True)
    if len(mine) < FEWEST_VALUES:
        return None
    values: Floats = np.unique(known)
    near = 0.1 * float(np.diff(values).min())
    guesses = [(1.0, 0.0, 0.9)]
    for low in values[:5]:
        for high in values[-5:]:
            scale = (high - low) / (mine[-1] - mine[0])
            guesses.append((scale, low - scale * mine[0], 0.99))
    for scale, shift, share in guesses:
        back = mine * scale + shift
        place = np.clip(np.searchsorted(values, back), 1, len(values) - 1)
        place -= (back - values[place - 1]) < (values[place] - back)
        hit = np.abs(values[place] - back) <= near
        if hit.mean() >= share:
            places: Ints = np.where(hit, place, -1)[inverse].astype(np.int64)
            return places
    return None


def settle(values: Floats, rows: Ints, columns: list[Column]) -> Ints:
    """`rows` with each -2 replaced by the customer whose encoding differs from the row in the fewest columns."""
    known = np.column_stack([column.encoded for column in columns])
    settled = rows.copy()
    for place in np.flatnonzero(rows == -2):
        settled[place] = int((~np.isclose(known, values[place], rtol=1e-5)).sum(axis=1).argmin())
    return settled


def what(values: Floats, rows: Ints, in_train: NDArray[np.bool_], source: Source) -> list[Column]:
    """What each column is, judged by the rows whose customer is known (`rows` >= 0)."""
    sure = rows >= 0
    return [_explain(column[sure], rows[sure], in_train[sure], source) for column in values.T]


def _explain(column: Floats, rows: Ints, in_train: NDArray[np.bool_], source: Source) -> Column:
    label = source.label[rows]
    alone = auc(label, column)
    alone = max(alone, 1 - alone)
    unknown = np.full(len(source.label), np.nan)
    near = 1e-6 * max(float(np.ptp(column)), 1e-9)
    if np.ptp(column) == 0:
        return Column("constant", (), alone, np.full(len(source.label), column[0]))
    by_label = _function(column, label.astype(np.float64), near)
    if by_label:
        kind = {(0.0, 1.0): "label", (1.0, 0.0): "inverted"}.get(tuple(by_label[1].tolist()), "copy")
        return Column(kind, (), alone, unknown)
    for name, made_from in source.columns.items():
        straight = None if name in source.categories else _straight(column, made_from, rows, near)
        if straight is not None:
            return Column("function", (name,), alone, straight)
    for name in sorted(source.columns, key=lambda name: len(np.unique(source.columns[name]))):
        made_from = source.columns[name]
        function = _function(column, made_from[rows], near)
        if function is None:
            continue
        known, image = function
        encoded = np.interp(made_from, known, image)
        if name in source.categories:
            encoded[~np.isin(made_from, known)] = np.nan
        kind = "mean" if _is_mean(known, image, made_from[rows], label, in_train) else "function"
        return Column(kind, (name,), alone, encoded)
    for kind, of, encoded in _mixtures(column, rows, source):
        if np.nanmax(np.abs(encoded[rows] - column)) <= 100 * near:
            return Column(kind, of, alone, encoded)
    for name, made_from in source.columns.items():
        parts = (in_train, ~in_train)
        if all(_function(column[part], made_from[rows[part]], near) for part in parts):
            return Column("differs", (name,), alone, unknown)
    return Column("unknown", (), alone, unknown)


def _straight(column: Floats, made_from: Floats, rows: Ints, near: float) -> Floats | None:
    """`made_from` for all customers as it is, or shifted and scaled, if that is what the column holds."""
    if np.abs(made_from[rows] - column).max() <= near:
        return made_from
    slope, base = np.polyfit(made_from[rows], column, 1)
    line: Floats = slope * made_from + base
    return line if np.abs(line[rows] - column).max() <= near else None


def _function(column: Floats, of: Floats, near: float) -> tuple[Floats, Floats] | None:
    """The distinct values of `of` and the column's value at each, if the column is a function of `of`.

    At least a hundred rows must have shared their value with another row: otherwise anything is a function.
    """
    known, inverse, count = np.unique(of, return_inverse=True, return_counts=True)
    lowest = np.full(len(known), np.inf)
    highest = np.full(len(known), -np.inf)
    np.minimum.at(lowest, inverse, column)
    np.maximum.at(highest, inverse, column)
    if (highest - lowest).max() > near or count[count > 1].sum() < 100:
        return None
    return known, lowest


def _is_mean(known: Floats, image: Floats, of: Floats, label: Ints, in_train: NDArray[np.bool_]) -> bool:
    """Whether the column is the share of those who left at each value, counted over validation rows too."""
    if len(known) < 3:
        return False

    def shares(part: NDArray[np.bool_]) -> Floats:
        return np.array(
            [label[part & (of == value)].mean() if (part & (of == value)).any() else np.nan for value in known]
        )

    everywhere = np.ones(len(label), bool)
    return bool(
        np.allclose(image, shares(everywhere), atol=1e-4) and not np.allclose(image, shares(in_train), atol=1e-4)
    )


def _mixtures(column: Floats, rows: Ints, source: Source) -> Iterator[tuple[str, tuple[str, ...], Floats]]:
    """Candidates made from several columns: the best linear combination, then products and ratios of two."""
    numbers = {name: values for name, values in source.columns.items() if len(source.categories.get(name, ())) < 3}
    design = np.column_stack([*numbers.values(), np.ones(len(source.label))])
    weights = np.linalg.lstsq(design[rows], column, rcond=None)[0]
    yield (
        "linear",
        tuple(name for name, weight in zip(numbers, weights[:-1], strict=True) if abs(weight) > 1e-4),
        design @ weights,
    )
    for (first, left), (second, right) in permutations(numbers.items(), 2):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = left / right
        yield "pair", (first, second), np.where(np.isfinite(ratio), ratio, np.nan)
        if first < second:
            yield "pair", (first, second), left * right
