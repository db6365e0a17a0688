"""A search whose server is killed goes on where it was: no job is lost, none is repeated."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import searches

from stagemaker.jobs.directory import JobDirectory
from stagemaker.state import StateFolder
from stagemaker.testing import start_stage

IMAGES = Path(__file__).parent / "images"
JOBS = 8


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own. Whatever still runs on it is ended."""
    yield tmp_path / "state"
    if running := StateFolder(tmp_path / "state").running():
        os.kill(running["pid"], signal.SIGKILL)
    for lock in (tmp_path / "state" / "jobs").glob("*/*/runner.lock"):
        JobDirectory(lock.parent).kill_runner()


def test_killed_search_ends_with_the_jobs_it_was_asked_for(state: Path) -> None:
    """Killed at its start and on the way: eight jobs, eight values, a best job that is the best of them."""
    deadline = time.monotonic() + 180
    stage = start_stage(state, images=IMAGES)
    searches.create(stage, JOBS)
    for done_before_the_kill in (0, 3):
        while searches.completed(stage) < done_before_the_kill:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stage.process.kill()
        stage.process.wait()
        stage = start_stage(state, images=IMAGES)
    try:
        searches.check(stage, JOBS, deadline)
    finally:
        stage.stop()
