"""`make test-docker`: docker-compose.yml with an engine, by each version of Compose that is here.

It uses the engine that answers, or starts one where it may. What cannot run is said, with a count; with
REQUIRE_DOCKER=1 that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCALSTACK = "localstack/localstack:4.14.0"
BASE = "python:3.11-slim"
START_SECONDS = 30.0
WHOLE_PROOF = "tests/docker/test_compose.py::test_the_whole_proof_on_the_localstack_of_compose"


class _CannotError(Exception):
    """The tests cannot run here."""


def main() -> int:
    """0 when all that could run passed."""
    try:
        with _engine():
            for image in (LOCALSTACK, BASE):
                _have(image)
            programs = _compose_programs()
            return max(_test(program, whole=number == 0) for number, program in enumerate(programs))
    except _CannotError as error:
        print(f"NOT RUN WITH DOCKER: {_count()} tests, because {error}.", flush=True)
        return 1 if os.environ.get("REQUIRE_DOCKER") == "1" else 0


@contextmanager
def _engine() -> Iterator[None]:
    """An engine for the length of the block. Raises _CannotError."""
    if not shutil.which("docker"):
        raise _CannotError("there is no docker command")
    if _answers():
        yield
        return
    if os.getuid() != 0 or not shutil.which("dockerd"):
        raise _CannotError("no Docker engine answers, and none can be started (that takes root and dockerd)")
    with tempfile.NamedTemporaryFile(prefix="dockerd-", suffix=".log") as log:
        engine = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers():
                if engine.poll() is not None or time.monotonic() > deadline:
                    said = Path(log.name).read_text(errors="replace").strip().splitlines()[-1:]
                    raise _CannotError(f"dockerd does not start: {' '.join(said)}")
                time.sleep(0.2)
            yield
        finally:
            engine.terminate()
            engine.wait(30)


def _answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _have(image: str) -> None:
    """Pull an image unless it is here. Raises _CannotError."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return
    print(f"Pulling {image} ...", flush=True)
    pulled = subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, text=True, check=False)
    if pulled.returncode != 0:
        raise _CannotError(f"{image} cannot be pulled: {pulled.stderr.strip().splitlines()[-1:]}")


def _compose_programs() -> list[str]:
    """`docker compose`, `docker-compose`, or both. Raises _CannotError."""
    found = []
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        found.append("docker compose")
    if shutil.which("docker-compose"):
        found.append("docker-compose")
    if not found:
        raise _CannotError("there is no Docker Compose")
    for name in {"docker compose", "docker-compose"}.difference(found):
        print(f"NOT RUN WITH DOCKER: {_count()} tests by `{name}`, which is not here.", flush=True)
    return found


def _test(program: str, *, whole: bool) -> int:
    """One run of the tests; what Compose's version has no part in is done once, by the first."""
    print(f"With `{program}` ...", flush=True)
    variables = {**os.environ, "COMPOSE_PROGRAM": program}
    command = [sys.executable, "-m", "pytest", "-q", "tests/docker", *([] if whole else ["--deselect", WHOLE_PROOF])]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def _count() -> str:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/docker"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+) tests? collected", listed)
    return found[1] if found else "an unknown number of"


if __name__ == "__main__":
    sys.exit(main())
