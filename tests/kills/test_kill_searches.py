"""A search whose server is killed again and again, at random moments.

The seed is printed; `STAGEMAKER_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import searches

from stagemaker.testing import start_stage

KILLS = int(os.environ.get("STAGEMAKER_KILLS", "50")) // 5
IMAGES = Path(__file__).parents[1] / "stage" / "images"
JOBS = 16


def test_search_outlives_kills_at_random_moments(tmp_path: Path) -> None:
    """Sixteen jobs in the end, whenever the server died: each number once, each value once, the best of them."""
    seed = int(os.environ.get("STAGEMAKER_SEED") or time.time_ns() % 2**32)
    print(f"STAGEMAKER_SEED={seed}")
    generator = random.Random(seed)
    stage = start_stage(tmp_path / "state", images=IMAGES)
    try:
        searches.create(stage, JOBS)
        for _ in range(KILLS):
            time.sleep(generator.uniform(0.0, 0.6))
            stage.process.kill()
            stage.process.wait()
            stage = start_stage(tmp_path / "state", images=IMAGES)
        searches.check(stage, JOBS, time.monotonic() + 300)
    finally:
        stage.stop()
