"""What comes to `/invocations` and what goes back from any path."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Call:
    """A request to `/invocations`. A header that was not sent is None."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: `content_type` is None when there is no body; `headers` are further ones."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
