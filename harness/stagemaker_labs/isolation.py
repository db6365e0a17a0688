"""A helper process without credentials, for what a learner's artifact might do: it may be a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer that are read."""

INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class HelperFailed(Exception):  # noqa: N818  the name that checks read best: `except HelperFailed`
    """The helper gave no answer: it crashed, took too long, or wrote no JSON object.

    A check may catch it and call `wrong`; uncaught, the check could not be made.
    """


def ask(script: Path, payload: Mapping[str, Any], *, timeout: float, reuse: Path | None = None) -> dict[str, Any]:
    """What `script` answers to `payload`: one JSON object in on stdin, one out as the last line of stdout.

    The process has an empty home, a temporary folder to work in, and no AWS variables. `reuse` names a file that
    keeps the answer: when it exists, no process is started. Raises HelperFailed.
    """
    if reuse is not None:
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(reuse.read_text(encoding="utf-8"))
            if isinstance(kept, dict):
                return kept
    answer = _parse(script, _run(script, json.dumps(payload).encode(), timeout))
    if reuse is not None:
        reuse.parent.mkdir(parents=True, exist_ok=True)
        part = reuse.with_name(reuse.name + ".part")
        part.write_text(json.dumps(answer), encoding="utf-8")
        part.replace(reuse)
    return answer


def reuse_name(script: Path, key: str) -> str:
    """A file name for the answer that `script`, as it is now, gives for what `key` names."""
    stamp = f"{sys.version}\0{key}\0".encode() + script.read_bytes()
    return hashlib.sha256(stamp).hexdigest()[:32] + ".json"


def _run(script: Path, question: bytes, timeout: float) -> bytes:
    variables = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with (
        tempfile.TemporaryDirectory(prefix="stagemaker-check-") as home,
        # Files, not pipes: a process that the helper leaves behind could keep a pipe open.
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        helper = subprocess.Popen(
            [sys.executable, "-X", "utf8", str(script.resolve())],
            cwd=home,
            env={**variables, "HOME": home, "TMPDIR": home},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            helper.communicate(question, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise HelperFailed(f"{script.name} took more than {timeout:.0f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(helper.pid, signal.SIGKILL)
            helper.kill()
            helper.communicate()
        err.seek(0)
        said = err.read(ANSWER_LIMIT).decode(errors="replace").strip().splitlines()
        if helper.returncode != 0:
            raise HelperFailed(f"{script.name} failed: {said[-1] if said else f'exit code {helper.returncode}'}")
        out.seek(0)
        return out.read(ANSWER_LIMIT)


def _parse(script: Path, out: bytes) -> dict[str, Any]:
    """The last line of the output; libraries may have printed before it."""
    lines = out.decode(errors="replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        answer = None
    if not isinstance(answer, dict):
        raise HelperFailed(f"{script.name} wrote no JSON object")
    return answer
