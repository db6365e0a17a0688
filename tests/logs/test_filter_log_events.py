from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.logs import LogsService, filter_log_events

GROUP = "/aws/sagemaker/TrainingJobs"


def search(logs: Any, **parameters: Any) -> list[str]:
    """The messages on all pages."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, **parameters)
    return [event["message"] for page in pages for event in page["events"]]


@pytest.fixture
def house(stored: Callable[..., None], attached: Callable[..., Path], now: int) -> list[tuple[int, str, str]]:
    """Five streams of both kinds, 200 events at random moments; (time, stream, message) in order of time."""
    seeded = random.Random(7)
    events = sorted((now - seeded.randrange(10_000), f"s{seeded.randrange(5)}", f"m{n}") for n in range(200))
    for number in range(5):
        own = [(moment, message) for moment, stream, message in events if stream == f"s{number}"]
        (stored if number % 2 else attached)(f"s{number}", own)
    return events


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_all_streams_as_one(
    limit: int, newest_first: bool, logs: Any, house: list[tuple[int, str, str]], now: int
) -> None:
    """Events of all streams by time, each on one page, in either direction; no token after the last."""
    read = []
    answer = logs.filter_log_events(logGroupName=GROUP, limit=limit, startFromHead=not newest_first)
    while True:
        assert answer["searchedLogStreams"] == []
        read += [(e["timestamp"], e["logStreamName"], e["message"]) for e in answer["events"]]
        if "nextToken" not in answer:
            break
        # The direction is in the token: what the call says of it does not count.
        answer = logs.filter_log_events(logGroupName=GROUP, limit=limit, nextToken=answer["nextToken"])
    assert sorted(read) == sorted(house)
    moments = [moment for moment, _, _ in read]
    assert moments == sorted(moments, reverse=newest_first)


def test_every_event_has_an_id_of_its_own(logs: Any, house: list[tuple[int, str, str]]) -> None:
    """56 digits, the same at every search: the aws cli tells repeated events by it."""
    first, again = (logs.filter_log_events(logGroupName=GROUP)["events"] for _ in range(2))
    ids = [event["eventId"] for event in first]
    assert len(set(ids)) == len(house)
    assert {len(number) for number in ids} == {56}
    assert first == again


def test_the_streams_to_search(logs: Any, house: list[tuple[int, str, str]]) -> None:
    """By name or by prefix, not by both; a name that is not there is an error, a prefix is not."""
    assert search(logs, logStreamNames=["s1", "s2", "s1"]) == [m for _, s, m in house if s in {"s1", "s2"}]
    assert sorted(search(logs, logStreamNamePrefix="s")) == sorted(m for _, _, m in house)
    assert search(logs, logStreamNamePrefix="AllTraffic/") == []
    with pytest.raises(ClientError, match=r"\(ResourceNotFoundException\).*The specified log stream does not exist\."):
        search(logs, logStreamNames=["s1", "missing"])
    with pytest.raises(ClientError, match=r"\(InvalidParameterException\).*cannot both be specified"):
        search(logs, logStreamNames=["s1"], logStreamNamePrefix="s")


def test_a_group_that_is_not_there(logs: Any) -> None:
    """ResourceNotFoundException, which the SDK's endpoint logger takes for `no logs yet`."""
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        search(logs)


def test_the_span_of_time(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """Unlike GetLogEvents, the end time is included."""
    stream_of("s", [(now + number, str(number)) for number in range(6)])
    assert search(logs, startTime=now + 2, endTime=now + 4) == ["2", "3", "4"]
    assert search(logs, startTime=now + 2, endTime=now + 4, limit=1, PaginationConfig={"PageSize": 1}) == [
        "2",
        "3",
        "4",
    ]
    assert search(logs, endTime=2**63 - 1) == ["0", "1", "2", "3", "4", "5"]


def test_retention(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Expired events are not found."""
    attached("s", [(now - 2 * 24 * 3600 * 1000, "old"), (now, "new")])
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=1)
    assert search(logs) == ["new"]


def test_only_what_matches(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The limit counts matches, not what was searched."""
    stream_of("s", [(now + n, f"{'ERROR' if n % 10 == 0 else 'INFO'} {n}") for n in range(50)])
    assert search(logs, filterPattern="ERROR") == ["ERROR 0", "ERROR 10", "ERROR 20", "ERROR 30", "ERROR 40"]
    answer = logs.filter_log_events(logGroupName=GROUP, filterPattern="ERROR", limit=2)
    assert [event["message"] for event in answer["events"]] == ["ERROR 0", "ERROR 10"]
    assert search(logs, filterPattern="NOTHING") == []


def test_a_long_search_pauses(
    logs: Any, stream_of: Callable[..., Any], now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer may hold nothing and a token: other calls get their turn, and the search loses no event."""
    monkeypatch.setattr(filter_log_events, "SEARCHED_PER_PAGE", 10)
    stream_of("s", [(now + n, "needle" if n in {0, 9, 10, 29} else "hay") for n in range(30)])
    stream_of("t", [(now + 15, "needle in t")])
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, filterPattern="needle"))
    assert [len(page["events"]) for page in pages] == [2, 2, 0, 1]


def test_a_growing_log(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """A token goes on where it stood, though the files have grown."""
    file = attached("s", [(now, "a"), (now + 1, "b")])
    attached("t", [(now, "x")])
    answer = logs.filter_log_events(logGroupName=GROUP, limit=1)
    with file.open("a") as log:
        log.write(f"{now + 2}\tc\n{now + 3}\tincomplete")
    read = [event["message"] for event in answer["events"]]
    while "nextToken" in answer:
        answer = logs.filter_log_events(logGroupName=GROUP, limit=1, nextToken=answer["nextToken"])
        read += [event["message"] for event in answer["events"]]
    assert read == ["a", "x", "b", "c"]


def test_a_clock_that_went_back(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Lines with earlier times than the ones before them are neither lost nor doubled by paging."""
    attached("s", [(now, "a"), (now - 60_000, "b"), (now + 1, "c")])
    attached("t", [(now - 30_000, "x"), (now + 2, "y")])
    assert sorted(search(logs, PaginationConfig={"PageSize": 1})) == ["a", "b", "c", "x", "y"]


def test_more_streams_than_a_process_may_open_files(service: LogsService, logs: Any, tmp_path: Path, now: int) -> None:
    """Files are not held open side by side."""
    import resource

    with service.catalogue.store.transaction():
        for number in range(150):
            file = tmp_path / f"log-{number}"
            file.write_text(f"{now + number}\t{number}\n")
            service.attach(GROUP, f"s{number:03d}", file, region="us-east-1")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        assert search(logs, PaginationConfig={"PageSize": 100}) == [str(number) for number in range(150)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_newest_first_needs_a_recent_start(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """AWS's rule: not with a start before 2024."""
    stream_of("s", [(now, "a"), (now + 1, "b")])
    assert search(logs, startFromHead=False, startTime=1704067200000) == ["b", "a"]
    with pytest.raises(ClientError, match="InvalidParameterException"):
        search(logs, startFromHead=False, startTime=1704067199999)


def test_a_token_of_another_group(logs: Any, house: list[tuple[int, str, str]]) -> None:
    """Tokens are good for their own group only, and rubbish is refused."""
    token = logs.filter_log_events(logGroupName=GROUP, limit=1)["nextToken"]
    logs.create_log_group(logGroupName="other")
    for group, text in (("other", token), (GROUP, "rubbish"), (GROUP, token[:-8]), (GROUP, "eJyLjgUAARUAuQ==")):
        with pytest.raises(ClientError, match=r"\(InvalidParameterException\).*The specified nextToken is invalid\."):
            logs.filter_log_events(logGroupName=group, nextToken=text)


def test_a_pattern_that_cannot_be_honoured_is_named(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The refusal reaches the caller as an error, not as an empty result."""
    stream_of("s", [(now, "a")])
    with pytest.raises(ClientError, match="Stagemaker cannot honour filterPattern: regular expressions"):
        search(logs, filterPattern="%ERR%")
