"""Failures of the library: which ones are the customer's to mend, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stagemaker.algorithms.xgboost.errors import AlgorithmError, ToolkitError, UserError

_LABEL_RANGE = "label must be in [0,1] for logistic regression"

# What the installed library says -> the text of the release that AWS's list was written for. None
# keeps the library's own sentence. The list is CUSTOMER_ERRORS of AWS's container; texts of 3.2 were
# taken by experiment.
_CUSTOMER_ERRORS: Mapping[str, str | None] = {
    "label must be in (0, 1) for logistic regression": _LABEL_RANGE,
    "label must be discrete values in the range of [0, num_class)": "label must be in [0, num_class)",
    "label must be in [0, num_class)": None,
    "label must be non-negative for Poisson/Tweedie regression": None,
    "Target is multiclass but average='binary'": None,
    "feature_names mismatch": None,
    "Number of columns does not match number of features in booster": None,
    "label and prediction size not match": None,
    "Invalid shape of labels": None,
    "Parameter reg_lambda should be greater equal to 0": None,
}
_BASE_SCORE = "base_score must be in (0,1) for the logistic loss"


def without_stack(error: Exception) -> str:
    """The message of the error, without the addresses of the library's stack."""
    return str(error).split("\nStack trace:", 1)[0].strip()


def translated(error: Exception, parameters: Mapping[str, Any]) -> ToolkitError:
    """The error to report when the library's training raised `error` with these `parameters`."""
    message = without_stack(error)
    for sentence, classical in _CUSTOMER_ERRORS.items():
        if sentence in message:
            return UserError(classical or message)
    if _BASE_SCORE in message:
        # The library guesses base_score from labels; so labels are at fault unless the user set it.
        given = "base_score" in parameters
        return UserError("base_score must be in (0,1) for logistic loss" if given else _LABEL_RANGE)
    return AlgorithmError(f"XGB train call failed with exception:\n {message}")
