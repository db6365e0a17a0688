"""Run inside a network namespace: brings its loopback up, starts a stage, runs a program on it, prints what it said.

`python in_namespace.py STATE PROGRAM...`: so nothing that the program does can leave the machine unseen.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from stagemaker.testing import start_stage

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def bring_loopback_up() -> None:
    """A new namespace has a loopback that is down, and nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        _, flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def main() -> int:
    """The program's exit code; the stage's log follows its output."""
    bring_loopback_up()
    assert not _has_route()
    state, *program = sys.argv[1:]
    stage = start_stage(Path(state))
    try:
        command = [sys.executable, "-m", "stagemaker", "run", "--state", state, "--", *program]
        done = subprocess.run(command, env=os.environ, check=False)
        sys.stdout.flush()
        sys.stdout.write(stage.folder.stage_log.read_text())
        return done.returncode
    finally:
        stage.stop()


def _has_route() -> bool:
    """Whether any address but loopback can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
