"""Large objects: what they cost in memory."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

Spawn = Callable[[Path, int], AbstractContextManager[tuple[subprocess.Popen[str], int]]]

SIZE = 96 * 1024 * 1024
ALLOWED = 32 * 1024 * 1024
"""Bytes that the process may grow by: buffers and threads, not the object."""


PIECES = [bytes(range(256)) * 4096] * (SIZE // 2**20)


def _call(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """One call: its status, and the SHA-256 of its body, read piece by piece."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    digest = hashlib.sha256()
    while piece := response.read(1 << 20):
        digest.update(piece)
    connection.close()
    return response.status, digest.hexdigest()


def _peak(process: subprocess.Popen[str]) -> int:
    """The most memory that the process has ever held, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_large_objects_stay_out_of_the_memory(spawn: Spawn, tmp_path: Path) -> None:
    """PUT, GET, a range, a new version and a copy of 96 MB leave the process as small as it was."""
    whole = hashlib.sha256(b"".join(PIECES)).hexdigest()
    length = {"Content-Length": str(SIZE)}
    with spawn(tmp_path / "backing", 0) as (process, port):
        assert _call(port, "PUT", "/data")[0] == 200
        versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        assert _call(port, "PUT", "/data?versioning", versioning)[0] == 200
        assert _call(port, "PUT", "/data/warm", b"up")[0] == 200
        before = _peak(process)
        for method, path, body, headers in (
            ("PUT", "/data/k", iter(PIECES), length),
            ("GET", "/data/k", None, {}),
            ("GET", "/data/k", None, {"Range": f"bytes=0-{SIZE - 1}"}),
            ("PUT", "/data/copy", None, {"x-amz-copy-source": "/data/k", "Content-Length": "0"}),
            ("PUT", "/data/k", iter(PIECES), length),
            ("GET", "/data/copy", None, {}),
        ):
            status, digest = _call(port, method, path, body, **headers)
            assert status in {200, 206}
            assert method == "PUT" or digest == whole
        assert _peak(process) - before < ALLOWED
