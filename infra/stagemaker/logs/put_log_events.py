"""PutLogEvents: a batch into a stream, by AWS's rules on size, order and age."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from stagemaker.logs.catalogue import DAY_MS, Catalogue, LogGroup, now_ms
from stagemaker.logs.event import EVENT_OVERHEAD
from stagemaker.logs.stored_events import store_events
from stagemaker.wire.errors import AwsError, NotHonouredError
from stagemaker.wire.message import Context

BATCH_BYTES = 2**20
OLDEST_MS = 14 * DAY_MS
NEWEST_MS = 2 * 60 * 60 * 1000
"""An event may be this old, and this far in the future."""

Parameters = dict[str, Any]


class PutLogEvents:
    """The operation."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    async def __call__(self, context: Context, parameters: Parameters) -> Parameters:
        """Store what is neither too old nor too new, and say which events were not.

        The sequence token is ignored, as AWS has done since 2023. An entity is turned down in the
        way that AWS has for it, since the stage has nothing to show of it; the events are kept.
        """
        group = self.catalogue.named_group(context.region, parameters)
        stream = self.catalogue.stream(group, parameters["logStreamName"])
        if stream.file is not None:
            raise NotHonouredError("logStreamName", "the stream is the log of a job, and only the job writes to it.")
        events = [(event["timestamp"], event["message"]) for event in parameters["logEvents"]]
        _check_batch(events)
        now = now_ms()
        kept, rejected = _sorted_out(events, group, now)
        if kept and kept[-1][0] - kept[0][0] > DAY_MS:
            raise _refused("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
        sequence = store_events(self.catalogue.store, stream, kept, now)
        answer: Parameters = {"nextSequenceToken": sequence_token(stream.id, sequence)}
        if rejected:
            answer["rejectedLogEventsInfo"] = rejected
        if "entity" in parameters:
            answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
        return answer


def sequence_token(stream: int, sequence: int) -> str:
    """56 digits that name the stream's state. Clients of before 2023 send it back; nothing depends on it."""
    return f"49{stream:018d}{sequence:036d}"


def _check_batch(events: Sequence[tuple[int, str]]) -> None:
    size = sum(len(message.encode()) + EVENT_OVERHEAD for _, message in events)
    if size > BATCH_BYTES:
        raise _refused(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")
    if any(later < earlier for (earlier, _), (later, _) in pairwise(events)):
        raise _refused("Log events in a single PutLogEvents request must be in chronological order.")


def _sorted_out(
    events: Sequence[tuple[int, str]], group: LogGroup, now: int
) -> tuple[Sequence[tuple[int, str]], dict[str, int]]:
    """The events to keep, and where in the batch the others end (exclusive) or start."""
    times = [timestamp for timestamp, _ in events]
    too_old = sum(timestamp < now - OLDEST_MS for timestamp in times)
    expired = sum(timestamp < group.oldest_kept(now) for timestamp in times)
    too_new = sum(timestamp <= now + NEWEST_MS for timestamp in times)
    rejected = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new < len(events):
        rejected["tooNewLogEventStartIndex"] = too_new
    return events[max(too_old, expired) : too_new], rejected


def _refused(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
