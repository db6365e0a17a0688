"""`make test-localstack`: an environment with LocalStack, then every suite that runs on it.

Without a Python 3.13, or where LocalStack cannot be installed, it says what was not run; with
REQUIRE_LOCALSTACK=1 that is a failure.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_ports

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".venv-localstack"
CONSTRAINTS = ROOT / "constraints" / "localstack.txt"
PACKAGES = ("localstack-core[runtime]==4.14.0", "pyopenssl", "cbor2", "service_identity")
PYTHON = (3, 13)
"""LocalStack 4.14.0 uses syntax of 3.12, though its metadata ask for 3.10; its own image has 3.13's dependencies."""

TRAINING = ("training_jobs", "training_life", "builtin_xgboost")

SUITES: tuple[tuple[str, tuple[str, ...], Mapping[str, str]], ...] = (
    ("the backing itself, and LocalStack's forgetting", ("tests/localstack",), {}),
    ("clients, keys and policies over the wire", ("tests/stage/test_clients.py",), {}),
    ("training jobs", tuple(f"tests/stage/test_{name}.py" for name in TRAINING), {}),
    ("a killed stage takes up its jobs", ("tests/stage/test_restart.py",), {}),
    ("ten kills: nothing acknowledged is lost", ("tests/kills",), {"STAGEMAKER_KILLS": "10"}),
    ("the whole proof of the labs", ("tests/labs/test_proof.py",), {}),
)
"""Each in a process of its own: two stages at once would share one account of LocalStack's."""


def main() -> int:
    """Install, serve, test; 0 when all that could run passed."""
    try:
        python = _environment()
    except _CannotError as error:
        return _not_run(str(error))
    failed = []
    with tempfile.TemporaryDirectory(prefix="localstack-") as folder, _serving(python, Path(folder)) as url:
        for name, paths, variables in SUITES:
            print(f"On LocalStack: {name} ...", flush=True)
            own = {"STAGEMAKER_BACKING_URL": url, "LOCALSTACK_PYTHON": str(python), **variables}
            command = [sys.executable, "-m", "pytest", "-q", *paths]
            if subprocess.run(command, cwd=ROOT, env={**os.environ, **own}, check=False).returncode != 0:
                failed.append(name)
    for name in failed:
        print(f"FAILED on LocalStack: {name}")
    return 1 if failed else 0


class _CannotError(Exception):
    """LocalStack cannot be had here."""


def _environment() -> Path:
    """The interpreter of an environment that holds LocalStack. Raises _CannotError."""
    python = ENVIRONMENT / "bin" / "python"
    ready, wanted = ENVIRONMENT / ".ready", hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    if ready.is_file() and ready.read_text() == wanted:
        return python
    base = _base_python()
    print(f"Installing LocalStack in {ENVIRONMENT.name} (500 MB, some minutes the first time) ...", flush=True)
    subprocess.run([base, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if shutil.which("uv"):
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    if subprocess.run([*install, "--constraint", CONSTRAINTS, *PACKAGES], check=False).returncode != 0:
        raise _CannotError("LocalStack could not be installed; the lines above say why")
    ready.write_text(wanted)
    return python


def _base_python() -> str:
    """A Python 3.13: LOCALSTACK_BASE_PYTHON, on the path, uv's, or pyenv's. Raises _CannotError."""
    name = ".".join(map(str, PYTHON))
    candidates = [os.environ.get("LOCALSTACK_BASE_PYTHON", ""), f"python{name}", "python3"]
    candidates += _printed("uv", "python", "find", "--no-project", name)
    candidates += [f"{root}/versions/{version}/bin/python" for root in _printed("pyenv", "root") for version in
                   _printed("pyenv", "versions", "--bare") if version.startswith(f"{name}.")]  # fmt: skip
    check = f"import sys; sys.exit(sys.version_info[:2] != {PYTHON})"
    for candidate in candidates:
        if not candidate or not shutil.which(candidate):
            continue
        if subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode == 0:
            return candidate
    raise _CannotError(f"there is no Python {name} (LOCALSTACK_BASE_PYTHON can name one)")


def _printed(*command: str) -> list[str]:
    """The lines that a command prints; none where there is no such command, or it fails."""
    if not shutil.which(command[0]):
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


@contextmanager
def _serving(python: Path, folder: Path) -> Iterator[str]:
    """LocalStack on a free port, for the length of the block; its address."""
    (port,) = free_ports(1)
    command = [str(python), str(HERE / "serve.py"), str(port), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.strip() == "Ready.":
                break
        else:
            raise SystemExit("LocalStack ended before it was ready")
        # Its further words are read, or the pipe would fill and stop it.
        reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
    reader.wait(10)


def _not_run(why: str) -> int:
    """Say loudly that nothing ran, and how much that is."""
    paths = [path for _, suite, _ in SUITES for path in suite]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *paths]
    listed = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "LOCALSTACK_PYTHON": "-"}, capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"(\d+) tests? collected", listed)
    count = found[1] if found else "an unknown number of"
    print(f"NOT RUN ON LOCALSTACK: {count} tests in {len(SUITES)} suites, because {why}.", flush=True)
    return 1 if os.environ.get("REQUIRE_LOCALSTACK") == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
