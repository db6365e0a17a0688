from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

GROUP = "/aws/sagemaker/TrainingJobs"
HOUR = 60 * 60 * 1000
DAY = 24 * HOUR


@pytest.fixture
def put(logs: Any) -> Callable[..., dict[str, Any]]:
    """`put(events)` into an empty stream `s` of GROUP."""
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="s")

    def call(events: Sequence[tuple[int, str]], **more: Any) -> dict[str, Any]:
        batch = [{"timestamp": timestamp, "message": message} for timestamp, message in events]
        answer: dict[str, Any] = logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=batch, **more)
        return answer

    return call


def shown(logs: Any) -> list[str]:
    """The messages of the stream."""
    events = logs.get_log_events(logGroupName=GROUP, logStreamName="s", startFromHead=True)["events"]
    return [event["message"] for event in events]


def test_events_are_kept_in_order_of_time(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """A later batch of older events is shown first; events of one moment keep their order."""
    put([(now, "c"), (now, "d")])
    put([(now - 1000, "a"), (now - 1000, "b"), (now, "e")])
    events = logs.get_log_events(logGroupName=GROUP, logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["a", "b", "c", "d", "e"]
    assert [event["timestamp"] for event in events] == [now - 1000] * 2 + [now] * 3
    assert all(now <= event["ingestionTime"] <= now + 10_000 for event in events)


def test_sequence_tokens_are_given_and_ignored(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """An old client that hands them on works, and so does one that sends nonsense."""
    first = put([(now, "a")])["nextSequenceToken"]
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]["uploadSequenceToken"] == first
    second = put([(now, "b")], sequenceToken=first)["nextSequenceToken"]
    assert second != first
    put([(now, "c")], sequenceToken="nonsense")
    assert shown(logs) == ["a", "b", "c"]


def test_a_batch_is_in_chronological_order(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """One event out of order refuses the batch, and nothing of it is kept."""
    with pytest.raises(
        ClientError, match=r"Log events in a single PutLogEvents request must be in chronological order\."
    ):
        put([(now, "a"), (now - 1, "b")])
    assert shown(logs) == []


def test_a_batch_spans_at_most_a_day(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """Exactly 24 hours are fine, a millisecond more is not; events that are rejected anyway do not count."""
    put([(now - DAY, "a"), (now, "b")])
    with pytest.raises(ClientError, match=r"in a single PutLogEvents request cannot span more than 24 hours\."):
        put([(now - DAY - 1, "c"), (now, "d")])
    put([(now - 30 * DAY, "too old"), (now - 1, "e"), (now + 30 * DAY, "too new")])
    assert shown(logs) == ["a", "e", "b"]


def test_a_batch_has_at_most_a_mebibyte(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """Counted in UTF-8 with 26 bytes an event, to the byte."""
    most = (2**20 - 2 * 26) // 2
    put([(now, "é" * (most // 2)), (now, "x" * most)])
    with pytest.raises(ClientError, match="Upload too large: 1048577 bytes exceeds limit of 1048576"):
        put([(now, "é" * (most // 2)), (now, "x" * (most + 1))])
    assert len(shown(logs)) == 2
    with pytest.raises(ClientError, match="Member must have length less than or equal to 10000"):
        put([(now, "x")] * 10_001)


def test_events_of_the_wrong_age_are_reported(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """Too old ends exclusively, too new starts inclusively, by index; the rest is kept."""
    answer = put(
        [(now - 15 * DAY, "0"), (now - 14 * DAY - HOUR, "1"), (now, "2"), (now + HOUR, "3"), (now + 3 * HOUR, "4")]
    )
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 4}
    assert shown(logs) == ["2", "3"]
    assert "rejectedLogEventsInfo" not in put([(now, "5")])


def test_events_older_than_the_retention_are_expired(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """They are not stored, and the answer says up to which."""
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=1)
    answer = put([(now - 15 * DAY, "0"), (now - 2 * DAY, "1"), (now - HOUR, "2")])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2}
    assert shown(logs) == ["2"]
    only_old = put([(now - 3 * DAY, "3")])
    assert only_old["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert "nextSequenceToken" in only_old


def test_an_entity_is_turned_down_and_the_events_kept(put: Callable[..., dict[str, Any]], logs: Any, now: int) -> None:
    """AWS has an answer for that, which the CloudWatch agent understands."""
    entity = {"keyAttributes": {"Type": "Service", "Name": "x"}}
    assert put([(now, "a")], entity=entity)["rejectedEntityInfo"] == {"errorType": "UnsupportedLogGroupType"}
    assert shown(logs) == ["a"]


def test_nobody_writes_into_a_jobs_log(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """The stream is the job's file: what the API would add would be lost, so it is refused."""
    file = attached("s", [(now, "a")])
    with pytest.raises(ClientError, match="Stagemaker cannot honour logStreamName: the stream is the log of a job"):
        logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=[{"timestamp": now, "message": "forged"}])
    assert file.read_text() == f"{now}\ta\n"
