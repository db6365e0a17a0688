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
    """The targets of the design. Only LOCAL is served by this version."""

    LOCAL = "local"
    LOCALSTACK = "localstack"
    AWS = "aws"


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
    if target is not Target.LOCAL:
        raise Problem(
            f"target {target} is not served yet",
            Card(
                looked_at=f"--target {target}",
                found="this version judges on the local stage only",
                expected="--target local",
                next="leave out --target",
            ),
        )
    return target


def open_target(target: Target, *, starting: Callable[[], None]) -> Opened:
    """The environment of `target`. Its stage is started when none runs, after `starting` was called.

    Raises Problem when it cannot be had.
    """
    found = stage.environment()
    if found is not None:
        return Opened(target, found, started=False)
    starting()
    stage.start()
    found = stage.environment()
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


def _replace_aws_variables(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
