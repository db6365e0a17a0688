"""Connections to containers: kept for the next request, and never more than a container is given at once."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from stagemaker.sagemaker.runtime.connection import Connection, ContainerAnswer, TimedOutError, open_connection
from stagemaker.sagemaker.runtime.route import Container

MOST_CONNECTIONS = 64
"""At once to one container. A request beyond waits for its turn, within its own time."""

MOST_WAITING = 128
"""Requests that wait for one container. One more is refused at once."""

IDLE_SECONDS = 1.0
"""A connection that has been idle for longer is not used again: servers close idle ones after 2 s (gunicorn), 5 s
(uvicorn, Node) or more, and a request that meets the closing is lost, since it cannot be told from one that the
model has seen."""

CONNECT_SECONDS = 2.0
"""AWS asks of a container that it accept connections within 250 ms; a busy laptop gets more."""


class CrowdedError(Exception):
    """More requests wait for the container than may."""


@dataclass(slots=True)
class _Lane:
    """What is under way with one container."""

    idle: deque[Connection] = field(default_factory=deque)
    busy: int = 0
    turns: deque[asyncio.Future[None]] = field(default_factory=deque)


class Pool:
    """All connections to all containers."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def under_way(self, container: Container) -> int:
        """Requests that the container has or that wait for it."""
        lane = self._lanes.get((container.host, container.port))
        return lane.busy + len(lane.turns) if lane else 0

    async def ask(self, container: Container, request: bytes, deadline: float) -> ContainerAnswer:
        """Send `request` once. `deadline` is in the loop's time.

        Raises ContainerError, RefusedError among them for a container that takes no connection, and
        CrowdedError.
        """
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault((container.host, container.port), _Lane())
        await self._take_turn(lane, deadline)
        try:
            connection = self._idle_connection(lane, loop.time())
            if connection is None:
                left = deadline - loop.time()
                if left <= 0:
                    raise TimedOutError("its turn did not come in time")
                connection = await open_connection(container.host, container.port, min(left, CONNECT_SECONDS))
            alarm = loop.call_at(deadline, connection.time_out)
            try:
                answer = await connection.ask(request)
            except asyncio.CancelledError:
                connection.close()
                raise
            finally:
                alarm.cancel()
            if connection.reusable:
                connection.idle_since = loop.time()
                lane.idle.append(connection)
                self._sweep_later(loop)
            return answer
        finally:
            self._pass_turn(lane)

    async def _take_turn(self, lane: _Lane, deadline: float) -> None:
        if lane.busy < MOST_CONNECTIONS:
            lane.busy += 1
            return
        if len(lane.turns) >= MOST_WAITING:
            raise CrowdedError
        turn = asyncio.get_running_loop().create_future()
        lane.turns.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the turn came in the same moment
                self._pass_turn(lane)
            elif turn in lane.turns:
                lane.turns.remove(turn)
            if isinstance(error, TimeoutError):
                raise TimedOutError("its turn did not come in time") from error
            raise

    def _pass_turn(self, lane: _Lane) -> None:
        """To whoever waits longest: `busy` then stays as it is."""
        while lane.turns:
            turn = lane.turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        lane.busy -= 1

    def _idle_connection(self, lane: _Lane, now: float) -> Connection | None:
        """The one that was used last; those that were closed or have rested for too long go."""
        while lane.idle:
            connection = lane.idle.pop()
            if connection.reusable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has rested for too long, and forget containers that nobody asks."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for address, lane in list(self._lanes.items()):
            while lane.idle and (not lane.idle[0].reusable or lane.idle[0].idle_since <= oldest):
                lane.idle.popleft().close()
            if not (lane.idle or lane.busy or lane.turns):
                del self._lanes[address]
        if any(lane.idle for lane in self._lanes.values()):
            self._sweep_later(loop)

    def close(self) -> None:
        """Let go of every idle connection; those in use end with their requests."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for lane in self._lanes.values():
            while lane.idle:
                lane.idle.popleft().close()
