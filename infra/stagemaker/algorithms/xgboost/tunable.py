"""What may be tuned in built-in XGBoost, as plain data.

Source: the tables "Tune an XGBoost model" of AWS's developer guide for names and recommended ranges. The bounds are
those that the algorithm itself accepts; an open bound (subsample > 0) is left to the algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stagemaker.algorithms.xgboost.definition import MAXIMIZED_METRICS, MINIMIZED_METRICS

OBJECTIVES: Mapping[str, bool] = {
    **{f"validation:{metric}": False for metric in MAXIMIZED_METRICS},
    **{f"validation:{metric}": True for metric in MINIMIZED_METRICS},
}
"""Whether less is better, for each metric that can be an objective."""

TUNABLES: Mapping[str, tuple[bool, float, float, float, float]] = {
    "alpha": (False, 0, math.inf, 0, 1000),
    "colsample_bylevel": (False, 0, 1, 0.1, 1),
    "colsample_bynode": (False, 0, 1, 0.1, 1),
    "colsample_bytree": (False, 0, 1, 0.5, 1),
    "eta": (False, 0, 1, 0.1, 0.5),
    "gamma": (False, 0, math.inf, 0, 5),
    "lambda": (False, 0, math.inf, 0, 1000),
    "max_delta_step": (True, 0, math.inf, 0, 10),
    "max_depth": (True, 0, math.inf, 0, 10),
    "min_child_weight": (False, 0, math.inf, 0, 120),
    "num_round": (True, 1, math.inf, 1, 4000),
    "subsample": (False, 0, 1, 0.5, 1),
}
"""Whether whole, least, most, and the ends of the recommended range."""
