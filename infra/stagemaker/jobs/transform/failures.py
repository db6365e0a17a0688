"""Why a transform job fails: the first reason counts."""

from __future__ import annotations

import threading

CLIENT_ERROR = "ClientError: See job logs for more information"
ALGORITHM_ERROR = "AlgorithmError: See job logs for more information"
NO_PING = (
    "AlgorithmError: Model container failed to respond to ping. "
    "Please ensure /ping endpoint is implemented and responds with an HTTP 200 status code"
)


class Failures:
    """What went wrong on any instance. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: str | None = None

    def add(self, reason: str) -> None:
        """A FailureReason."""
        with self._lock:
            self._first = self._first or reason

    @property
    def reason(self) -> str | None:
        """The first one; None when all went well."""
        return self._first
