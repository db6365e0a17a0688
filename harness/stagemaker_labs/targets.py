"""Where the work is done and judged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stagemaker_labs import stage
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.stage import Environment


class Target(StrEnum):
    """The targets of the design. This version serves LOCAL and LOCALSTACK."""

    LOCAL = "local"
    LOCALSTACK = "localstack"
    AWS = "aws"

    @property
    def words(self) -> tuple[str, ...]:
        """What chooses this target in a command; the default one needs nothing."""
        return () if self is Target.LOCAL else ("--target", self.value)

    def said(self, command: str) -> str:
        """`command` for this target, as a person would type it."""
        return " ".join((command, *self.words))


BACKINGS = {Target.LOCAL: "embedded", Target.LOCALSTACK: "localstack"}
"""Where a stage has the account's S3, IAM and the like. A target that is not here is not served."""

START_LIMITS = {Target.LOCAL: stage.START_LIMIT, Target.LOCALSTACK: 900.0}
"""Seconds that starting the target may take: the first time Compose pulls an image of a gigabyte."""


@contextlib.contextmanager
def variables_of(environment: Environment) -> Iterator[None]:
    """Give this process the target's AWS variables for a while, and none of the shell's.

    A check or a scene that makes a client by itself must not reach a real account with keys of the shell's.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    _replace_aws_variables(environment.variables)
    try:
        yield
    finally:
        _replace_aws_variables(own)


@dataclass(frozen=True, slots=True)
class Opened:
    """A target that can be asked. `started`: its stage was started for this."""

    target: Target
    environment: Environment
    started: bool


def resolve(name: str) -> Target:
    """The target called `name`. Raises Problem when there is none, or when this version does not serve it."""
    try:
        target = Target(name)
    except ValueError:
        known = ", ".join(Target)
        raise Problem("no such target", Card("--target", name, f"one of {known}")) from None
    if target not in BACKINGS:
        raise Problem(
            f"target {target} is not served yet",
            Card(
                looked_at=f"--target {target}",
                found=f"this version judges on {' and '.join(BACKINGS)}",
                expected=f"--target {' or '.join(BACKINGS)}",
                next="leave out --target",
            ),
        )
    return target


def open_target(target: Target, *, starting: Callable[[], None]) -> Opened:
    """The environment of `target`. Its stage is started when none runs, after `starting` was called.

    Raises Problem when it cannot be had.
    """
    found = environment(target)
    if found is not None:
        return Opened(target, found, started=False)
    starting()
    stage.start(target.words, limit=START_LIMITS[target])
    found = environment(target)
    if found is None:
        raise Problem(
            "the stage does not answer",
            Card(
                looked_at="stagemaker env",
                found="no stage, though `stagemaker up` said that it started one",
                expected="the address and the keys of the stage",
                next="stagemaker serve shows what it says in the foreground",
            ),
        )
    return Opened(target, found, started=True)


def environment(target: Target, *, admin: bool = False) -> Environment | None:
    """What the running stage of `target` gives the learner (or the administrator); None when none runs.

    Raises Problem when the stage that runs is another target's: what it shows would be called by the wrong name.
    """
    found = stage.environment(admin=admin, words=target.words)
    if found is not None and found.backing != BACKINGS[target]:
        raise Problem(
            "the stage that runs is another target's",
            Card(
                looked_at=target.said("stagemaker env"),
                found=f"a stage whose backing is {found.backing}",
                expected=f"{BACKINGS[target]}, for target {target}",
                likely="STAGEMAKER_STATE names the folder of that stage",
                next="unset STAGEMAKER_STATE: each target has a folder of its own",
            ),
        )
    return found


def _replace_aws_variables(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
