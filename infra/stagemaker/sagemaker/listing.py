"""List operations, once for all families: filters, sorting, paging.

The members that filter are the same in most of SageMaker's list operations; those that a family
adds and that are not known here are refused, since a filter without effect gives wrong answers.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, OperationModel, StructureShape

from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.family import Family
from stagemaker.wire.errors import NotHonouredError, ValidationError
from stagemaker.wire.message import Context

DEFAULT_PAGE = 10
_SORT_COLUMNS = {"Name": "name", "CreationTime": "created", "LastModifiedTime": "modified", "Status": "status"}
_FILTERS = {
    "NameContains": "instr(name, ?) > 0",
    "StatusEquals": "status = ?",
    "CreationTimeAfter": "created > ?",
    "CreationTimeBefore": "created < ?",
    "WarmPoolStatusEquals": "json_extract(document, '$.WarmPoolStatus.Status') = ?",
    "LastModifiedTimeAfter": "modified > ?",
    "LastModifiedTimeBefore": "modified < ?",
}
_PAGING = frozenset({"NextToken", "MaxResults", "SortBy", "SortOrder"})


def list_resources(
    documents: Documents, family: Family, operation: OperationModel, context: Context, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer of `operation`: a page of summaries, and a NextToken when there are more.

    Raises ValidationException for a token of another query, NotHonouredError for an unknown filter.
    """
    clauses, values = ["region = ?", "family = ?"], [context.region, family.noun]
    for member, value in parameters.items():
        if member in _FILTERS:
            clauses.append(_FILTERS[member])
            values.append(value.timestamp() if hasattr(value, "timestamp") else value)
        elif member not in _PAGING:
            raise NotHonouredError(member, f"{operation.name} does not filter by it yet")
    column = _SORT_COLUMNS[parameters.get("SortBy", family.sort_by)]
    descending = parameters.get("SortOrder", family.sort_order) == "Descending"
    page = parameters.get("MaxResults", DEFAULT_PAGE)
    query = _digest(family, context, parameters)
    if token := parameters.get("NextToken"):
        # The next page begins behind the last row seen, so rows that come or go do not shift it.
        clauses.append(f"({column}, name) {'<' if descending else '>'} (?, ?)")
        values.extend(read_token(token, query))
    order = "DESC" if descending else "ASC"
    rows = documents.store.connection.execute(
        f"SELECT {column} AS position, name, document FROM sagemaker_resources"  # noqa: S608 - from the tables above
        f" WHERE {' AND '.join(clauses)} ORDER BY {column} {order}, name {order} LIMIT ?",
        (*values, page + 1),
    ).fetchall()
    member, fields = _summary(operation)
    answer: dict[str, Any] = {
        member: [{k: v for k, v in json.loads(row["document"]).items() if k in fields} for row in rows[:page]]
    }
    if len(rows) > page:
        last = rows[page - 1]
        answer["NextToken"] = page_token(query, last["position"], last["name"])
    return answer


def _summary(operation: OperationModel) -> tuple[str, frozenset[str]]:
    """The output member that holds the summaries, and the members of one."""
    members = operation.output_shape.members if operation.output_shape else {}
    for name, shape in members.items():
        if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
            return name, frozenset(shape.member.members)
    raise ValueError(f"{operation.name} lists nothing")


def _digest(family: Family, context: Context, parameters: Mapping[str, Any]) -> str:
    relevant = {k: str(v) for k, v in parameters.items() if k not in {"NextToken", "MaxResults"}}
    text = json.dumps([family.noun, context.region, relevant], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def page_token(query: object, position: object, name: str) -> str:
    """Where the page ends that `query` (JSON) asked for: at the row `name`, whose sort column holds `position`."""
    return base64.urlsafe_b64encode(json.dumps([query, position, name]).encode()).decode()


def read_token(token: str, query: object) -> list[Any]:
    """Position and name of the last row seen. Raises ValidationException for a token of another query."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise ValidationError("Invalid NextToken.") from error
    match found:
        case [of_query, str() | int() | float() | None as position, str(name)]:
            if of_query != query:
                raise ValidationError("Invalid NextToken. It belongs to a request with other parameters.")
            return [position, name]
    raise ValidationError("Invalid NextToken.")
