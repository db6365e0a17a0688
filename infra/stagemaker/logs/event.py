"""Log events, and what a stream of them must be able to do whatever it is kept in.

Times are epoch milliseconds. A position in a stream is a whole number that stands for the gap
between two events: everything before it comes before the gap. Tokens are made of positions, so they
stay good while a stream grows and after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from stagemaker.wire.errors import AwsError

EVENT_OVERHEAD = 26
"""Bytes that CloudWatch Logs counts for an event beside its message."""

PAGE_BYTES = 2**20
PAGE_EVENTS = 10_000
"""The most that one answer of GetLogEvents or FilterLogEvents holds."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `number` is its own within its stream, `before` and `after` are the gaps around it."""

    timestamp: int
    ingestion: int
    message: str
    number: int
    before: int
    after: int

    @property
    def size(self) -> int:
        """Bytes, as CloudWatch Logs counts them."""
        return len(self.message.encode()) + EVENT_OVERHEAD


@dataclass(frozen=True, slots=True)
class Times:
    """A span of time: from `start`, up to but without `end`."""

    start: int
    end: int

    def hold(self, timestamp: int) -> bool:
        """Whether `timestamp` lies in the span."""
        return self.start <= timestamp < self.end


@dataclass(frozen=True, slots=True)
class Span:
    """When a stream's first and last events happened and the last one arrived; None where there is none."""

    first: int | None = None
    last: int | None = None
    ingestion: int | None = None


class Events(Protocol):
    """The events of one stream, in its order.

    `position` None is the stream's start or end. Raises AwsError InvalidParameterException for a
    position that the stream does not have.
    """

    def forward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` after `position`, oldest first."""
        ...

    def backward(self, position: int | None, times: Times) -> Iterator[Event]:
        """The events of `times` before `position`, newest first."""
        ...


class PageRoom:
    """How much still fits into an answer. The first event always does."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit or PAGE_EVENTS
        self.events = 0
        self.bytes = 0

    def take(self, event: Event) -> bool:
        """Whether `event` fits; if so it is counted."""
        size = event.size
        if self.events >= self.limit or (self.events and self.bytes + size > PAGE_BYTES):
            return False
        self.events += 1
        self.bytes += size
        return True


def bad_token() -> AwsError:
    """The answer to a token that is not one of ours, or is of another stream or request."""
    return AwsError("InvalidParameterException", "The specified nextToken is invalid.")
