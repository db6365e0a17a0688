"""A CloudWatch Logs service of its own for each test, and boto clients for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stagemaker.logs import LogsService
from stagemaker.store import Store

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def service(store: Store) -> LogsService:
    """The service under test."""
    return LogsService(store, "123456789012")


@pytest.fixture
def logs(service: LogsService, direct_client: Callable[..., Any]) -> Any:
    """A boto client in us-east-1."""
    return direct_client(service.api(), "logs")


@pytest.fixture
def now() -> int:
    """Wall time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@pytest.fixture
def stored(logs: Any) -> Callable[..., None]:
    """`stored(stream, events)`: put (timestamp, message) pairs into a stream of GROUP, made when needed."""

    def put(stream: str, events: Sequence[tuple[int, str]]) -> None:
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=GROUP)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        for start in range(0, len(events), 5000):
            logs.put_log_events(
                logGroupName=GROUP,
                logStreamName=stream,
                logEvents=[{"timestamp": t, "message": m} for t, m in events[start : start + 5000]],
            )

    return put


@pytest.fixture
def attached(service: LogsService, tmp_path: Path) -> Callable[..., Path]:
    """`attached(stream, events)`: the same as a job's log file, attached to the stream."""

    def attach(stream: str, events: Sequence[tuple[int, str]]) -> Path:
        file = tmp_path / "jobs" / stream.replace("/", "-") / "log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{t}\t{m}\n" for t, m in events), newline="")
        service.attach(GROUP, stream, file, region="us-east-1")
        return file

    return attach


@pytest.fixture(params=["stored", "attached"])
def stream_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Either kind of stream: what is true of one must be true of the other."""
    made: Callable[..., Any] = request.getfixturevalue(request.param)
    return made
