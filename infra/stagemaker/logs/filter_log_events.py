"""FilterLogEvents: the streams of a group as one, in order of time, searched by a pattern."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from stagemaker.logs.catalogue import Catalogue, LogGroup, LogStream
from stagemaker.logs.event import Event, PageRoom
from stagemaker.logs.filter_pattern import read_pattern
from stagemaker.logs.get_log_events import FOR_EVER, visible_times
from stagemaker.logs.reader import StreamReader
from stagemaker.logs.token import GroupToken
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context

SEARCHED_PER_PAGE = 25_000
"""Events looked at for one answer, about 0.1 s: other calls wait meanwhile. AWS, too, may answer an empty page
with a token to go on from."""

NEWEST_FIRST_SINCE = 1_704_067_200_000
"""1 January 2024: AWS refuses `startFromHead=false` with an earlier start time."""

Parameters = dict[str, Any]


class FilterLogEvents:
    """The operation."""

    def __init__(self, catalogue: Catalogue, reader: StreamReader) -> None:
        self.catalogue = catalogue
        self.reader = reader

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """The next events that match; `nextToken` while there may be more.

        `searchedLogStreams` is always empty and `interleaved` always true, as on AWS since 2020.
        Nothing is masked, so `unmask` is moot.
        """
        group = self.catalogue.named_group(context.region, parameters)
        matches = read_pattern(parameters.get("filterPattern", ""))
        token = GroupToken.read(parameters["nextToken"], group.id) if "nextToken" in parameters else None
        forward = token.forward if token else parameters.get("startFromHead", True)
        if not forward and parameters.get("startTime", NEWEST_FIRST_SINCE) < NEWEST_FIRST_SINCE:
            raise AwsError(
                "InvalidParameterException",
                f"startFromHead can be false only with a startTime of {NEWEST_FIRST_SINCE} or later.",
            )
        # Unlike GetLogEvents, this operation returns events of the very end time.
        times = visible_times(group, parameters.get("startTime", 0), parameters.get("endTime", FOR_EVER - 1) + 1)
        positions = dict(token.positions) if token else {}
        sources = []
        for stream in self._streams(group, parameters):
            events = self.reader.events(stream)
            position = positions.get(stream.id)
            sources.append((stream, events.forward(position, times) if forward else events.backward(position, times)))

        room = PageRoom(parameters.get("limit"))
        found: list[Parameters] = []
        more = False
        for searched, (stream, event) in enumerate(_merged(sources, forward=forward)):
            matching = matches(event.message)
            if searched >= SEARCHED_PER_PAGE or (matching and not room.take(event)):
                more = True
                break
            positions[stream.id] = event.after if forward else event.before
            if matching:
                found.append(_found(stream, event))
        answer: Parameters = {"events": found, "searchedLogStreams": []}
        if more:
            answer["nextToken"] = str(GroupToken(group.id, forward, positions))
        return answer

    def _streams(self, group: LogGroup, parameters: Parameters) -> list[LogStream]:
        if "logStreamNames" not in parameters:
            return self.catalogue.streams(group, prefix=parameters.get("logStreamNamePrefix", ""))
        if "logStreamNamePrefix" in parameters:
            raise AwsError(
                "InvalidParameterException", "logStreamNamePrefix and logStreamNames cannot both be specified."
            )
        return [self.catalogue.stream(group, name) for name in dict.fromkeys(parameters["logStreamNames"])]


def _merged(sources: list[tuple[LogStream, Iterator[Event]]], *, forward: bool) -> Iterator[tuple[LogStream, Event]]:
    """The events of all streams by time. Each stream keeps its own order, whatever its clock did."""
    sign = 1 if forward else -1
    heap: list[tuple[int, int, Event]] = []
    for order, (_, events) in enumerate(sources):
        if event := next(events, None):
            heap.append((sign * event.timestamp, order, event))
    heapq.heapify(heap)
    while heap:
        _, order, event = heap[0]
        stream, events = sources[order]
        yield stream, event
        if following := next(events, None):
            heapq.heapreplace(heap, (sign * following.timestamp, order, following))
        else:
            heapq.heappop(heap)


def _found(stream: LogStream, event: Event) -> Parameters:
    return {
        "logStreamName": stream.name,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingestion,
        "eventId": f"{event.timestamp:014d}{stream.id:020d}{event.number:022d}",
    }
