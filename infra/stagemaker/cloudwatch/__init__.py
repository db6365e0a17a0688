"""CloudWatch metrics: data points in the store, and the statistics asked of them."""

from stagemaker.cloudwatch.service import CloudWatchService

__all__ = ["CloudWatchService"]
