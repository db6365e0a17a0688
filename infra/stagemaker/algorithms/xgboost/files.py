"""The data files of a channel, and the check of their first lines."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.errors import UserError

LOG = logging.getLogger(__name__)

_MAX_FOLDER_DEPTH = 3
_SNIPPET = 50  # characters of a line that AWS's messages show
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIBSVM_LABEL = re.compile(rf"{_NUMBER}(?::{_NUMBER})?")
_LIBSVM_FEATURE = re.compile(r"[^:\s]+:[^:\s]+")


def data_files(folder: Path) -> list[Path]:
    """The files of a channel that hold data, in the order of their paths; empty when there is nothing.

    Names that start with `_` are skipped. Raises UserError for a hidden file and for folders nested
    deeper than AWS reads.
    """
    if not folder.is_dir():
        return []
    files = sorted(_walk(folder, depth=1))
    if sum(file.stat().st_size for file in files) == 0:
        return []
    return [file for file in files if not file.name.startswith("_")]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if depth > _MAX_FOLDER_DEPTH:
        raise UserError(f"Folder depth exceed the limit: {_MAX_FOLDER_DEPTH}.")
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, depth + 1)
        elif entry.name.startswith("."):
            raise UserError("Hidden file found in the data path! Remove that before training.")
        else:
            yield entry


def warn_of_same_names(train: list[Path], validation: list[Path]) -> None:
    """Log a warning for files of the same name and size in both channels: probably the same data."""
    sizes = {(file.name, file.stat().st_size) for file in train}
    for file in validation:
        if (file.name, file.stat().st_size) in sizes:
            LOG.warning(
                "Suspected identical files found: '%s' is in the train and in the validation channel with the same "
                "size. Metrics on data that was trained on are no measure of quality.",
                file.name,
            )


def check_first_lines(files: list[Path], content_type: ContentType) -> None:
    """Raise UserError when the text of a file does not begin as its content type says."""
    if content_type is ContentType.CSV:
        for file in files:
            _check_csv(file)
    elif content_type is ContentType.LIBSVM:
        for file in files:
            _check_libsvm(file)


def csv_delimiter(file: Path) -> str:
    """The delimiter of a CSV file, guessed from its first line. Raises UserError when there is none."""
    return sniff_delimiter(_first_line(file))


def sniff_delimiter(line: str) -> str:
    """The delimiter of one line of CSV, as Python's Sniffer guesses it.

    Where it names a letter, a digit or a sign, the delimiter is `|`, which it does not prefer, or the
    line has a single column: UserError then.
    """
    if "," in line and '"' not in line and "'" not in line:
        return ","  # the Sniffer's first choice; saves a request to the server a tenth of a millisecond
    try:
        delimiter = csv.Sniffer().sniff(line).delimiter
        if delimiter.isalnum() or delimiter in "+-._\"'":
            if "|" in line:
                return "|"
            raise csv.Error("Could not determine delimiter")
    except csv.Error as error:
        raise UserError(f"Could not determine delimiter on line {line[:_SNIPPET]}:\n{error}") from error
    return delimiter


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8-sig", errors="ignore") as lines:
        return lines.readline().rstrip("\r\n")


def _check_csv(file: Path) -> None:
    line = _first_line(file)
    if _libsvm_features(line) > 0:
        # Images before 1.3 checked for this; the newer ones read nonsense without a word.
        raise _wrong_format(line, file, "CSV")
    LOG.info("Determined delimiter of CSV input is '%s'", sniff_delimiter(line))


def _check_libsvm(file: Path) -> None:
    """The first line that has more than one feature decides, as in AWS's check."""
    with file.open(encoding="utf-8", errors="ignore") as lines:
        for raw in lines:
            line = raw.rstrip("\r\n")
            features = _libsvm_features(line)
            if features > 1:
                return
            if features < 0:
                raise _wrong_format(line, file, "LIBSVM")
    LOG.warning("File %s is not an invalid LIBSVM file but has no features. Accepting simple validation.", file.name)


def _libsvm_features(line: str) -> int:
    """How many features a libsvm line has; -1 when it is not one."""
    tokens = line.split("#", 1)[0].split()
    if not tokens:
        return 0
    label, *features = tokens
    if not _LIBSVM_LABEL.fullmatch(label) or not all(_LIBSVM_FEATURE.fullmatch(token) for token in features):
        return -1
    return len(features)


def _wrong_format(line: str, file: Path, name: str) -> UserError:
    return UserError(
        f"First line '{line[:_SNIPPET]}...' of file '{file.name}' is not '{name}' format. "
        f"Please ensure the file is in '{name}' format."
    )
