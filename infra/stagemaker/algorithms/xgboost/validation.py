"""From the strings of hyperparameters.json to typed values, refused with AWS's words.

The order is AWS's: aliases, required, unknown and unreadable ones, ranges, rules between them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from stagemaker.algorithms.xgboost.dependencies import check_dependencies
from stagemaker.algorithms.xgboost.errors import AlgorithmError, UserError
from stagemaker.algorithms.xgboost.hyperparameters import ALIASES, TABLE, Hyperparameter, Kind
from stagemaker.algorithms.xgboost.version import Version

_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.INTEGER: int,
    Kind.CONTINUOUS: float,
    Kind.CATEGORICAL: str,
    Kind.COMMA_SEPARATED_LIST: lambda text: text.split(","),
    # AWS evaluates the text as Python; literals are all that it can mean.
    Kind.TUPLE: ast.literal_eval,
    Kind.NESTED_LIST: ast.literal_eval,
}


def validate(strings: Mapping[str, str], version: Version) -> dict[str, Any]:
    """The hyperparameters by their library names, typed.

    `strings` are the entries of hyperparameters.json. The values are int, float, str, list of str
    (comma lists), tuple of int or list of lists of int. Raises UserError with AWS's text for what
    the customer must mend, AlgorithmError where AWS's own check falls over.
    """
    table = {row.name: row for row in TABLE if not row.only_legacy or version.is_legacy}
    given = _without_aliases(strings)
    for row in table.values():
        if row.required and row.name not in given:
            raise UserError(f"Missing required hyperparameter: {row.name}")
    parsed = {name: _parse(table, name, text) for name, text in given.items()}
    for name, value in parsed.items():
        _check_range(table[name], value)
    check_dependencies(parsed)
    return parsed


def _without_aliases(strings: Mapping[str, str]) -> dict[str, str]:
    given = dict(strings)
    for alias, name in ALIASES.items():
        if alias in given:
            given[name] = given.pop(alias)
    return given


def _parse(table: Mapping[str, Hyperparameter], name: str, text: str) -> Any:
    if name not in table:
        raise UserError(f"Extraneous hyperparameter found: {name}")
    try:
        return _PARSERS[table[name].kind](text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f"Hyperparameter {name}: could not parse value", caused_by=error) from error


def _check_range(row: Hyperparameter, value: Any) -> None:
    try:
        if not row.kind.is_collection:
            fits = value in row.range
        elif row.kind is Kind.NESTED_LIST:
            fits = all(element in row.range for inner in value for element in inner)
        else:
            fits = all(element in row.range for element in value)
    except UserError:
        raise
    except Exception as error:
        raise AlgorithmError(
            f"Hyperparameter {row.name}: unexpected failure when validating {value}", caused_by=error
        ) from error
    if not fits:
        wording = (
            f"value {value} not in range {row.range}" if row.kind.is_collection else f"{value} is not in {row.range}"
        )
        raise UserError(f"Hyperparameter {row.name}: {wording}")
