"""`from sagemaker_xgboost_container.data_utils import get_dmatrix`, as AWS's training scripts have it."""

from stagemaker.algorithms.xgboost.user_training import get_content_type, get_dmatrix

__all__ = ["get_content_type", "get_dmatrix"]
