"""Rules between hyperparameters: each check takes the value and all parsed hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stagemaker.algorithms.xgboost.errors import UserError

_TREE_GROWERS = ("grow_colmaker", "distcol", "grow_histmaker", "grow_local_histmaker", "grow_quantile_histmaker")
_TREE_UPDATERS = (*_TREE_GROWERS, "grow_skmaker", "sync", "refresh", "prune")
_LINEAR_UPDATERS = ("shotgun", "coord_descent")
_TREE_MODIFIERS = ("refresh", "prune")


def check_dependencies(hyperparameters: Mapping[str, Any]) -> None:
    """Raise UserError for the first rule that the parsed hyperparameters break."""
    if "objective" not in hyperparameters and "num_class" in hyperparameters:
        raise UserError("Do not need to setup parameter 'num_class' for learning task other than multi-classification.")
    for name, check in _CHECKS.items():
        if name in hyperparameters:
            check(hyperparameters[name], hyperparameters)


def _objective(objective: str, hyperparameters: Mapping[str, Any]) -> None:
    if objective in {"multi:softmax", "multi:softprob"} and "num_class" not in hyperparameters:
        raise UserError("Require input for parameter 'num_class' for multi-classification")


def _eval_metric(metrics: list[str], hyperparameters: Mapping[str, Any]) -> None:
    objective = str(hyperparameters.get("objective", ""))
    # By this rule auc is refused for multi:* too.
    if "auc" in metrics and not objective.startswith(("binary:", "rank:")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in metrics and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")


def _updater(updaters: list[str], hyperparameters: Mapping[str, Any]) -> None:
    if hyperparameters.get("booster") == "gblinear":
        if len(updaters) != 1 or updaters[0] not in _LINEAR_UPDATERS:
            raise UserError("Linear updater should be one of these options: 'shotgun', 'coord_descent'.")
    elif hyperparameters.get("process_type") == "update":
        if not all(updater in _TREE_MODIFIERS for updater in updaters):
            raise UserError("process_type 'update' can only be used with updater 'refresh' and 'prune'")
    else:
        if not all(updater in _TREE_UPDATERS for updater in updaters):
            raise UserError(
                "Tree updater should be selected from these options: 'grow_colmaker', 'distcol', 'grow_histmaker', "
                "'grow_local_histmaker', 'grow_skmaker', 'grow_quantile_histmaker', 'sync', 'refresh', 'prune', "
                "'shortgun', 'coord_descent'."
            )
        if sum(updater in _TREE_GROWERS for updater in updaters) > 1:
            # The missing space is AWS's.
            raise UserError(
                "Only one tree grow plugin can be selected. Choose one from the"
                "following: 'grow_colmaker', 'distcol', 'grow_histmaker', 'grow_local_histmaker', 'grow_skmaker'"
            )


def _monotone_constraints(_: object, hyperparameters: Mapping[str, Any]) -> None:
    if hyperparameters.get("tree_method") not in {"exact", "hist"}:
        raise UserError(
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        )


def _interaction_constraints(_: object, hyperparameters: Mapping[str, Any]) -> None:
    if hyperparameters.get("tree_method") not in {"exact", "hist", "approx"}:
        raise UserError(
            "interaction_constraints can be used only when the tree_method parameter is set to "
            "either 'exact', 'hist' or 'approx'."
        )


_CHECKS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "objective": _objective,
    "eval_metric": _eval_metric,
    "updater": _updater,
    "monotone_constraints": _monotone_constraints,
    "interaction_constraints": _interaction_constraints,
}
