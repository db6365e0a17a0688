"""What runs in the learner's process before the learner's file: `python -P bootstrap.py REPORT LAB_FILE`.

It runs the file as `__main__`, as `python lab.py` would, and leaves in REPORT (JSON) why it stopped, so that the
verdict can show the learner's own lines. Standard library only, and no import of the workbench: the file's own
folder must be the first on the path.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import signal
import sys
import traceback
import types
from pathlib import Path
from typing import Any

WHERE_SUFFIX = ".where"
"""Added to REPORT's name: where the file was when SIGUSR1 arrived."""


def main(report: Path, file: Path) -> int:
    """Run `file`. The exit code is its own; 1 when it raised, does not parse or left with a message."""
    where = report.with_name(report.name + WHERE_SUFFIX).open("w", encoding="utf-8")
    faulthandler.register(signal.SIGUSR1, file=where, all_threads=True)
    sys.argv[:] = [str(file)]
    # The interpreter was started with -P: this file's own folder is not on the path, the learner's must be.
    sys.path.insert(0, str(file.parent))
    try:
        program = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
        module = types.ModuleType("__main__")
        module.__dict__.update(__file__=str(file), __builtins__=__builtins__)
        sys.modules["__main__"] = module
        exec(program, module.__dict__)  # noqa: S102  running the learner's file is what this is for
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it raises is reported
        code = error.code if isinstance(error, SystemExit) else 1
        if code in {None, 0}:
            return 0
        with contextlib.suppress(OSError):
            report.write_text(json.dumps(describe(error, file.parent)), encoding="utf-8")
        if isinstance(code, int):
            return code
        sys.stderr.write(f"{code}\n")
        return 1
    return 0


def describe(error: BaseException, folder: Path) -> dict[str, Any]:
    """What the workbench needs to know of `error`: its type, message, frames, and full traceback without ours."""
    described = traceback.TracebackException.from_exception(error)
    described.stack[:] = [frame for frame in described.stack if frame.filename != __file__]
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "message": str(described),
        "frames": [_frame(frame, folder) for frame in described.stack if Path(frame.filename).is_relative_to(folder)],
        "traceback": "".join(described.format()),
    }
    if isinstance(error, SyntaxError):
        told["syntax"] = {
            "file": Path(error.filename or "").name,
            "line": error.lineno,
            "column": error.offset,
            "source": (error.text or "").rstrip("\n"),
            "message": error.msg,
        }
    if isinstance(error, ModuleNotFoundError):
        told["module"] = error.name
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        told["aws_code"] = str(response.get("Error", {}).get("Code", ""))
    return told


def _frame(frame: traceback.FrameSummary, folder: Path) -> dict[str, Any]:
    return {
        "file": str(Path(frame.filename).relative_to(folder)),
        "line": frame.lineno,
        "function": frame.name,
        "source": frame.line or "",
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
