"""Judge the learner's files. Reads JSON from standard input, writes JSON to standard output.

In: `customers` and `heldback`, paths of the two parts of the data set; `train` and `validation`, each an object of
paths by the name to show (an S3 URI). Out: by the name of a finding, in the order of `FINDINGS`, null when all is well
or the five lines of a card; after a finding that leaves the next ones without ground, nothing more.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables
import tracing
from numpy.typing import NDArray

CHANNELS = ("train", "validation")
FINDINGS = ("numbers", "customers", "label", "features", "once", "held_back", "stratified")

ENOUGH = 0.9
"""The share of rows that must be traced to say anything of the columns. Honest work reaches 0.99 and more."""

SUSPICIOUS = 0.9
"""AUC of one column alone. The best column of the customer table, `total_day_charge`, reaches 0.64."""

SMALLEST_SHARE, LARGEST_SHARE = 0.1, 0.5
"""Of all rows, that may stand in validation."""

NEAR_ENOUGH = 0.005
"""How far the two shares of churners may lie apart. A stratified split of 4,000 reaches 0.001, a random one 0.013."""

Card = dict[str, str]
Mask = NDArray[np.bool_]


def card(looked_at: str, found: str, expected: str, likely: str, next_step: str) -> Card:
    """The five lines that a learner reads."""
    return {"looked_at": looked_at, "found": found, "expected": expected, "likely": likely, "next": next_step}


@dataclass(frozen=True, slots=True)
class Traced:
    """Both channels, train first.

    `rows` are positions in `source`, negative for nobody known; `sure` is the share of rows that could be traced.
    When that is less than `ENOUGH` nothing is said of the columns: `columns` is empty.
    """

    source: tables.Source
    channels: dict[str, tables.Table]
    rows: tables.Ints
    sure: float
    columns: list[tracing.Column]

    @property
    def in_train(self) -> Mask:
        """Which rows stand in the train channel."""
        return np.arange(len(self.rows)) < len(self.channels["train"].values)

    def first(self, mask: Mask) -> tuple[int, str]:
        """How many rows `mask` holds, and where the first of them stands."""
        origin = [place for name in CHANNELS for place in self.channels[name].origin]
        places = np.flatnonzero(mask)
        file, line = origin[int(places[0])] if len(places) else ("", 0)
        return len(places), f"{file}, line {line}"


def read(payload: dict[str, Any]) -> dict[str, tables.Table | tables.Fault]:
    """Each channel as a table, or the first fault in it."""
    return {name: tables.read({key: Path(path) for key, path in payload[name].items()}) for name in CHANNELS}


def trace(payload: dict[str, Any], channels: dict[str, tables.Table]) -> Traced:
    """Work out who each row is and what each column is; both channels must have the same width."""
    source = tables.source(Path(payload["customers"]), Path(payload["heldback"]))
    values = np.vstack([channels[name].values for name in CHANNELS])
    in_train = np.arange(len(values)) < len(channels["train"].values)
    rows = tracing.who(values, source)
    sure = float((rows >= 0).mean())
    if sure < ENOUGH:
        return Traced(source, channels, rows, sure, [])
    columns = tracing.what(values, rows, in_train, source)
    return Traced(source, channels, tracing.settle(values, rows, columns), sure, columns)


def findings(payload: dict[str, Any]) -> dict[str, Card | None]:
    """The whole answer; see the top of this file."""
    channels = read(payload)
    good = {name: table for name, table in channels.items() if isinstance(table, tables.Table)}
    faults = [fault for fault in channels.values() if isinstance(fault, tables.Fault)]
    numbers = of_fault(faults[0]) if faults else of_widths(good)
    if numbers:
        return {"numbers": numbers}
    traced = trace(payload, good)
    answer = {"numbers": None, "customers": of_customers(traced)}
    if not traced.columns:
        return answer
    return answer | {
        "label": of_label(traced),
        "features": of_features(traced),
        "once": of_once(traced),
        "held_back": of_held_back(traced),
        "stratified": of_split(traced),
    }


def of_fault(fault: tables.Fault) -> Card:
    """The card for a file that is not plain CSV of numbers."""
    values = ", ".join(fault.values)
    at = f"{fault.file}, line {fault.line}, column {fault.column}"
    again = "write the file anew, upload it, train again"
    numbers = "a number in every cell"
    if fault.kind == "header":
        return card(
            f"{fault.file}, line {fault.line}",
            f"a header row: {values} ...",
            "a customer in every line: the built-in algorithms want no header row",
            "the header row was written too; XGBoost takes it for one more customer, with label 0",
            "to_csv(header=False, index=False), upload, train again",
        )
    if fault.kind == "text" and set(fault.values) <= {"True", "False"}:
        return card(
            at,
            values,
            "1 and 0",
            "pd.get_dummies made True and False, which are words: XGBoost's parser takes True for a missing value",
            "pd.get_dummies(..., dtype=int), upload, train again",
        )
    if fault.kind == "text" and fault.column == 1:
        return card(
            at,
            values,
            "the label, 1 for a customer who left and 0 for one who stayed",
            "the first column is still text: XGBoost's parser takes a word in its place for 0",
            "put the label first, as 1 and 0; upload, train again",
        )
    if fault.kind == "text":
        return card(
            at,
            values,
            numbers,
            "a category was not encoded: XGBoost's parser takes a word for a missing value",
            "encode that column (one-hot or as codes), upload, train again",
        )
    found, expected, likely, next_step = {
        "empty": ("no row", "one customer per line", "an empty table was written", again),
        "single": (f"one value in the line: {values}", "values separated by commas", "this is not CSV", again),
        "ragged": (
            f"{fault.column} values, {values} in the lines before",
            "the same number of values in every line",
            "two different tables lie under one prefix: the channel reads every object there",
            "delete the file that does not belong there, or upload to a new folder; train again",
        ),
        "blank": (
            "an empty cell",
            numbers,
            "the customer table has no empty cell: a word was mapped that is spelled otherwise",
            "look for NaN in that column before writing; upload, train again",
        ),
        "long": (
            f"more than {tables.MOST_ROWS:,} rows in the channel",
            "the 4,000 customers of customers.csv, each once",
            "old files lie under the same prefix: the channel reads every object there",
            "delete what does not belong there, or upload to a new folder; train again",
        ),
    }.get(fault.kind, (values, "CSV", "this is not CSV", again))
    return card(at if fault.kind == "blank" else f"{fault.file}, line {fault.line}", found, expected, likely, next_step)


def of_widths(channels: dict[str, tables.Table]) -> Card | None:
    """Both channels must have the same columns, or the model meets columns that it does not know."""
    train, validation = (channels[name].values.shape[1] for name in CHANNELS)
    if train == validation:
        return None
    return card(
        "the train and the validation files",
        f"{train} columns in train, {validation} in validation",
        "the same columns in the same order",
        "the categories were encoded after the split: a state that is rare misses in one of the files",
        "encode the whole table first, then split",
    )


def of_customers(traced: Traced) -> Card | None:
    """Every row must be a customer of the table."""
    count, where = traced.first(traced.rows < 0)
    if not count:
        return None
    if not traced.columns:
        return card(
            "the rows of train and validation, beside customers.csv",
            f"only {traced.sure:.0%} of the rows can be traced back to a customer",
            "rows made from customers.csv, most minutes or charges as they are, scaled or shifted",
            "rows were made up (noise, synthetic churners), or too many columns were dropped or mixed",
            "start from customers.csv; keep the minutes of day, evening and night as they are",
        )
    return card(
        where,
        f"{count:,} rows are no customer of the table",
        "every row one customer of customers.csv",
        "rows were made up or changed by hand, or come from another table",
        "write only rows of customers.csv; upload, train again",
    )


def of_label(traced: Traced) -> Card | None:
    """The first column must be the label, 1 for a customer who left."""
    first, *others = traced.columns
    if first.kind == "label":
        return None
    column = np.concatenate([traced.channels[name].values[:, 0] for name in CHANNELS])
    looked_at = "column 1 of train and validation, beside `churn` in customers.csv"
    expected = "1 for a customer who left, 0 for one who stayed"
    if first.kind in {"inverted", "copy"}:
        values = " and ".join(f"{value:g}" for value in np.unique(column))
        likely = "1 stands for those who stayed" if first.kind == "inverted" else "the label was given other numbers"
        return card(looked_at, f"the label as {values}", expected, likely, "label 1 where churn is `yes`, else 0")
    places = [place for place, other in enumerate(others, start=2) if other.kind in {"label", "inverted", "copy"}]
    if (column == column.round()).all() and len(np.unique(column)) == len(column):
        return card(
            looked_at,
            "whole numbers that are all different: the index of the table",
            expected,
            "to_csv wrote the index as the first column, so the algorithm took it for the label",
            "to_csv(header=False, index=False), upload, train again",
        )
    what = f"`{first.of[0]}`" if first.of else f"{len(np.unique(column)):,} different values"
    place = f"the label is column {places[0]}" if places else "the label is in no column"
    return card(
        looked_at,
        f"{what}; {place}",
        expected,
        "the label is not first: the algorithm takes column 1 for the label, whatever it holds",
        "move the label to the front, upload, train again",
    )


def of_features(traced: Traced) -> Card | None:
    """Every other column must come from the customer table, none of them from the answer."""
    for place, column in enumerate(traced.columns[1:], start=2):
        what = {
            "label": "the label once more",
            "inverted": "the label once more, turned round",
            "copy": "two values, one for those who left and one for those who stayed",
            "mean": f"the share of churners for each `{''.join(column.of)}`, counted over validation rows too",
            "differs": f"`{''.join(column.of)}`, but with other numbers in validation than in train",
        }.get(column.kind, f"values that come from no column of the table; alone they reach AUC {column.auc:.2f}")
        looked_at = f"column {place} of train and validation"
        expected = "features made from the columns of customers.csv, without `churn`"
        if column.kind == "differs":
            return card(
                looked_at,
                what,
                "one encoding for both files",
                "the encoding or scaling was fitted anew on each file",
                "fit on train, use the same numbers for validation; upload, train again",
            )
        if column.kind in {"label", "inverted", "copy", "mean"} or (
            column.kind == "unknown" and column.auc >= SUSPICIOUS
        ):
            return card(
                looked_at,
                what,
                expected,
                "leakage: a feature repeats the answer, which nobody knows of a customer who may still leave",
                "leave that column out, upload, train again",
            )
        if column.kind == "unknown":
            return card(
                looked_at,
                what,
                "each feature made from one column, a sum of columns, or a product or ratio of two",
                "several columns were mixed in a way that cannot be traced, so held-back rows cannot be encoded",
                "leave that column out, or build it more simply; upload, train again",
            )
    return None


def of_once(traced: Traced) -> Card | None:
    """No customer may stand in both files, nor twice in one."""
    known = traced.rows >= 0
    in_both = known & ~traced.in_train & np.isin(traced.rows, traced.rows[traced.in_train & known])
    count, where = traced.first(in_both)
    if count:
        return card(
            where,
            f"{count:,} validation customers stand in train too",
            "every customer in one of the two files",
            "the model is tested on customers that it learnt by heart, so its AUC is too good",
            "split once, and write to validation only what is not in train",
        )
    again = known.copy()
    for part in (traced.in_train, ~traced.in_train):
        places = np.flatnonzero(part)
        again[places[np.unique(traced.rows[part], return_index=True)[1]]] = False
    count, where = traced.first(again)
    if count:
        return card(
            where,
            f"{count:,} customers stand there more than once",
            "every customer once",
            "an old file lies under the same prefix (the channel reads every object there), or rows were repeated",
            "delete what does not belong there; against imbalance use the hyperparameter scale_pos_weight",
        )
    return None


def of_held_back(traced: Traced) -> Card | None:
    """No row may be one of the customers that the model is judged on."""
    held_back = (traced.rows >= 0) & traced.source.held_back[traced.rows]
    count, where = traced.first(held_back)
    if not count:
        return None
    return card(
        where,
        f"{count:,} rows are held-back customers",
        "only customers of customers.csv",
        "the table was taken from elsewhere: the held-back customers are for the judge alone",
        "read $LAB_DATA again, upload, train again",
    )


def of_split(traced: Traced) -> Card | None:
    """Validation must be a fair part of the rows, with the same share of churners."""
    rows = {name: len(traced.channels[name].values) for name in CHANNELS}
    share = {name: float((traced.channels[name].values[:, 0] == 1).mean()) for name in CHANNELS}
    part = rows["validation"] / sum(rows.values())
    if not SMALLEST_SHARE <= part <= LARGEST_SHARE:
        return card(
            "the rows of train and validation",
            f"{rows['train']:,} in train, {rows['validation']:,} in validation",
            f"{SMALLEST_SHARE:.0%} to {LARGEST_SHARE:.0%} of the rows in validation",
            "too few validation rows measure little, too many leave little to learn from",
            "put about a fifth into validation",
        )
    if abs(share["train"] - share["validation"]) > max(NEAR_ENOUGH, 1.5 / rows["validation"]):
        return card(
            "column 1 of train and of validation",
            f"{share['train']:.1%} churners in train, {share['validation']:.1%} in validation",
            f"shares that differ by {NEAR_ENOUGH:.1%} at most",
            "the split is not stratified: it follows the order of the table, or chance alone",
            "take the same fraction of those who left and of those who stayed",
        )
    return None


if __name__ == "__main__":
    json.dump(findings(json.load(sys.stdin)), sys.stdout)
