"""The service: which handler answers which operation, and what the stage's other parts ask of it."""

from __future__ import annotations

from pathlib import Path

from stagemaker.logs.arn import resources
from stagemaker.logs.catalogue import Catalogue
from stagemaker.logs.filter_log_events import FilterLogEvents
from stagemaker.logs.get_log_events import GetLogEvents
from stagemaker.logs.groups import GroupCalls
from stagemaker.logs.put_log_events import PutLogEvents
from stagemaker.logs.reader import StreamReader
from stagemaker.logs.streams import StreamCalls
from stagemaker.store import Store
from stagemaker.wire.api import Api
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.model import load_service_model


class LogsService:
    """CloudWatch Logs of one account, all regions. Is `ports.Logs`."""

    def __init__(self, store: Store, account: str) -> None:
        self.catalogue = Catalogue(store, account)
        self.reader = StreamReader(store)

    def attach(self, group: str, stream: str, file: Path, *, region: str) -> None:
        """Let `stream` of `group` be the log file `file`: see `ports.Logs`.

        A stream of that name that holds stored events gives them up for the file.
        """
        self.catalogue.attach(region, group, stream, file)

    def reset(self) -> None:
        """Forget every group, stream and event. Log files stay: they are the jobs'."""
        self.catalogue.clear()
        self.reader.clear()

    def api(self) -> Api:
        """The operations, in AWS JSON 1.1."""
        model = load_service_model("logs")
        groups = GroupCalls(self.catalogue, self.reader)
        streams = StreamCalls(self.catalogue, self.reader)
        return Api(
            model,
            [JsonCodec(model)],
            {
                "CreateLogGroup": groups.create,
                "DeleteLogGroup": groups.delete,
                "DescribeLogGroups": groups.describe,
                "PutRetentionPolicy": groups.put_retention,
                "DeleteRetentionPolicy": groups.delete_retention,
                "TagLogGroup": groups.tag,
                "TagResource": groups.tag,
                "UntagLogGroup": groups.untag,
                "UntagResource": groups.untag,
                "ListTagsLogGroup": groups.list_tags,
                "ListTagsForResource": groups.list_tags,
                "CreateLogStream": streams.create,
                "DeleteLogStream": streams.delete,
                "DescribeLogStreams": streams.describe,
                "PutLogEvents": PutLogEvents(self.catalogue),
                "GetLogEvents": GetLogEvents(self.catalogue, self.reader),
                "FilterLogEvents": FilterLogEvents(self.catalogue, self.reader),
            },
            prefix="logs",
            validation_code="InvalidParameterException",
            resources=resources,
        )
