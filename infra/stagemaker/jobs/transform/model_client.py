"""Calls to the containers of one instance: in series, with time-outs and retries (ModelClientConfig)."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stagemaker.jobs.serving.model_server import Address

_PIECE = 1024 * 1024
_PARAMETERS_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_TICK = 0.05
LARGEST_ANSWER = 1 << 30
"""Bytes of an answer, which is held in memory until those before it are there."""

Body = bytes | Callable[[], Iterable[bytes]]
"""A payload; or, to be sent in chunks, what gives its pieces from the beginning, again for each attempt."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a container said."""

    status: int
    body: bytes
    content_type: str


class NoAnswerError(Exception):
    """The container did not answer in time, or not at all."""


class LargeAnswerError(Exception):
    """The container's answer is larger than what can be held."""

    def __init__(self) -> None:
        super().__init__(f"The answer is larger than {LARGEST_ANSWER} bytes")


class CancelledError(Exception):
    """The job is to end."""


class ModelClient:
    """Safe to use from several threads. Connections are kept for the next request; `close` ends them."""

    def __init__(
        self,
        containers: Sequence[Address],
        *,
        content_type: str,
        accept: str,
        timeout: float,
        retries: int,
        cancelled: threading.Event,
    ) -> None:
        self._containers = containers
        self._content_type = content_type
        self._accept = accept
        self._timeout = timeout
        self._retries = retries
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._idle: dict[str, list[http.client.HTTPConnection]] = {each.container: [] for each in containers}
        self._closed = False
        self._answers = threading.Event()
        self._answers.set()

    @property
    def is_silent(self) -> bool:
        """Whether a container did not answer; nothing more is sent until `resume`."""
        return not self._answers.is_set()

    def resume(self) -> None:
        """What was wrong with the containers is mended, as far as it can be."""
        self._answers.set()

    def close(self) -> None:
        """End the idle connections, and those that are in use when they are done with."""
        with self._lock:
            self._closed = True
            for idle in self._idle.values():
                while idle:
                    idle.pop().close()

    def execution_parameters(self) -> dict[str, Any]:
        """What the first container says of itself at /execution-parameters; nothing unless it is 200 and an object."""
        first = self._containers[0]
        connection = http.client.HTTPConnection(first.host, first.port, timeout=_PARAMETERS_SECONDS)
        try:
            connection.request("GET", "/execution-parameters")
            response = connection.getresponse()
            document = json.loads(response.read(_PIECE)) if response.status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
        return document if isinstance(document, dict) else {}

    def invoke(self, body: Body) -> Answer:
        """The last container's answer, or the first one that is not 2XX.

        A 5XX and a time-out are tried again, a 4XX is not. Raises NoAnswerError, LargeAnswerError,
        CancelledError, and what the pieces of a body raise.
        """
        pause = _FIRST_PAUSE
        for left in range(self._retries, -1, -1):
            while not self._answers.wait(_TICK) and not self._cancelled.is_set():
                pass
            if self._cancelled.is_set():
                raise CancelledError
            try:
                answer = self._pass_through(body)
                if answer.status < 500 or not left:
                    return answer
            except NoAnswerError:
                self._answers.clear()
                if not left:
                    raise
            self._cancelled.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
        raise AssertionError("the last attempt returns or raises")

    def _pass_through(self, body: Body) -> Answer:
        answer = Answer(200, b"", self._content_type)
        for container in self._containers:
            answer = self._call(container, body, answer.content_type)
            if not 200 <= answer.status < 300:
                return answer
            body = answer.body
        return answer

    def _call(self, container: Address, body: Body, content_type: str) -> Answer:
        deadline = time.monotonic() + self._timeout
        connection = self._borrowed(container)
        fresh = connection.sock is None
        while True:
            try:
                answer = self._exchange(connection, body, content_type, deadline)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                # A server may close a connection that was idle: that says nothing of this request.
                if fresh or isinstance(error, TimeoutError):
                    raise NoAnswerError(str(error) or type(error).__name__) from error
                fresh = True
            except BaseException:  # half a request, or half an answer, is of no use to the next one
                connection.close()
                raise
            else:
                self._give_back(container, connection)
                return answer

    def _exchange(
        self, connection: http.client.HTTPConnection, body: Body, content_type: str, deadline: float
    ) -> Answer:
        headers = {name: value for name, value in (("Content-Type", content_type), ("Accept", self._accept)) if value}
        if connection.sock is not None:
            connection.sock.settimeout(self._timeout)
        sent = _send(connection, body, headers)
        _wait_until(connection, deadline)
        response = connection.getresponse()
        answer = bytearray()
        while piece := response.read1(_PIECE):
            answer += piece
            if len(answer) > LARGEST_ANSWER:
                raise LargeAnswerError
            _wait_until(connection, deadline)
        if response.length:  # read1, unlike read, takes a broken connection for the end
            raise http.client.IncompleteRead(bytes(answer), response.length)
        response.close()  # nor does it end a response that is read to its end, and the connection would not be free
        if not sent:
            connection.close()
        return Answer(response.status, bytes(answer), response.headers.get("content-type", ""))

    def _borrowed(self, container: Address) -> http.client.HTTPConnection:
        with self._lock:
            if idle := self._idle[container.container]:
                return idle.pop()
        return http.client.HTTPConnection(container.host, container.port, timeout=self._timeout)

    def _give_back(self, container: Address, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._idle[container.container].append(connection)


def _send(connection: http.client.HTTPConnection, body: Body, headers: dict[str, str]) -> bool:
    """Send a request; whether all of it was taken. A container that refuses a body need not read it to its end."""
    try:
        if isinstance(body, bytes):
            connection.request("POST", "/invocations", body=body, headers=headers)
        else:
            connection.request("POST", "/invocations", body=body(), headers=headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        if connection.sock is None:  # it was never open
            raise
        return False  # what the container had to say may be there all the same
    return True


def _wait_until(connection: http.client.HTTPConnection, deadline: float) -> None:
    """Let the next step take what is left of the request's time. Raises TimeoutError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    if connection.sock is not None:
        connection.sock.settimeout(left)
