"""GetLogEvents: one stream, page by page, in either direction."""

from __future__ import annotations

from typing import Any

from stagemaker.logs.catalogue import Catalogue, LogGroup, now_ms
from stagemaker.logs.event import Event, PageRoom, Times
from stagemaker.logs.reader import StreamReader
from stagemaker.logs.token import StreamToken
from stagemaker.wire.message import Context

FOR_EVER = 2**63 - 1

Parameters = dict[str, Any]


class GetLogEvents:
    """The operation."""

    def __init__(self, catalogue: Catalogue, reader: StreamReader) -> None:
        self.catalogue = catalogue
        self.reader = reader

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """A page, oldest event first, and the tokens of the pages after and before it.

        At the end of the stream the answer has no events and the token that was given: that is how
        the SDKs know that they have read everything so far. Nothing is masked, so `unmask` is moot.
        """
        group = self.catalogue.named_group(context.region, parameters)
        stream = self.catalogue.stream(group, parameters["logStreamName"])
        times = visible_times(group, parameters.get("startTime", 0), parameters.get("endTime", FOR_EVER))
        token = StreamToken.read(parameters["nextToken"]) if "nextToken" in parameters else None
        forward = token.forward if token else parameters.get("startFromHead", False)
        position = token.position if token else None

        stream_events = self.reader.events(stream)
        room = PageRoom(parameters.get("limit"))
        events: list[Event] = []
        for event in stream_events.forward(position, times) if forward else stream_events.backward(position, times):
            if not room.take(event):
                break
            events.append(event)
        if not forward:
            events.reverse()
        before = events[0].before if events else position or 0
        after = events[-1].after if events else position or 0
        return {
            "events": [
                {"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.ingestion}
                for event in events
            ],
            "nextForwardToken": str(StreamToken(forward=True, position=after)),
            "nextBackwardToken": str(StreamToken(forward=False, position=before)),
        }


def visible_times(group: LogGroup, start: int, end: int) -> Times:
    """From `start` up to but without `end`, less what the group's retention has let expire."""
    return Times(max(start, group.oldest_kept(now_ms())), min(end, FOR_EVER))
