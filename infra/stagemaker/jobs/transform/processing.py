"""DataProcessing: what of a record the model sees, and what of record and answer is kept.

A CSV record is a list of its cells as they are written, quotes included; a JSON record is its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from stagemaker.jobs.transform.json_path import JsonPath, NoMatchError
from stagemaker.jobs.transform.spec import Processing

_CELL = re.compile(r'((?:"(?:[^"]|"")*"|[^,])*)(?:,|$)')
OUTPUT_KEY, INPUT_KEY = "SageMakerOutput", "SageMakerInput"


class Format(Enum):
    """How a record is written."""

    CSV = "text/csv"
    JSON = "application/json"
    JSON_LINES = "application/jsonlines"

    @classmethod
    def of(cls, content_type: str) -> Format | None:
        """The format of a MIME type, whatever its parameters; None for one that has no records to look into."""
        bare = content_type.partition(";")[0].strip().lower()
        return next((each for each in cls if each.value == bare), None)

    @property
    def is_json(self) -> bool:
        """Whether a record is a JSON value."""
        return self is not Format.CSV


class ProcessingError(Exception):
    """A record or an answer is not what the filters or the join need. The text is for the data log."""


class DataProcessing:
    """The filters and the join of a job. `by_line` tells whether a payload holds a record a line, or is one record."""

    def __init__(self, processing: Processing, given: Format, answered: Format | None, *, by_line: bool) -> None:
        self._input_filter = JsonPath.parse(processing.input_filter)
        self._output_filter = JsonPath.parse(processing.output_filter)
        self._join = processing.join
        self._given = given
        self._answered = answered
        self._by_line = by_line

    def request(self, payload: bytes) -> bytes:
        """What the model is sent for a payload. Raises ProcessingError."""
        if self._input_filter.is_root:
            return payload
        records = self._records(payload)
        filtered = [self._filtered(record, self._given, self._input_filter, "InputFilter") for record in records]
        return _joined_lines(filtered, like=payload)

    def result(self, payload: bytes, answer: bytes, content_type: str) -> bytes:
        """What is kept of the model's answer to a payload. Raises ProcessingError."""
        if not self._join and self._output_filter.is_root:
            return answer
        form = self._given if self._join else self._answered or Format.of(content_type) or self._given
        if not self._join:
            return _joined_lines(
                [self._kept(record, form) for record in self._answers(answer, form, None)],
                like=answer,
            )
        records = self._records(payload)
        answers = self._answers(answer, form, len(records))
        if len(records) != len(answers):
            raise ProcessingError(
                f"Fail to join: {len(records)} input records, and {len(answers)} records in the model's answer"
            )
        pairs = zip(records, answers, strict=True)
        if self._output_filter.is_root and form is Format.CSV:
            return _joined_lines([f"{record},{own}" for record, own in pairs], like=answer)
        join = _join_json if form.is_json else _join_csv
        return _joined_lines([self._selected(join(record, own), form) for record, own in pairs], like=answer)

    def _records(self, payload: bytes) -> Sequence[str]:
        text = _text(payload)
        return _lines(text) if self._by_line else [text]

    def _answers(self, answer: bytes, form: Format, expected: int | None) -> Sequence[str]:
        """The records of an answer: a JSON document of several lines is one when one is expected."""
        text = _text(answer)
        if not self._by_line or (expected == 1 and form.is_json):
            return [text.rstrip("\r\n")]
        return _lines(text)

    def _kept(self, record: str, form: Format) -> str:
        return self._filtered(record, form, self._output_filter, "OutputFilter")

    def _selected(self, document: Any, form: Format) -> str:
        return _select(document, form, self._output_filter, "OutputFilter")

    @staticmethod
    def _filtered(record: str, form: Format, path: JsonPath, member: str) -> str:
        read: Callable[[str], Any] = _json if form.is_json else _cells
        return _select(read(record), form, path, member)


def _select(document: Any, form: Format, path: JsonPath, member: str) -> str:
    try:
        found = path.select(document)
    except NoMatchError as error:
        raise ProcessingError(f"A record has nothing at the {member}") from error
    if form.is_json:
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    return ",".join(found) if isinstance(found, list) else str(found)


def _join_json(record: str, answer: str) -> Any:
    given, own = _json(record), _json(answer)
    if isinstance(given, dict):
        return {**given, OUTPUT_KEY: own}
    return {INPUT_KEY: given, OUTPUT_KEY: own}


def _join_csv(record: str, answer: str) -> list[str]:
    return _cells(record) + _cells(answer)


def _cells(record: str) -> list[str]:
    if '"' not in record:
        return record.split(",")
    cells, position = [], 0
    while match := _CELL.match(record, position):
        cells.append(match[1])
        if match.end() == len(record) and not match[0].endswith(","):
            break
        position = match.end()
        if position == len(record):  # a comma at the end: an empty cell follows
            cells.append("")
            break
    return cells


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ProcessingError(f"A record is not JSON: {error}") from error


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProcessingError(f"A record is not UTF-8: {error}") from error


def _lines(text: str) -> Sequence[str]:
    """The lines; the last one may lack its end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _joined_lines(records: Sequence[str], *, like: bytes) -> bytes:
    """One record a line, the last one ended when that of `like` is."""
    return ("\n".join(records) + ("\n" if like.endswith(b"\n") else "")).encode()
