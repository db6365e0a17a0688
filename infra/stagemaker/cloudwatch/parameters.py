"""What several operations read from a request, and the errors that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stagemaker.wire.errors import AwsError

Parameters = dict[str, Any]


def invalid_value(message: str) -> AwsError:
    """`InvalidParameterValue`."""
    return AwsError("InvalidParameterValue", message)


def invalid_combination(message: str) -> AwsError:
    """`InvalidParameterCombination`."""
    return AwsError("InvalidParameterCombination", message)


def check_size(items: Sequence[Any], most: int, name: str) -> None:
    """Raises AwsError InvalidParameterValue for too many items."""
    if len(items) > most:
        raise invalid_value(f"The collection {name} must not have a size greater than {most}.")


def dimensions_of(holder: Mapping[str, Any], where: str) -> dict[str, str]:
    """The dimensions in `holder`, by name. Raises AwsError InvalidParameterValue for a name that comes twice."""
    dimensions: dict[str, str] = {}
    for number, dimension in enumerate(holder.get("Dimensions", ()), 1):
        if dimension["Name"] in dimensions:
            raise invalid_value(
                f"The value {dimension['Name']} for parameter {where}Dimensions.member.{number}.Name is given twice."
            )
        dimensions[dimension["Name"]] = dimension["Value"]
    return dimensions
