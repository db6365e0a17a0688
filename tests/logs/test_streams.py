from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.logs import LogsService
from stagemaker.store import Store

GROUP = "/aws/sagemaker/TrainingJobs"


def names(answer: dict[str, Any]) -> list[str]:
    """The streams in an answer."""
    return [stream["logStreamName"] for stream in answer["logStreams"]]


def messages(logs: Any, stream: str, **parameters: Any) -> list[str]:
    """The messages of a stream, oldest first."""
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **parameters)
    return [event["message"] for event in answer["events"]]


def test_the_life_of_a_stream(logs: Any, now: int) -> None:
    """Created empty, described, deleted; the errors have AWS's words."""
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="job/algo-1-1")
    (stream,) = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert now <= stream.pop("creationTime") <= now + 10_000
    assert len(stream.pop("uploadSequenceToken")) == 56
    assert stream == {
        "logStreamName": "job/algo-1-1",
        "arn": f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream:job/algo-1-1",
        "storedBytes": 0,
    }
    with pytest.raises(
        ClientError, match=r"\(ResourceAlreadyExistsException\).*The specified log stream already exists"
    ):
        logs.create_log_stream(logGroupName=GROUP, logStreamName="job/algo-1-1")
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="job/algo-1-1")
    with pytest.raises(ClientError, match=r"\(ResourceNotFoundException\).*The specified log stream does not exist\."):
        logs.delete_log_stream(logGroupName=GROUP, logStreamName="job/algo-1-1")
    with pytest.raises(ClientError, match=r"\(ResourceNotFoundException\).*The specified log group does not exist\."):
        logs.create_log_stream(logGroupName="missing", logStreamName="s")


def test_a_stream_name_is_validated(logs: Any) -> None:
    """Colons and asterisks are refused in the words that AWS uses."""
    logs.create_log_group(logGroupName=GROUP)
    with pytest.raises(ClientError) as caught:
        logs.create_log_stream(logGroupName=GROUP, logStreamName="a:b")
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value 'a:b' at 'logStreamName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [^:*]*"
    )


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ["LogStreamName", "LastEventTime"])
def test_streams_are_listed_once_each(
    order: str, descending: bool, logs: Any, stored: Callable[..., None], attached: Callable[..., Path], now: int
) -> None:
    """Page by page, in either order and direction, both kinds of stream together."""
    last = {f"s{number}": now - (number * 7919) % 13 * 1000 for number in range(10)}
    for name, moment in last.items():
        (stored if int(name[1:]) % 2 else attached)(name, [(moment - 5000, "first"), (moment, "last")])
    attached("empty", [])
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=GROUP, orderBy=order, descending=descending, PaginationConfig={"PageSize": 3}
    )
    listed = [name for page in pages for name in names(page)]
    keys = {**last, "empty": -1}
    expected = sorted(keys, key=(lambda n: (keys[n], n)) if order == "LastEventTime" else None, reverse=descending)
    assert listed == expected


def test_the_prefix_that_the_sdk_asks_for(logs: Any, stored: Callable[..., None], now: int) -> None:
    """`<job>/` finds the streams of that job and of no job whose name starts alike."""
    for name in ("job/algo-1-1", "job/algo-2-1", "job-2/algo-1-1", "jo/algo-1-1"):
        stored(name, [(now, "x")])
    answer = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/", orderBy="LogStreamName")
    assert names(answer) == ["job/algo-1-1", "job/algo-2-1"]
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=GROUP, logStreamNamePrefix="job", descending=True, PaginationConfig={"PageSize": 1}
    )
    assert [name for page in pages for name in names(page)] == ["job/algo-2-1", "job/algo-1-1", "job-2/algo-1-1"]
    with pytest.raises(ClientError, match=r"Cannot order by LastEventTime with a logStreamNamePrefix\."):
        logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/", orderBy="LastEventTime")


def test_a_group_is_named_once(logs: Any, stored: Callable[..., None], now: int) -> None:
    """By its name, or by an identifier which may be an ARN; both or none is an error."""
    stored("s", [(now, "x")])
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"
    for identifier in (GROUP, arn):
        assert names(logs.describe_log_streams(logGroupIdentifier=identifier)) == ["s"]
    for parameters in ({}, {"logGroupName": GROUP, "logGroupIdentifier": GROUP}):
        with pytest.raises(ClientError, match=r"InvalidParameterException.*Exactly one of"):
            logs.describe_log_streams(**parameters)


def test_times_of_a_stream(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """First and last event are told without reading the stream."""
    stream_of("s", [(now - 2000, "a"), (now - 1000, "b"), (now, "c")])
    (stream,) = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (now - 2000, now)
    assert stream["lastIngestionTime"] >= now


def test_times_of_a_growing_file(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """They follow the file, and ignore a last line that is still being written."""
    file = attached("s", [(now, "a")])

    def last() -> int:
        return int(logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]["lastEventTimestamp"])

    assert last() == now
    with file.open("a") as log:
        log.write(f"{now + 1}\tb\n{now + 2}\tnot yet comp")
    assert last() == now + 1
    with file.open("a") as log:
        log.write("lete\n")
    assert last() == now + 2


def test_a_file_that_does_not_exist_yet(service: LogsService, logs: Any, tmp_path: Path, now: int) -> None:
    """An empty stream until the job writes; a reader's token from before stays good."""
    file = tmp_path / "jobs" / "j" / "log"
    service.attach(GROUP, "j/algo-1-1", file, region="us-east-1")
    (stream,) = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert "firstEventTimestamp" not in stream
    assert "lastEventTimestamp" not in stream
    assert "uploadSequenceToken" not in stream
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName="j/algo-1-1", startFromHead=True)
    assert answer["events"] == []
    file.parent.mkdir(parents=True)
    file.write_text(f"{now}\thello\n")
    assert messages(logs, "j/algo-1-1", nextToken=answer["nextForwardToken"]) == ["hello"]


def test_a_line_appears_when_it_is_complete(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Half a line is not shown, not even to the token that then reads it whole."""
    file = attached("s", [(now, "one")])
    with file.open("ab") as log:
        log.write(f"{now}\ttwo \xc3".encode("latin-1"))  # also in the middle of a character
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName="s", startFromHead=True)
    assert [event["message"] for event in answer["events"]] == ["one"]
    with file.open("ab") as log:
        log.write(b"\xa9\n")
    assert messages(logs, "s", nextToken=answer["nextForwardToken"]) == ["two é"]


def test_what_a_job_may_print(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Bytes that are no UTF-8, tabs, carriage returns and lines without a time are shown; empty lines are not."""
    file = attached("s", [])
    file.write_bytes(
        f"{now}\ta\tb\n{now}\t\n{now}\tone\rtwo\n".encode() + f"{now}\t".encode() + b"\xff\xfe\n" + b"torn line\n"
    )
    events = logs.get_log_events(logGroupName=GROUP, logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["a\tb", "one\rtwo", "��", "torn line"]
    created = logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]["creationTime"]
    assert [event["timestamp"] for event in events] == [now, now, now, created]
    assert all(event["ingestionTime"] == event["timestamp"] for event in events)


def test_attaching_again_changes_nothing(
    service: LogsService, logs: Any, attached: Callable[..., Path], now: int
) -> None:
    """A restart attaches what is attached already; another file takes the stream over."""
    file = attached("s", [(now, "a")])
    before = logs.describe_log_streams(logGroupName=GROUP)
    service.attach(GROUP, "s", file, region="us-east-1")
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == before["logStreams"]
    other = file.with_name("other")
    other.write_text(f"{now}\tb\n")
    service.attach(GROUP, "s", other, region="us-east-1")
    assert messages(logs, "s") == ["b"]


def test_a_file_takes_the_place_of_stored_events(
    stored: Callable[..., None], attached: Callable[..., Path], logs: Any, now: int
) -> None:
    """A stream that someone made under the job's name becomes the job's log."""
    stored("s", [(now, "from a user")])
    attached("s", [(now, "from the job")])
    assert messages(logs, "s") == ["from the job"]
    assert len(names(logs.describe_log_streams(logGroupName=GROUP))) == 1


def test_a_state_folder_can_be_moved(
    service: LogsService, attached: Callable[..., Path], direct_client: Callable[..., Any], tmp_path: Path, now: int
) -> None:
    """Log files in the state folder are found wherever the folder is; others where they were."""
    attached("inside", [(now, "a")])
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    service.catalogue.store.close()
    shutil.move(tmp_path, moved)
    store = Store(moved / "stage.db")
    try:
        assert messages(direct_client(LogsService(store, "123456789012").api(), "logs"), "inside") == ["a"]
    finally:
        store.close()


def test_everything_survives_a_restart(
    service: LogsService, stored: Callable[..., None], attached: Callable[..., Path], tmp_path: Path, now: int,
    direct_client: Callable[..., Any],
) -> None:  # fmt: skip
    """A second process on the same folder sees what the first acknowledged, though that one never closed."""
    stored("put", [(now, "a")])
    attached("job", [(now, "b")])
    store = Store(tmp_path / "stage.db")
    try:
        logs = direct_client(LogsService(store, "123456789012").api(), "logs")
        assert messages(logs, "put") + messages(logs, "job") == ["a", "b"]
    finally:
        store.close()
