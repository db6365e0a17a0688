"""CloudWatch Logs: groups, streams and events, kept in the store or read from the jobs' log files."""

from stagemaker.logs.service import LogsService

__all__ = ["LogsService"]
