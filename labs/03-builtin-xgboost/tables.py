"""Read the learner's CSV files cell by cell, and the customer table that they were made from.

XGBoost's own CSV parser refuses almost nothing: text becomes a missing value or 0, a header row becomes one more
customer. So the files are read here more strictly than the algorithm reads them, and what is wrong is named.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LABEL = "churn"
CATEGORIES = ("state", "area_code", "international_plan", "voice_mail_plan")
DELIMITERS = ",\t;|"
MOST_ROWS = 12_000
"""More than that cannot come from 4,000 customers; tracing would only take long."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file is not plain CSV of numbers. `line` and `column` count from 1; `values` are cells that show it."""

    kind: str
    """empty, unreadable, single, header, ragged, blank, text or long"""
    file: str
    line: int = 0
    column: int = 0
    values: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The members as JSON has them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one channel: `values` is rows x columns; `origin` says which file and line each row is."""

    values: Floats
    origin: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class _Text:
    line: int
    values: list[str] = field(default_factory=list)


def number(cell: str) -> float | None:
    """The finite number that a cell holds, or None. Python's `1_000`, `nan` and `inf` are no numbers here."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def read(files: Mapping[str, Path]) -> Table | Fault:
    """All files of one channel as one table, in the order given, or the first fault found. Keys are names to show."""
    rows: list[list[float]] = []
    origin: list[tuple[str, int]] = []
    for name, path in files.items():
        found = _read_one(name, path)
        if isinstance(found, Fault):
            return found
        for line, row in found:
            if rows and len(row) != len(rows[0]):
                return Fault("ragged", name, line, len(row), (str(len(rows[0])),))
            rows.append(row)
            origin.append((name, line))
        if len(rows) > MOST_ROWS:
            return Fault("long", name, line=len(rows))
    if not rows:
        return Fault("empty", next(iter(files), ""))
    return Table(np.array(rows), tuple(origin))


def _read_one(name: str, path: Path) -> list[tuple[int, list[float]]] | Fault:
    text = path.read_bytes().decode("utf-8", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    if not text.strip():
        return Fault("empty", name)
    if delimiter not in first:
        return Fault("single", name, 1, 1, (first[:60],))
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        cells = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        return Fault("unreadable", name, reader.line_num, values=(str(error),))
    if _is_header(cells):
        return Fault("header", name, cells[0][0], values=tuple(cells[0][1][:6]))
    rows = []
    texts: dict[int, _Text] = {}
    for line, row in cells:
        numbers = [number(cell) for cell in row]
        rows.append((line, [value for value in numbers if value is not None]))
        for column, (cell, value) in enumerate(zip(row, numbers, strict=True)):
            if value is None:
                text_found = texts.setdefault(column, _Text(line))
                if cell not in text_found.values and len(text_found.values) < 4:
                    text_found.values.append(cell)
    return _first_fault(name, texts) or rows


def _first_fault(name: str, texts: Mapping[int, _Text]) -> Fault | None:
    """The fault of the first column that holds text; blanks only when no column holds text."""
    for column, found in sorted(texts.items()):
        if any(value.strip() for value in found.values):
            values = tuple(value for value in found.values if value.strip())
            return Fault("text", name, found.line, column + 1, values)
    for column, found in sorted(texts.items()):
        return Fault("blank", name, found.line, column + 1)
    return None


def _is_header(cells: Sequence[tuple[int, Sequence[str]]]) -> bool:
    """Whether the first line names columns: text above a number, or pandas' own names 0, 1, 2 ..."""
    if len(cells) < 2:
        return False
    first, second = cells[0][1], cells[1][1]
    counted = first == [str(column) for column in range(len(first))]
    pairs = zip(first, second, strict=False)  # a header of another width than its rows is still a header
    above = any(number(top) is None and top.strip() and number(under) is not None for top, under in pairs)
    return counted or above


@dataclass(frozen=True, slots=True)
class Source:
    """The customer table, the held-back customers at its end.

    `columns` maps each feature to one number per customer: the value itself, or for a category the position of its
    text among `categories[name]` (sorted). `label` is 1 for a customer who left. `held_back` marks the customers
    that the learner was not given.
    """

    columns: dict[str, Floats]
    categories: dict[str, tuple[str, ...]]
    label: Ints
    held_back: NDArray[np.bool_]


def source(customers: Path, heldback: Path) -> Source:
    """Read both parts of the data set, which share their header row."""
    rows: list[dict[str, str]] = []
    held: list[bool] = []
    for path, is_held in ((customers, False), (heldback, True)):
        with path.open(newline="") as lines:
            part = list(csv.DictReader(lines))
        rows += part
        held += [is_held] * len(part)
    names = [name for name in rows[0] if name != LABEL]
    categories = {name: tuple(sorted({row[name] for row in rows})) for name in CATEGORIES}
    columns = {
        name: np.array(
            [categories[name].index(row[name]) if name in categories else float(row[name]) for row in rows]
        ).astype(np.float64)
        for name in names
    }
    label = np.array([row[LABEL] == "yes" for row in rows]).astype(np.int64)
    return Source(columns, categories, label, np.array(held))
