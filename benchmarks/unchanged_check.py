"""`pytest labs/03` when nothing changed, beside a pytest run of one empty test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Comparison, compare, seconds

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "labs" / "03-builtin-xgboost"
PYTEST = [sys.executable, "-m", "pytest"]


def run() -> Comparison:
    """The comparison; its baseline is what pytest itself takes."""
    with tempfile.TemporaryDirectory() as folder:
        work, empty = Path(folder) / "work", Path(folder) / "test_empty.py"
        work.mkdir()
        (work / "lab.py").write_bytes((LAB / "author" / "solution.py").read_bytes())
        empty.write_text("def test_nothing():\n    pass\n")
        state = str(Path(folder) / "state")
        environment = {**os.environ, "STAGEMAKER_STATE": state, "STAGEMAKER_WORK": str(work)}
        stage = [sys.executable, "-m", "stagemaker"]
        subprocess.run([*stage, "up", "--port", "0"], env=environment, check=True, capture_output=True)

        def check() -> None:
            subprocess.run([*PYTEST, "labs/03"], cwd=ROOT, env=environment, check=True, capture_output=True)

        def nothing() -> None:
            subprocess.run([*PYTEST, str(empty)], cwd=folder, check=True, capture_output=True)

        try:
            # The pair that warms up runs the lab's file; from then on nothing has changed.
            return compare(
                "pytest labs/03 with nothing changed, beside pytest of one empty test",
                lambda: seconds(check),
                lambda: seconds(nothing),
            )
        finally:
            subprocess.run([*stage, "down"], env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    print(run().row())
