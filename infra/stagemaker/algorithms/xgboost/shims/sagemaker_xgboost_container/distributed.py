"""`from sagemaker_xgboost_container import distributed`, as AWS's training scripts have it."""

from stagemaker.algorithms.xgboost.user_training import rabit_run

__all__ = ["rabit_run"]
