"""The two ways in which the algorithm refuses or fails."""

from __future__ import annotations

from typing import ClassVar

from stagemaker.contract.failure import FailureClass


class ToolkitError(Exception):
    """A failure whose text is meant for FailureReason; `kind` says whose fault it is."""

    kind: ClassVar[FailureClass]

    def __init__(self, message: str, caused_by: BaseException | None = None) -> None:
        suffix = f" (caused by {type(caused_by).__name__})" if caused_by is not None else ""
        super().__init__(message + suffix)


class UserError(ToolkitError):
    """The customer can mend it: a hyperparameter, a channel, the data."""

    kind = FailureClass.CLIENT


class AlgorithmError(ToolkitError):
    """The algorithm failed, or cannot do what was asked."""

    kind = FailureClass.ALGORITHM
