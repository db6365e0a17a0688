from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from stagemaker.logs import log_file
from stagemaker.logs.event import Times
from stagemaker.logs.log_file import LogFile

GROUP = "/aws/sagemaker/TrainingJobs"
DAY = 24 * 60 * 60 * 1000


def get(logs: Any, **parameters: Any) -> dict[str, Any]:
    """A page of stream `s`."""
    answer: dict[str, Any] = logs.get_log_events(logGroupName=GROUP, logStreamName="s", **parameters)
    return answer


def texts(answer: dict[str, Any]) -> list[str]:
    """The messages of a page."""
    return [event["message"] for event in answer["events"]]


def pages(logs: Any, *, forward: bool, **parameters: Any) -> Iterator[list[str]]:
    """All pages in one direction, until one is empty as the SDKs read them."""
    key = "nextForwardToken" if forward else "nextBackwardToken"
    answer = get(logs, startFromHead=forward, **parameters)
    while answer["events"]:
        yield texts(answer)
        answer = get(logs, startFromHead=forward, nextToken=answer[key], **parameters)


@pytest.mark.parametrize("forward", [True, False])
def test_every_event_is_in_one_page(forward: bool, logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """In either direction; each page is in order of time."""
    expected = [f"line {number}" for number in range(25)]
    stream_of("s", [(now + number // 3, message) for number, message in enumerate(expected)])
    read = list(pages(logs, forward=forward, limit=7))
    assert [len(page) for page in read] == [7, 7, 7, 4]
    assert [message for page in (read if forward else reversed(read)) for message in page] == expected


def test_the_end_of_the_stream(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The page after the last is empty and gives the same token again, however often it is asked for."""
    stream_of("s", [(now, "a"), (now, "b")])
    token = get(logs, startFromHead=True)["nextForwardToken"]
    for _ in range(3):
        answer = get(logs, startFromHead=True, nextToken=token)
        assert answer["events"] == []
        assert answer["nextForwardToken"] == token
    start = get(logs)["nextBackwardToken"]
    answer = get(logs, nextToken=start)
    assert (answer["events"], answer["nextBackwardToken"]) == ([], start)


def test_an_exhausted_stream_that_grows(
    logs: Any, stored: Callable[..., None], attached: Callable[..., Path], now: int
) -> None:
    """The token of the end shows what was added since, and only that: how a log is followed."""
    stored("put", [(now, "a")])
    file = attached("job", [(now, "a")])
    for stream in ("put", "job"):
        first = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
        empty = logs.get_log_events(
            logGroupName=GROUP, logStreamName=stream, startFromHead=True, nextToken=first["nextForwardToken"]
        )
        assert empty["events"] == []
        stored("put", [(now, "b")])
        with file.open("a") as log:
            log.write(f"{now}\tb\n")
        more = logs.get_log_events(
            logGroupName=GROUP, logStreamName=stream, startFromHead=True, nextToken=empty["nextForwardToken"]
        )
        assert texts(more) == ["b"]


def test_a_stream_that_was_empty(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """Tokens of an empty stream go on at its first event, in whichever direction it was asked for."""
    stream_of("s", [])
    tokens = [get(logs, startFromHead=head)["nextForwardToken"] for head in (True, False)]
    stream_of("s", [(now, "a")])
    for token in tokens:
        assert texts(get(logs, startFromHead=True, nextToken=token)) == ["a"]


def test_without_a_direction_the_newest_come_first(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The last page, still oldest event first; from it one can go both ways."""
    stream_of("s", [(now + number, str(number)) for number in range(10)])
    answer = get(logs, limit=4)
    assert texts(answer) == ["6", "7", "8", "9"]
    before = get(logs, limit=4, nextToken=answer["nextBackwardToken"])
    assert texts(before) == ["2", "3", "4", "5"]
    assert texts(get(logs, limit=2, startFromHead=True, nextToken=before["nextForwardToken"])) == ["6", "7"]


def test_the_span_of_time_that_was_asked_for(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The start time is included, the end time is not; paging keeps to it."""
    stream_of("s", [(now + number, str(number)) for number in range(10)])
    assert texts(get(logs, startFromHead=True, startTime=now + 3, endTime=now + 6)) == ["3", "4", "5"]
    span = {"startTime": now + 2, "endTime": now + 9}
    assert list(pages(logs, forward=True, limit=3, **span)) == [["2", "3", "4"], ["5", "6", "7"], ["8"]]
    assert list(pages(logs, forward=False, limit=3, **span)) == [["6", "7", "8"], ["3", "4", "5"], ["2"]]
    assert texts(get(logs, startTime=now + 10)) == []
    assert texts(get(logs, startTime=0, endTime=2**63 - 1)) == [str(number) for number in range(10)]


def test_a_page_has_a_mebibyte(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """Messages of 300,000 bytes come three to a page."""
    stream_of("s", [(now, letter * 300_000) for letter in "abc"])
    stream_of("t", [])
    assert [len(page) for page in pages(logs, forward=True)] == [3]
    assert [len(page) for page in pages(logs, forward=True, limit=2)] == [2, 1]


def test_a_message_larger_than_a_page(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """A job's line of any length is shown, alone: a page that cannot move on would be an endless loop."""
    attached("s", [(now, "small"), (now, "x" * 2_000_000), (now, "small")])
    assert [len(page) for page in pages(logs, forward=True)] == [1, 1, 1]
    assert [len(page) for page in pages(logs, forward=False)] == [1, 1, 1]


def test_retention_hides_old_events(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Enforced when reading, also on a job's file; a longer retention shows them again."""
    attached("s", [(now - 40 * DAY, "old"), (now - 2 * DAY, "recent"), (now, "new")])
    for days, visible in ((1, ["new"]), (3, ["recent", "new"]), (60, ["old", "recent", "new"])):
        logs.put_retention_policy(logGroupName=GROUP, retentionInDays=days)
        assert texts(get(logs, startFromHead=True)) == visible
        assert texts(get(logs, startTime=0)) == visible


def test_retention_hides_stored_events(logs: Any, stored: Callable[..., None], now: int) -> None:
    """The same for events that were put while they were allowed."""
    stored("s", [(now - 5 * DAY, "old")])
    stored("s", [(now, "new")])
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=3)
    assert texts(get(logs, startFromHead=True)) == ["new"]


@pytest.mark.parametrize(
    "token",
    ["x", "f/1/s", f"f/{0:055d}1", f"g/{0:056d}/s", f"f/{5:056d}/s", f"b/{10**18:056d}/s", f"f/{10**55:056d}/s"],
)
def test_a_token_of_another_stream(token: str, logs: Any, attached: Callable[..., Path], now: int) -> None:
    """Malformed, in the middle of a line or past the end of the file: refused."""
    attached("s", [(now, "some message")])
    with pytest.raises(ClientError, match=r"\(InvalidParameterException\).*The specified nextToken is invalid\."):
        get(logs, nextToken=token)


def test_a_token_that_no_stored_event_can_have(logs: Any, stored: Callable[..., None], now: int) -> None:
    """Numbers beyond the database's are refused, not a server error."""
    stored("s", [(now, "a")])
    with pytest.raises(ClientError, match=r"The specified nextToken is invalid\."):
        get(logs, nextToken=f"f/{10**55:056d}/s")


def test_a_token_for_a_file_that_is_gone(logs: Any, attached: Callable[..., Path], now: int) -> None:
    """A reader learns that its place is gone instead of waiting for ever."""
    file = attached("s", [(now, "a")])
    token = get(logs, startFromHead=True)["nextForwardToken"]
    file.unlink()
    with pytest.raises(ClientError, match=r"The specified nextToken is invalid\."):
        get(logs, nextToken=token)
    assert get(logs)["events"] == []


def test_the_sdks_loop_ends(logs: Any, stream_of: Callable[..., Any], now: int) -> None:
    """The loop of the SageMaker SDK (from the head, on until a page is empty) reads everything once."""
    stream_of("s", [(now + number, str(number)) for number in range(3)])
    read: list[str] = []
    token: dict[str, str] = {}
    for _ in range(5):
        answer = get(logs, startFromHead=True, startTime=0, **token)
        token = {"nextToken": answer["nextForwardToken"]}
        if not answer["events"]:
            break
        read += texts(answer)
    else:
        pytest.fail("the loop did not end")
    assert read == ["0", "1", "2"]


def test_a_hundred_thousand_lines(
    logs: Any, attached: Callable[..., Path], now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, each byte of the file is read about once: the cost does not grow with the place."""
    count, read = 100_000, 0
    file = attached("s", [(now + number, f"[{number}]#011train-auc:0.5") for number in range(count)])
    read_block = LogFile._read

    def counted(self: LogFile, offset: int, size: int) -> bytes:
        nonlocal read
        block = read_block(self, offset, size)
        read += len(block)
        return block

    monkeypatch.setattr(LogFile, "_read", counted)
    assert sum(len(page) for page in pages(logs, forward=True)) == count
    assert read < 2 * file.stat().st_size


lines = st.lists(st.text("ab\t\r é", max_size=12), max_size=30)


@settings(max_examples=60, deadline=None)
@given(messages=lines, rest=st.sampled_from(["", "1\tincomplete", "x"]), block=st.sampled_from([1, 2, 3, 7, 64]))
def test_both_directions_of_a_file_agree(
    messages: list[str], rest: str, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the lines and wherever the blocks of reading fall, backward is forward reversed, from any place."""
    file = tmp_path_factory.mktemp("log") / "log"
    file.write_bytes("".join(f"{5 + n}\t{m}\n" for n, m in enumerate(messages)).encode() + rest.encode())
    log, times = LogFile(file, 0), Times(0, 2**63 - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_file, "FIRST_BLOCK", block)
        patch.setattr(log_file, "LARGEST_BLOCK", block * 4)
        forward = list(log.forward(None, times))
        assert [(e.timestamp, e.message) for e in forward] == [(5 + n, m) for n, m in enumerate(messages) if m]
        assert list(log.backward(None, times)) == forward[::-1]
        for place, event in enumerate(forward):
            assert list(log.forward(event.after, times)) == forward[place + 1 :]
            assert list(log.backward(event.before, times)) == forward[:place][::-1]
