"""The stage, known by its command only: is one running, what does it give a client, start one."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagemaker_labs.problem import Card, Problem

COMMAND_VARIABLE = "STAGEMAKER_STAGE_COMMAND"
INSTALL = 'pip install "stagemaker[stage,labs]"'
SERVER_NEEDS = ("stagemaker", "ministack", "uvicorn")
"""Packages without which the server cannot start here: the client's own wheel brings only the first."""

NO_STAGE = 3
"""Exit code of `env` when no stage runs on the state folder."""

ANSWER_LIMIT = 30.0
START_LIMIT = 90.0
"""Seconds that `env` and `up` may take; a cold `up` on a slow machine compiles its byte code first."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a running stage gives a client. `variables` holds all but the STAGEMAKER_ ones, as a process wants them.

    `backing` says where the account's S3, IAM and the like are: `embedded` in the stage, or `localstack`.
    """

    variables: Mapping[str, str]
    account_id: str
    role_arn: str
    stage_id: str
    backing: str = "embedded"

    @property
    def region(self) -> str:
        """The region that clients use."""
        return self.variables["AWS_REGION"]

    @property
    def endpoint(self) -> str:
        """The address of the stage."""
        return self.variables["AWS_ENDPOINT_URL"]


def command() -> list[str]:
    """The words that start the stage's command, in this environment or in the one that the user names.

    Raises Problem when what the user names is no command line.
    """
    named = os.environ.get(COMMAND_VARIABLE)
    if not named:
        return [sys.executable, "-m", "stagemaker"]
    try:
        return shlex.split(named)
    except ValueError as error:
        raise Problem("the stage's command cannot be read", Card(f"{COMMAND_VARIABLE}={named}", str(error))) from error


def require() -> None:
    """Raise Problem, with the command that installs it, unless the stage's command can be started here."""
    if os.environ.get(COMMAND_VARIABLE):
        return
    missing = [name for name in SERVER_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(
            "the stage is not installed",
            Card(
                looked_at=f"the packages of {sys.executable}",
                found=f"no {', '.join(missing)}",
                expected="the stage beside the labs, or in an environment of its own",
                next=f"{INSTALL}, or set {COMMAND_VARIABLE} to the stage's command elsewhere",
            ),
        )


def environment(*, admin: bool = False, words: Sequence[str] = ()) -> Environment | None:
    """What the running stage gives the learner (or the administrator); None when none runs.

    `words` choose the stage where there may be several. Raises Problem when the command fails in another way or
    says something that cannot be used.
    """
    require()
    # With the proxy: clients with hard-wired AWS hosts must not leave the machine either.
    arguments = ["env", *words, "--json", "--proxy", *(["--admin"] if admin else [])]
    done = _call(arguments, ANSWER_LIMIT)
    if done.returncode == NO_STAGE:
        return None
    if done.returncode != 0:
        raise _broken(arguments, _last_lines(done.stderr) or f"exit code {done.returncode}")
    try:
        told = {str(name): str(value) for name, value in json.loads(done.stdout).items()}
        found = Environment(
            variables={name: value for name, value in told.items() if not name.startswith("STAGEMAKER_")},
            account_id=told["STAGEMAKER_ACCOUNT"],
            role_arn=told["STAGEMAKER_ROLE_ARN"],
            stage_id=told["STAGEMAKER_ID"],
            backing=told.get("STAGEMAKER_BACKING", "embedded"),
        )
        answering = is_answering(found)
    except (ValueError, AttributeError, KeyError) as error:
        raise _broken(arguments, f"an answer that cannot be used: {error!r}") from error
    return found if answering else None


def is_answering(found: Environment) -> bool:
    """Whether something listens at the stage's address: a killed stage leaves its address behind."""
    address = urllib.parse.urlsplit(found.endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=5):
            return True
    except OSError:
        return False


def start(words: Sequence[str] = (), *, limit: float = START_LIMIT) -> None:
    """Start a stage in the background and wait until it answers. Raises Problem with the command's own words."""
    require()
    command_line = " ".join(("stagemaker up", *words))
    done = _call(["up", *words], limit)
    if done.returncode != 0:
        raise Problem(
            "the stage could not be started",
            Card(
                looked_at=command_line,
                found=_last_lines(done.stderr) or _last_lines(done.stdout) or f"exit code {done.returncode}",
                expected="a stage that answers",
                next=f"{command_line} --port PORT takes another port; then the same command again",
            ),
        )


@dataclass(frozen=True, slots=True)
class _Done:
    returncode: int
    stdout: str
    stderr: str


def _call(arguments: Sequence[str], limit: float) -> _Done:
    """Run the stage's command to its end.

    Its output goes to files, since a server in the background that inherited a pipe would keep us waiting, and it
    has a session of its own, so that Ctrl-C here does not end a stage that is meant to stay.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            code = subprocess.run(
                [*command(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=limit,
                check=False,
                start_new_session=True,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise _broken(arguments, f"no end within {limit:.0f} s") from error
        except OSError as error:
            raise _broken(arguments, str(error)) from error
        out.seek(0)
        err.seek(0)
        return _Done(code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))


def _broken(arguments: Sequence[str], found: str) -> Problem:
    said = shlex.join([*command(), *arguments])
    return Problem(
        "the stage could not be asked",
        Card(looked_at=said, found=found, expected="the address and the keys of the stage", next="stagemaker status"),
    )


def _last_lines(text: str, count: int = 3) -> str:
    """What a command said last, without its own name in front."""
    return " ".join(line.strip() for line in text.strip().splitlines()[-count:]).removeprefix("stagemaker: ")
