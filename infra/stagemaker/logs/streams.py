"""CreateLogStream, DeleteLogStream and DescribeLogStreams."""

from __future__ import annotations

from typing import Any

from stagemaker.logs.arn import stream_arn
from stagemaker.logs.catalogue import Catalogue, LogGroup, LogStream
from stagemaker.logs.put_log_events import sequence_token
from stagemaker.logs.reader import StreamReader
from stagemaker.logs.token import read_name_token, read_time_token, write_name_token
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context

DEFAULT_LIMIT = 50
NEVER = -1
"""Sorts streams without events before all others."""

Parameters = dict[str, Any]


class StreamCalls:
    """The operations on log streams."""

    def __init__(self, catalogue: Catalogue, reader: StreamReader) -> None:
        self.catalogue = catalogue
        self.reader = reader

    async def create(self, context: Context, parameters: Parameters) -> Parameters:
        """CreateLogStream."""
        group = self.catalogue.named_group(context.region, parameters)
        self.catalogue.create_stream(group, parameters["logStreamName"])
        return {}

    async def delete(self, context: Context, parameters: Parameters) -> Parameters:
        """DeleteLogStream. A job's log file stays on the disk, out of the API's reach."""
        group = self.catalogue.named_group(context.region, parameters)
        self.catalogue.delete_stream(self.catalogue.stream(group, parameters["logStreamName"]))
        return {}

    async def describe(self, context: Context, parameters: Parameters) -> Parameters:
        """DescribeLogStreams, by name or by the time of the last event."""
        group = self.catalogue.named_group(context.region, parameters)
        limit = parameters.get("limit", DEFAULT_LIMIT)
        if parameters.get("orderBy") == "LastEventTime":
            if "logStreamNamePrefix" in parameters:
                raise AwsError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
            streams, token = self._by_last_event(group, parameters, limit)
        else:
            streams, token = self._by_name(group, parameters, limit)
        answer: Parameters = {"logStreams": [self._description(context, group, stream) for stream in streams]}
        if token:
            answer["nextToken"] = token
        return answer

    def _by_name(self, group: LogGroup, parameters: Parameters, limit: int) -> tuple[list[LogStream], str | None]:
        streams = self.catalogue.streams(
            group,
            prefix=parameters.get("logStreamNamePrefix", ""),
            beyond=read_name_token(parameters["nextToken"]) if "nextToken" in parameters else None,
            descending=parameters.get("descending", False),
            limit=limit + 1,
        )
        page = streams[:limit]
        return page, write_name_token(page[-1].name) if len(streams) > limit else None

    def _by_last_event(self, group: LogGroup, parameters: Parameters, limit: int) -> tuple[list[LogStream], str | None]:
        descending = parameters.get("descending", False)
        keyed = [((self._last_event(stream), stream.name), stream) for stream in self.catalogue.streams(group)]
        if "nextToken" in parameters:
            beyond = read_time_token(parameters["nextToken"])
            keyed = [(key, stream) for key, stream in keyed if (key < beyond if descending else key > beyond)]
        keyed.sort(key=lambda item: item[0], reverse=descending)
        page = keyed[:limit]
        return [stream for _, stream in page], write_name_token(*page[-1][0]) if len(keyed) > limit else None

    def _last_event(self, stream: LogStream) -> int:
        last = self.reader.span(stream).last
        return NEVER if last is None else last

    def _description(self, context: Context, group: LogGroup, stream: LogStream) -> Parameters:
        span = self.reader.span(stream)
        return {
            "logStreamName": stream.name,
            "creationTime": stream.created,
            "firstEventTimestamp": span.first,
            "lastEventTimestamp": span.last,
            "lastIngestionTime": span.ingestion,
            "uploadSequenceToken": None if stream.file else sequence_token(stream.id, stream.sequence),
            "arn": stream_arn(group.region, context.account, group.name, stream.name),
            "storedBytes": 0,  # AWS reports 0 for every stream since 2019
        }
