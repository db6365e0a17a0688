"""What a learner sees when something is wrong with the file, the lab's name or the stage. Screens are kept."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOR_EVER = """\
import time


def wait():
    while True:
        time.sleep(1)


wait()
"""
RAISES = """\
import os


def number(row):
    return int(row)


print("reading")
for row in ["1", "two"]:
    number(row)
"""
MEGABYTES = """\
import sys

for _ in range(40):
    sys.stdout.write("\\x1b[31mred " + "x" * 100_000 + "\\n")
    sys.stdout.write("".join(f"line {n}\\n" for n in range(5_000)))
raise SystemExit("task 2 is still to do")
"""
LEAVES = """\
import os
import subprocess
from pathlib import Path

pids = [subprocess.Popen(["sleep", "300"], start_new_session=leaves).pid for leaves in (False, True)]
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    pids.append(os.getpid())
    (Path(os.environ["AWS_TOY_ACCOUNT"]) / "pids").write_text(" ".join(map(str, pids)))
    os.execvp("sleep", ["sleep", "300"])
os.wait()
while not (Path(os.environ["AWS_TOY_ACCOUNT"]) / "pids").exists():
    pass
"""


def test_a_file_that_does_not_parse(learner: Any, same_as_kept: Any) -> None:
    """The line and the place are shown, nothing is run, and the account is checked all the same."""
    learner.writes('import os\nprint("hi"\nx = 2\n')
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    same_as_kept("does-not-parse", seen.out)


def test_a_file_that_raises(learner: Any, same_as_kept: Any) -> None:
    """The learner's own lines are shown, and no line of the workbench's; the whole traceback is kept in a file."""
    learner.writes(RAISES)
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    assert "bootstrap" not in seen.out
    assert "Traceback" not in seen.out
    kept = (learner.work / ".stagemaker" / "output.txt").read_text()
    assert kept.startswith("reading\nTraceback")
    assert "bootstrap" not in kept
    same_as_kept("raises", seen.out)


def test_a_file_that_runs_for_ever(learner: Any, same_as_kept: Any) -> None:
    """It is ended after the lab's time limit, and the card says at which line it was."""
    toml = learner.course / "labs" / "01-toy" / "lab.toml"
    toml.write_text(toml.read_text().replace("time_limit = 3", "time_limit = 1"))
    learner.writes(FOR_EVER)
    begun = time.monotonic()
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    assert time.monotonic() - begun < 10
    same_as_kept("runs-for-ever", seen.out)


def test_a_file_that_prints_megabytes(learner: Any, same_as_kept: Any) -> None:
    """The screen shows the last 40 lines without control sequences; the file keeps both ends, up to 512 KiB."""
    learner.writes(MEGABYTES)
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    assert "\x1b" not in seen.out
    kept = (learner.work / ".stagemaker" / "output.txt").read_bytes()
    assert 512 * 1024 <= len(kept) < 600 * 1024
    assert kept.startswith(b"\x1b[31mred ")
    assert b"bytes left out" in kept
    same_as_kept("prints-megabytes", seen.out)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_file_that_leaves_processes(learner: Any, same_as_kept: Any) -> None:
    """Whatever it started is ended, even what made a session of its own; the verdict counts them and passes."""
    learner.copies("solution.py")
    learner.writes((learner.work / "lab.py").read_text() + LEAVES)
    begun = time.monotonic()
    seen = learner.types("pytest", "labs/01")
    assert time.monotonic() - begun < 10
    assert seen.code == 0
    for pid in (learner.account / "pids").read_text().split():
        assert _is_gone(pid)
    same_as_kept("leaves-processes", seen.out)


def _is_gone(pid: str) -> bool:
    """Whether the process has ended (a zombie has, if nobody reaped it yet)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_lab_that_does_not_exist(learner: Any, same_as_kept: Any) -> None:
    """The exit code of wrong usage and a card with the nearest name; the command says the same."""
    seen = learner.types("pytest", "labs/tyo")
    assert seen.code == pytest.ExitCode.USAGE_ERROR
    assert "stagemaker_labs" not in seen.out
    same_as_kept("no-such-lab", seen.out)
    assert learner.types("stagemaker", "hint", "99").code == 6


def test_a_lab_toml_that_cannot_be_used(learner: Any) -> None:
    """The author reads which file and what is wrong with it."""
    (learner.course / "labs" / "01-toy" / "lab.toml").write_text("title = ")
    seen = learner.types("pytest", "labs/01")
    assert seen.code == pytest.ExitCode.USAGE_ERROR
    assert "lab.toml" in seen.out
    assert "Invalid value" in seen.out


def test_no_stage_and_the_port_taken(learner: Any, same_as_kept: Any) -> None:
    """Nothing is judged: exit code 6, each check could not be made, and the card holds the stage's own words."""
    (learner.state / "running").unlink()
    (learner.state / "taken").write_text("stagemaker: port 4566 is taken by nginx (pid 123)\n")
    learner.copies("solution.py")
    seen = learner.types("pytest", "labs/01", "--verdict-json", "verdict.json")
    assert seen.code == 6
    told = json.loads((learner.course / "verdict.json").read_text())["verdicts"][0]
    assert [check["outcome"] for check in told["checks"]] == ["error"] * 4
    assert told["run"]["state"] == "not reached"
    same_as_kept("port-taken", seen.out)


def test_a_stage_that_left_its_address_behind(learner: Any) -> None:
    """A stage that was killed is started again, not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    (learner.state / "running").write_text(gone)
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 1
    assert "starting the stage" in seen.out
    assert seen.out.rstrip().endswith("the stage was started for this and stays up; stagemaker down stops it")


@pytest.fixture
def mortal(learner: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that listens where the stage is said to be, and can be killed."""
    program = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    process = subprocess.Popen([sys.executable, "-c", f"{program}; time.sleep(60)"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        (learner.state / "running").write_text(f"http://127.0.0.1:{process.stdout.readline().strip()}")
    yield process
    process.kill()
    process.wait()


def test_a_stage_killed_in_mid_check(learner: Any, same_as_kept: Any, mortal: subprocess.Popen[str]) -> None:
    """The checks from there on could not be made, without each waiting for it; no traceback is shown."""
    (learner.state / "variables.json").write_text(json.dumps({"AWS_TOY_WAY": "killed", "AWS_TOY_PID": str(mortal.pid)}))
    seen = learner.types("pytest", "labs/02")
    assert seen.code == 6
    assert "Traceback" not in seen.out
    same_as_kept("killed-in-mid-check", seen.out)


def test_a_stage_killed_while_the_file_runs(learner: Any, same_as_kept: Any, mortal: subprocess.Popen[str]) -> None:
    """A file that lost its connection because the stage went away has not failed: it could not be judged."""
    learner.writes(
        "import os, signal, time\nimport boto3\n"
        f"os.kill({mortal.pid}, signal.SIGKILL)\ntime.sleep(0.1)\nboto3.client('s3').list_buckets()\n"
    )
    (learner.state / "variables.json").write_text(json.dumps({"AWS_MAX_ATTEMPTS": "1"}))
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 6
    same_as_kept("killed-while-the-file-runs", seen.out)


def test_a_check_with_a_fault_of_its_own(learner: Any, same_as_kept: Any) -> None:
    """It could not check, which is no failure; the traceback is in a file that the card names, not on the screen."""
    (learner.state / "variables.json").write_text('{"AWS_TOY_WAY": "fault"}')
    seen = learner.types("pytest", "labs/02")
    assert seen.code == 6
    assert "Traceback" not in seen.out
    kept = learner.course / "labs" / "02-other" / "work" / ".stagemaker" / "could-not-check.txt"
    assert 'raise KeyError("a fault of the lab")' in kept.read_text()
    same_as_kept("fault-of-the-lab", seen.out)


def test_checks_that_cannot_be_read(learner: Any, same_as_kept: Any) -> None:
    """A package that is missing is named with the command that installs it."""
    (learner.course / "labs" / "02-other" / "checks.py").write_text("import nothere\n")
    seen = learner.types("pytest", "labs/02")
    assert seen.code == 6
    same_as_kept("unreadable-checks", seen.out)


def test_a_work_folder_that_cannot_be_written(learner: Any) -> None:
    """A file where the folder should be: the card names it, and nothing of it is touched."""
    learner.work.write_text("mine")
    seen = learner.types("pytest", "labs/01")
    assert seen.code == 6
    assert "the work folder cannot be written" in seen.out
    assert learner.work.read_text() == "mine"


def started(learner: Any, **standard: Any) -> subprocess.Popen[str]:
    """`pytest labs/01`, once work/lab.py runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "labs/01"],
        cwd=learner.course,
        env=learner.environment(),
        stdin=subprocess.DEVNULL,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it makes one system call
        **standard,
    )
    deadline = time.monotonic() + 60
    # Its content too: a file that has just been made is still empty.
    while not ((runs := learner.account / "runs").exists() and runs.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


SLEEPS = "import os, time\nopen(os.path.join(os.environ['AWS_TOY_ACCOUNT'], 'runs'), 'w').write(str(os.getpid()))\n"


def test_an_interrupt(learner: Any) -> None:
    """Ctrl-C ends the file, says that nothing was judged, and leaves neither a verdict nor a traceback."""
    learner.writes(SLEEPS + "time.sleep(60)\n")
    process = started(learner, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert out.splitlines()[-1] == "interrupted: nothing was judged; if work/lab.py was running, it was ended"
    assert "Traceback" not in out
    assert not (learner.work / ".stagemaker" / "verdict.json").exists()
    assert_ends(int((learner.account / "runs").read_text()))


def assert_ends(pid: int) -> None:
    """A process has been ended; whoever inherits it may take a moment to see that."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


def test_a_terminal(learner: Any) -> None:
    """On a terminal the seconds pass on one line, which is wiped before the verdict, and the verdict has colours."""
    learner.writes(SLEEPS + "time.sleep(1.2)\n")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as screen:  # noqa: PTH123  a descriptor, no path
        process = started(learner, stdout=screen, stderr=screen)
    seen = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            seen += chunk
    os.close(ours)
    assert process.wait(timeout=30) == 1
    chatter, _, verdict = seen.decode().partition("Lab 01")
    lines = chatter.split("\r")
    assert "running work/lab.py  0 s" in lines
    assert "running work/lab.py  1 s" in lines
    assert chatter.splitlines()[-1].removeprefix("\x1b[1m") == ""
    assert "\x1b[31m✗" in verdict


def test_a_second_run_at_the_same_time(learner: Any) -> None:
    """The second is told to wait and judges nothing; the first goes on."""
    learner.writes(SLEEPS + "time.sleep(1.5)\n")
    first = started(learner, stdout=subprocess.PIPE)
    second = learner.types("pytest", "labs/01")
    assert second.code == 6
    assert "another run is on its way" in second.out
    out, _ = first.communicate(timeout=30)
    assert "work/lab.py ran in" in out
