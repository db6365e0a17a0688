"""What the curated table holds: every customer once, in the partition of its own value.

`checks.py` starts this as a process of its own: the files are the learner's. In: `source`, the path of the customer
table; `column`, what the table is partitioned by; `parts`, for each object its `key`, the `value` that its folder names
and the `path` of its bytes. Out: `card`, the first thing that is wrong, or null.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cards import Card, card

Cell = float | str
Row = tuple[Cell, ...]

SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One object of the curated table."""

    key: str
    value: str
    path: Path


@dataclass(frozen=True, slots=True)
class Table:
    """The customer table: its columns, and its rows in which numbers are numbers."""

    columns: tuple[str, ...]
    rows: frozenset[Row]


def judge(table: Table, column: str, parts: Sequence[Part]) -> Card | None:
    """The first thing that is wrong with the parts, as a card; None: they hold every customer once."""
    where: dict[Row, list[str]] = defaultdict(list)
    for part in parts:
        found = _rows_of(part, table, column)
        if isinstance(found, dict):
            return found
        for row in found:
            where[row].append(part.key)
    return _twice(where) or _missing(table, column, where)


def read_table(source: Path) -> Table:
    """The customer table in the file `source`."""
    columns, *lines = _lines(source)
    return Table(tuple(columns), frozenset(tuple(map(_cell, line)) for line in lines))


def _lines(file: Path) -> list[list[str]]:
    """The lines of a CSV file that hold anything, header included. Raises ValueError or csv.Error."""
    return [line for line in csv.reader(file.read_text(encoding="utf-8").splitlines()) if line]


def _cell(text: str) -> Cell:
    """Numbers as numbers: a program may write 10.0 as 10 without changing the customer."""
    try:
        return float(text)
    except ValueError:
        return text


def _rows_of(part: Part, table: Table, column: str) -> list[Row] | Card:
    """The customers in one part, with the partition's value where the table has it; or what is wrong with the part."""
    try:
        header, *lines = _lines(part.path) or [[]]
    except (ValueError, csv.Error) as error:
        return card(part.key, f"no CSV: {error}", "CSV in UTF-8", "another file stands there", "write that part again")
    names = header if column in header else [*header, column]
    if sorted(names) != sorted(table.columns):
        return _wrong_header(part, header, table, column)
    order = [names.index(name) for name in table.columns]
    place = table.columns.index(column)
    value = _cell(part.value)
    rows: list[Row] = []
    for number, line in enumerate(lines, start=2):
        cells = line if column in header else [*line, part.value]
        if len(cells) != len(names):
            found = f"line {number} has {len(line)} cells, the header {len(header)}"
            return card(part.key, found, "lines of one length", "the file was cut or damaged", "write that part again")
        row = tuple(_cell(cells[index]) for index in order)
        if row[place] != value or row not in table.rows:
            return _stranger(part, row, number, table, column)
        rows.append(row)
    return rows


def _wrong_header(part: Part, header: Sequence[str], table: Table, column: str) -> Card:
    missing = [name for name in table.columns if name not in {*header, column}]
    added = [name for name in header if name not in table.columns]
    expected = f"the table's columns in the first line; `{column}` may be left out, the folder says it"
    if len(missing) > len(table.columns) // 2:
        found, likely = f"a first line that begins {','.join(header)[:40]}", "the header row was left out"
    elif added:
        found, likely = f"columns that the table does not have: {_names(added)}", "the table's index was written too"
    else:
        found = f"columns are missing: {_names(missing)}" if missing else "a column stands there twice"
        likely = "this part was written by another version of the program"
    return card(part.key, found, expected, likely, "write the part with the table's own header")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN_NAMES])
    return shown + (f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else "")


def _stranger(part: Part, row: Row, number: int, table: Table, column: str) -> Card:
    """A row that is no customer, or one of another partition."""
    place = table.columns.index(column)
    home = next((each for each in table.rows if _without(each, place) == _without(row, place)), None)
    expected = f"customers of the table whose {column} is {part.value}"
    if home is not None:
        return card(
            f"{part.key}, line {number}",
            f"a customer whose {column} is {home[place]}",
            expected,
            "the folder's name does not come from the rows' own value",
            f"write each part from the rows of one {column}, and name the folder after it",
        )
    shown = ",".join(str(cell) for cell in row)
    return card(
        f"{part.key}, line {number}",
        f"no customer of the table: {shown[:60]}",
        expected,
        "a value was changed on the way, or the rows come from elsewhere",
        "partition the table without changing its rows",
    )


def _without(row: Row, place: int) -> Row:
    return row[:place] + row[place + 1 :]


def _twice(where: dict[Row, list[str]]) -> Card | None:
    again = [keys for keys in where.values() if len(keys) > 1]
    if not again:
        return None
    same_file = len(set(again[0])) == 1
    return card(
        again[0][0] if same_file else f"{again[0][0]} and {again[0][-1]}",
        f"{len(again):,} customers stand there more than once",
        "every customer once",
        "rows were repeated"
        if same_file
        else "an earlier run left its files under other names: whoever reads the prefix reads them all",
        "write parts under the same keys at each run, and delete those that belong to no part",
    )


def _missing(table: Table, column: str, where: dict[Row, list[str]]) -> Card | None:
    lost = table.rows - where.keys()
    if not lost:
        return None
    values = Counter(str(row[table.columns.index(column)]) for row in lost)
    place = ", ".join(f"{count:,} of {column} {value}" for value, count in values.most_common(SHOWN_NAMES))
    return card(
        "all parts of the curated table together",
        f"{len(lost):,} customers are missing: {place}",
        f"all {len(table.rows):,} customers",
        "a partition was left out, or customers were dropped as duplicates that are none",
        "compare the number of rows before you write with the table's",
    )


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    parts = [Part(each["key"], each["value"], Path(each["path"])) for each in asked["parts"]]
    json.dump({"card": judge(read_table(Path(asked["source"])), asked["column"], parts)}, sys.stdout)


if __name__ == "__main__":
    main()
