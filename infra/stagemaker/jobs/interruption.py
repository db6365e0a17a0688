"""Spot capacity that is taken away when somebody wants to see what happens then."""

from __future__ import annotations

import re
from pathlib import Path

from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.spec import SpecError, TrainingSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


class InterruptionError(Exception):
    """There is nothing to interrupt. The message is for the person at the terminal."""


def interrupt(jobs: Path, region: str, name: str) -> None:
    """Have the runner of a spot job end its containers and begin anew. Raises InterruptionError."""
    directory = JobDirectory(jobs / region / name)
    if not (_NAME.fullmatch(name) and _NAME.fullmatch(region)) or not directory.runner_lives():
        raise InterruptionError(f"the training job {name} is not running in {region}")
    try:
        spot = TrainingSpec.load(directory.spec).spot
    except SpecError as error:
        raise InterruptionError(f"what the training job {name} is to do cannot be read: {error}") from error
    if not spot:
        raise InterruptionError(f"the training job {name} does not run on spot capacity (EnableManagedSpotTraining)")
    directory.interrupt_request.touch()
