"""Run the learner's file, and say in a card of the learner's own lines what stopped it."""

from __future__ import annotations

import dataclasses
import json
import linecache
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stagemaker_labs import bootstrap, process
from stagemaker_labs.problem import Card
from stagemaker_labs.process import Ended
from stagemaker_labs.text import clean, duration, one_line, plural
from stagemaker_labs.verdict import Outcome, Run, RunState
from stagemaker_labs.workspace import Workspace

SHOWN_LINES = 40
SHOWN_FRAMES = 6
OUTPUT_FILE = "output.txt"
CRASH_FILE = "crash.json"

LIKELY_BY_CODE = {
    "NoSuchBucket": "the bucket was not made yet, or its name is written differently here",
    "NoSuchKey": "the object was not uploaded, or its key is written differently here",
    "AccessDenied": "the key or the role is not allowed to do this",
    "ResourceInUse": "a resource of this name exists: names of jobs are never free again, LAB_RUN makes them new",
    "InvalidAccessKeyId": "the client was given keys of its own: leave them out, the environment has the right ones",
}
LIKELY_BY_TYPE = {
    "WaiterError": "what it waited for ended otherwise: describe it, the reason is in its answer",
    "NoCredentialsError": "the client looks for keys elsewhere: leave out profile and key arguments",
    "ParamValidationError": "an argument is missing, misspelt or of another type",
    "EOFError": "it asks for input, and there is no keyboard here",
    "FileNotFoundError": "the path is wrong: the file runs in work/, the data are in LAB_DATA",
    "MemoryError": "it holds more in memory than there is",
    "RecursionError": "a function calls itself without an end",
}
CONNECTION_ERRORS = frozenset(
    {"EndpointConnectionError", "ConnectionClosedError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionError"}
)
"""Types that also arise when the target went away, which is not the learner's failure."""


def run_file(
    workspace: Workspace,
    variables: Mapping[str, str],
    *,
    tick: Callable[[float], None],
    is_target_there: Callable[[], bool],
    echo: Callable[[bytes], None] | None = None,
) -> Run:
    """Run `work/lab.py` in a process of its own with `variables` only. Never raises for what the file does.

    A file that failed because the target went away is an ERROR, not a failure. All that it printed is in
    `work/.stagemaker/output.txt`, with the full traceback.
    """
    output, report = workspace.hidden / OUTPUT_FILE, workspace.hidden / CRASH_FILE
    where = report.with_name(report.name + bootstrap.WHERE_SUFFIX)
    report.unlink(missing_ok=True)
    file = workspace.file.resolve()
    ended = process.run(
        # UTF-8 whatever the locale; unbuffered, so that the last words before a crash are not lost.
        [sys.executable, "-P", "-u", "-X", "utf8", bootstrap.__file__, str(report.resolve()), str(file)],
        folder=workspace.folder,
        variables=variables,
        limit=workspace.lab.time_limit,
        output=output,
        # LAB_RUN is a time: another learner on this machine may have the same. LAB_DATA lies in the work folder.
        marks=("LAB_RUN", "LAB_DATA"),
        tick=tick,
        echo=echo,
    )
    crash = _read_crash(report)
    shown = tuple(clean(line) for line in process.tail(output, SHOWN_LINES))
    if crash:
        with output.open("a", encoding="utf-8", errors="replace") as log:
            log.write(crash["traceback"])
    note = _note(ended, crash)
    if ended.code == 0 and not ended.timed_out:
        return Run(RunState.RAN, Outcome.PASSED, note, ended.seconds, None, shown, ended.lines)
    gone = crash is not None and CONNECTION_ERRORS.intersection(crash["bases"]) and not is_target_there()
    card = _gone_card() if gone else _card(ended, crash, where, workspace)
    card = dataclasses.replace(card, next=f"{card.next}, then: pytest labs/{workspace.lab.number}")
    outcome = Outcome.ERROR if gone else Outcome.FAILED
    return Run(RunState.RAN, outcome, note, ended.seconds, card, shown, ended.lines)


def _note(ended: Ended, crash: Mapping[str, Any] | None) -> str:
    """The line of the verdict on the run."""
    seconds = duration(ended.seconds)
    if crash and "syntax" in crash and not crash["frames"]:
        return "work/lab.py is not valid Python: nothing of it was run"
    if ended.timed_out:
        return f"work/lab.py was ended after {seconds}"
    note = f"work/lab.py ran in {seconds}" if ended.code == 0 else f"work/lab.py stopped after {seconds}"
    if ended.left_behind:
        note += f" and left {plural(ended.left_behind, 'process', 'processes')} behind, now ended"
    return note


def _card(ended: Ended, crash: Mapping[str, Any] | None, where: Path, workspace: Workspace) -> Card:
    """The card of a failed run; its `next` is completed by the caller."""
    if ended.timed_out:
        return _late_card(where, workspace.file.resolve().parent, workspace.lab.time_limit)
    if crash is None:
        return _ended_card(ended)
    if "syntax" in crash and not crash["frames"]:
        return _syntax_card(crash["type"], crash["syntax"])
    return _raised_card(crash)


def _syntax_card(kind: str, syntax: Mapping[str, Any]) -> Card:
    source, column = syntax["source"], syntax["column"] or 0
    detail: tuple[str, ...] = ()
    if source:
        marker = [" " * (column - 1) + "^"] if 0 < column <= len(source) + 1 else []
        detail = (clean(source), *marker)
    line = f", line {syntax['line']}" if syntax["line"] else ""
    return Card(
        looked_at=f"work/{syntax['file'] or 'lab.py'}{line}",
        found=one_line(f"{kind}: {syntax['message']}"),
        expected="a file that Python can read; nothing of it was run",
        next=f"mend line {syntax['line']}" if line else "mend it",
        detail=detail,
    )


def _raised_card(crash: Mapping[str, Any]) -> Card:
    frames: Sequence[Mapping[str, Any]] = crash["frames"]
    left = crash["type"] == "SystemExit"
    if left:
        code = crash["message"]
        found = f"it left with exit code {code}" if code.lstrip("-").isdigit() else f"it left with: {one_line(code)}"
    else:
        found = one_line(f"{crash['type']}: {crash['message']}" if crash["message"] else crash["type"])
    if not frames:
        return Card("work/lab.py", found, "the file to run to its end", _likely(crash), "mend it")
    last = frames[-1]
    place = f"work/{last['file']}, line {last['line']}"
    if last["function"] != "<module>":
        place += f", in {last['function']}"
    return Card(
        looked_at=place,
        found=found,
        expected="the file to run to its end",
        likely=_likely(crash),
        next=f"go on at line {last['line']}" if left else f"mend line {last['line']}",
        detail=_frame_lines(frames),
    )


def _frame_lines(frames: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The learner's own lines, in the order in which they were called."""
    shown = frames[-SHOWN_FRAMES:]
    width = max(len(f"{frame['file']}:{frame['line']}") for frame in shown)
    lines = [f"{frame['file']}:{frame['line']}".ljust(width) + "  " + one_line(frame["source"]) for frame in shown]
    if len(frames) > len(shown):
        lines.insert(0, f"... {plural(len(frames) - len(shown), 'call')} before")
    return tuple(lines)


def _late_card(where: Path, folder: Path, limit: float) -> Card:
    at = _stood_at(where, folder)
    return Card(
        looked_at=f"work/lab.py, for {duration(limit)}",
        found="still running" + (f", at {at[0]}" if at else ""),
        expected=f"the file to end within {duration(limit)}",
        likely="a loop or a wait that has no end",
        next="give the wait a limit" if at is None else f"look at {at[0]}",
        detail=(at[1],) if at and at[1] else (),
    )


def _stood_at(where: Path, folder: Path) -> tuple[str, str] | None:
    """The learner's innermost line when the time was up, as `work/lab.py, line 7` and its source."""
    try:
        told = where.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for file, number in re.findall(r'File "([^"]+)", line (\d+)', told):
        if Path(file).is_relative_to(folder):
            source = linecache.getline(file, int(number)).strip()
            return f"work/{Path(file).relative_to(folder)}, line {number}", clean(source)
    return None


def _ended_card(ended: Ended) -> Card:
    if ended.code >= 0:
        return Card(
            looked_at="work/lab.py",
            found=f"it ended itself with exit code {ended.code}",
            expected="the file to run to its end, exit code 0",
            next="look for what ends it",
        )
    try:
        name = signal.Signals(-ended.code).name
    except ValueError:
        name = f"signal {-ended.code}"
    return Card(
        looked_at="work/lab.py",
        found=f"it was ended by {name}",
        expected="the file to run to its end",
        likely="perhaps the machine ran out of memory"
        if -ended.code == signal.SIGKILL
        else "a library that it uses crashed",
        next="look at what it did last",
    )


def _gone_card() -> Card:
    return Card(
        looked_at="the target, after work/lab.py lost its connection",
        found="nothing answers any more",
        expected="a target that answers until the file has ended",
        likely="the stage was stopped or was killed",
        next="stagemaker up",
    )


def _likely(crash: Mapping[str, Any]) -> str:
    if crash.get("module"):
        return f"the package {crash['module']} is not installed here, or the file is not in work/"
    by_code = LIKELY_BY_CODE.get(crash.get("aws_code", ""))
    return by_code or next((LIKELY_BY_TYPE[base] for base in crash["bases"] if base in LIKELY_BY_TYPE), "")


def _read_crash(report: Path) -> Mapping[str, Any] | None:
    try:
        told: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told
