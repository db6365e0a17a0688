"""CSV without a header: label first, then perhaps a weight, then the features."""

from __future__ import annotations

import itertools
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stagemaker.algorithms.xgboost.arrow_tables import read_quickly
from stagemaker.algorithms.xgboost.records import Floats, Records, concatenate

LOG = logging.getLogger(__name__)

_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


def read_csv(files: Iterable[Path], delimiter: str, *, weighted: bool) -> Records:
    """The records of all files, in order.

    Blank cells are missing values. `weighted` says that column 1 holds instance weights. Raises
    ValueError with file and line for text, for lines of another width and for undecodable bytes.
    """
    parts: list[Records] = []
    width = 0
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*input contained no data", category=UserWarning)
                table = _read_file(file, delimiter)
        except UnicodeDecodeError as error:
            raise ValueError(f"file '{file.name}' is not text in UTF-8: {error}") from error
        width = width or table.shape[1]
        if table.shape[1] != width:
            raise ValueError(f"file '{file.name}' has {table.shape[1]} columns, the files before it have {width}")
        parts.append(_split(table, weighted=weighted))
    return concatenate(parts)


def parse_table(lines: Iterable[str], delimiter: str) -> Floats:
    """Lines of numbers as an array of shape (lines, columns); empty lines are skipped.

    Raises ValueError for anything else, blank cells too; warns when there is no line. numpy's reader
    rounds correctly, unlike the library's own CSV parser, which is off by one unit in the last place
    for about one number in a hundred.
    """
    table: Floats = np.loadtxt(lines, delimiter=delimiter, dtype=np.float32, comments=None, ndmin=2)
    return table


def fill_blanks(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """The lines with `nan` in place of every cell that is empty or holds only spaces."""
    spaces = " \t".replace(delimiter, "")
    edge = re.escape(delimiter)
    blank = re.compile(rf"(?<={edge})[{spaces}]+(?={edge})")
    empty, filled = delimiter * 2, f"{delimiter}nan{delimiter}"
    for line in lines:
        text = line.rstrip("\r\n")
        if not text:
            continue
        text = f"{delimiter}{text}{delimiter}"
        if any(space in text for space in spaces):
            text = blank.sub("", text)
        # Twice, since neighbouring empty cells share a delimiter.
        yield text.replace(empty, filled).replace(empty, filled)[len(delimiter) : -len(delimiter)]


def _split(table: Floats, *, weighted: bool) -> Records:
    if weighted:
        return Records(table[:, 2:], label=table[:, 0], weight=table[:, 1])
    return Records(table[:, 1:], label=table[:, 0])


def _read_file(file: Path, delimiter: str) -> Floats:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
    header = _header_record(file, first, delimiter)
    skip = 0 if header is None else 1
    table = read_quickly(file, delimiter, first.count(delimiter) + 1, skip=skip, threads=True)
    if table is None:
        table = _read_with_blanks(file, delimiter, skip)
    if header is None:
        return table
    if table.shape[0] == 0:
        return header
    if table.shape[1] != header.shape[1]:
        raise ValueError(_ragged(file, 2, table.shape[1], header.shape[1]))
    return np.concatenate([header, table])


def _read_with_blanks(file: Path, delimiter: str, skip: int) -> Floats:
    """The slower way, for cells of spaces and the like; the way to find out what is wrong with the others."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            return parse_table(fill_blanks(itertools.islice(lines, skip, None), delimiter), delimiter)
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise ValueError(_first_fault(file, delimiter, skip) or str(error)) from error


def _header_record(file: Path, line: str, delimiter: str) -> Floats | None:
    """What a header line becomes, or None when the line holds numbers.

    The library does not detect headers: measured with xgboost 3.2, text cells of a line are read as
    missing values, a label of text as 0, and text that begins with a number as that number.
    """
    cells = line.rstrip("\r\n").split(delimiter)
    if all(_is_number(cell) or not cell.strip() for cell in cells):
        return None
    LOG.warning(
        "The first line of '%s' looks like a header: '%s'. XGBoost does not detect headers: this line is trained on "
        "as one more record, its text read as label 0 and missing features. Remove it.",
        file.name,
        line.rstrip("\r\n")[:100],
    )
    record = [float(match[1]) if (match := _LEADING_NUMBER.match(cell)) else np.nan for cell in cells]
    if np.isnan(record[0]):
        record[0] = 0.0
    return np.array([record], dtype=np.float32)


def _first_fault(file: Path, delimiter: str, skip: int) -> str | None:
    width = 0
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if number <= skip or not text:
                continue
            cells = text.split(delimiter)
            width = width or len(cells)
            if len(cells) != width:
                return _ragged(file, number, len(cells), width)
            for column, cell in enumerate(cells):
                if cell.strip() and not _is_number(cell):
                    return f"line {number} of file '{file.name}', column {column}: '{cell[:50]}' is not a number"
    return None


def _ragged(file: Path, number: int, cells: int, width: int) -> str:
    return f"line {number} of file '{file.name}' has {cells} columns, the lines before it have {width}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000 as a number, no other reader of CSV does
