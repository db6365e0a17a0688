"""The hosts of a job meet at once."""

from __future__ import annotations

import socket
import threading

from stagemaker.algorithms.xgboost.distributed import await_door


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_host_waits_for_the_first_one() -> None:
    """Until it listens, and not longer."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))  # nobody can take the port, and nobody is let in yet
        waiting = threading.Thread(target=await_door, args=("127.0.0.1", door.getsockname()[1], 600.0))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        door.listen()
        waiting.join(60)
        assert not waiting.is_alive()


def test_host_does_not_wait_for_ever() -> None:
    """The library then tries by itself."""
    await_door("127.0.0.1", free_port(), patience=0.05)
