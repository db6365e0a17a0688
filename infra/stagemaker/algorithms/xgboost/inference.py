"""One invocation: from body and headers to status and answer, in AWS's order of checks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from stagemaker.algorithms.toolkit.messages import Answer
from stagemaker.algorithms.xgboost import payload, selectable
from stagemaker.algorithms.xgboost.library_errors import without_stack
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.recordio import write_recordio
from stagemaker.algorithms.xgboost.version import Version

LOG = logging.getLogger(__name__)

BATCH_VARIABLE = "SAGEMAKER_BATCH"
DEFAULT_ACCEPT_VARIABLE = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"

_CSV = "text/csv"
_JSON = "application/json"
_JSONLINES = "application/jsonlines"
_RECORDIO = "application/x-recordio-protobuf"
_ACCEPTED = [_JSON, _JSONLINES, _RECORDIO, _CSV]


class _RefusalError(Exception):
    """A request that ends with another status than 200."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@contextmanager
def _refusing(status: HTTPStatus, prefix: str = "") -> Iterator[None]:
    """Turn any failure of one step into its status: a server must answer."""
    try:
        yield
    except Exception as error:
        raise _RefusalError(status, prefix + without_stack(error)) from error


class Inference:
    """The handler of `/invocations`. Safe to call from several threads at once."""

    def __init__(
        self,
        predictor: Predictor,
        version: Version,
        environment: Mapping[str, str],
        *,
        joins_csv: bool = False,
    ) -> None:
        """`joins_csv` makes one line of all predictions, as old images do, and every image with several models."""
        self._predictor = predictor
        self._joins_csv = joins_csv or version.joins_csv_response
        self._is_batch = bool(environment.get(BATCH_VARIABLE))
        self._default_accept = environment.get(DEFAULT_ACCEPT_VARIABLE) or _CSV
        selected = environment.get(selectable.VARIABLE) if version.selects_inference_output else None
        self._keys = None if selected is None else selectable.selected_keys(selected)

    def invoke(self, body: bytes, content_type: str | None, accept: str | None) -> Answer:
        """Answer one request. Whatever goes wrong becomes a status with a text; nothing is raised."""
        try:
            return self._answer(body, content_type, accept)
        except _RefusalError as refused:
            LOG.exception("Invocation answered with %d", refused.status, exc_info=refused.__cause__)
            return Answer(refused.status, str(refused).encode(), "text/html; charset=utf-8")

    def _answer(self, body: bytes, content_type: str | None, accept: str | None) -> Answer:
        if not body:
            return Answer(HTTPStatus.NO_CONTENT)
        with _refusing(HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
            features, parsed_type = payload.parse(body, content_type, self._trained_columns())
        with _refusing(HTTPStatus.INTERNAL_SERVER_ERROR, "Unable to load model: "):
            models = self._predictor.models()
        with _refusing(HTTPStatus.BAD_REQUEST, "Unable to evaluate payload provided: "):
            predictions = self._predictor.predict(features, parsed_type)
        with _refusing(HTTPStatus.NOT_ACCEPTABLE):
            form = self._form(accept)
        with _refusing(HTTPStatus.INTERNAL_SERVER_ERROR):
            if self._keys is None:
                answer = self._plain(predictions, form)
            else:
                chosen = selectable.select(predictions, self._keys, models[0].objective, models[0].num_class)
                answer = self._selected(chosen, self._keys, form)
        return Answer(HTTPStatus.OK, answer, f"{form}; charset=utf-8" if form.startswith("text/") else form)

    def _trained_columns(self) -> int:
        """How many features the model has; a model that cannot be loaded is reported after the parsing."""
        try:
            return int(self._predictor.models()[0].booster.num_features())
        except RuntimeError:
            return 0

    def _form(self, accept: str | None) -> str:
        """The MIME type of the answer. Raises ValueError for one that is not served."""
        wanted = (accept or "").split(";", 1)[0].strip()
        if wanted in {"", "*/*"}:
            return self._default_accept
        if wanted.lower() not in _ACCEPTED:
            raise ValueError(f"Accept type {wanted} is not supported. Please use supported accept types: {_ACCEPTED}.")
        return wanted.lower()

    def _plain(self, predictions: Any, form: str) -> bytes:
        """The predictions as such. A batch transform gets lines, whatever it accepts."""
        values = predictions.tolist()
        if self._is_batch:
            return _lines(map(str, values))
        if form == _CSV:
            if self._joins_csv:
                return ",".join(map(str, values)).encode()
            return _lines(",".join(map(str, value)) if isinstance(value, list) else str(value) for value in values)
        return _encoded([{"score": value} for value in values], form)

    def _selected(self, chosen: Sequence[Mapping[str, Any]], keys: Sequence[str], form: str) -> bytes:
        if form != _CSV:
            return _encoded(chosen, form)
        text = selectable.to_csv(chosen, keys)
        return (text + "\n" if self._is_batch else text).encode()


def _encoded(records: Sequence[Mapping[str, Any]], form: str) -> bytes:
    if form == _JSON:
        return json.dumps({"predictions": records}).encode()
    if form == _JSONLINES:
        return _lines(map(json.dumps, records))
    if form == _RECORDIO:
        return write_recordio(
            {key: value if isinstance(value, list) else [value] for key, value in record.items()} for record in records
        )
    raise RuntimeError(f"Cannot encode selected predictions into accept type '{form}'.")


def _lines(texts: Iterable[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()
