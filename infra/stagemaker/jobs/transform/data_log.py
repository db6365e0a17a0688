"""The data log of an instance: what the service itself has to say of settings, objects and answers."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from stagemaker.jobs.log import log_line

_LONGEST_MESSAGE = 4096
"""Characters of a container's answer that are shown."""


class DataLog:
    """Safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def settings(self, *, concurrent: int, payload_mb: int, strategy: str) -> None:
        """The settings in force."""
        self.write(f"MaxConcurrentTransforms={concurrent}, MaxPayloadInMB={payload_mb}, BatchStrategy={strategy}")

    def about(self, subject: object, *lines: str) -> None:
        """Lines about one object, which `subject` names as bucket/key."""
        self.write(*(f"{subject}: {line}" for line in lines))

    def bad_status(self, subject: object, status: int, body: bytes) -> None:
        """A container has answered with a status that is no success."""
        message = body.decode("utf-8", errors="replace")[:_LONGEST_MESSAGE]
        what = f"ClientError: {status}" if status < 500 else f"Bad HTTP status received from algorithm: {status}"
        self.about(subject, what, "", "Message:", *message.splitlines())

    def write(self, *lines: str) -> None:
        """Stamped lines. A full disk costs the lines, not the job."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}"
        text = b"".join(log_line(now, f"{stamp}:[sagemaker logs]: {line}") for line in lines)
        with self._lock, contextlib.suppress(OSError), self._file.open("ab") as log:
            log.write(text)
