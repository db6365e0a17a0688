"""The built wheel in an empty environment outside the clone, and the README's examples as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel."""

    folder: Path

    def program(self, name: str) -> str:
        """A command of the environment."""
        return str(self.folder / "bin" / name)

    def run(
        self, *words: str, cwd: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command with the environment's own commands first on the path."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "PYTEST"))}
        environment = {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STAGEMAKER_STATE": str(self.folder / "state"),
            **(variables or {}),
        }
        return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel and install it with the pinned versions; nothing of the clone is on its path."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    wheel = next(folder.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    constraints = ROOT / "constraints" / "dev.txt"
    packages = [f"stagemaker[stage,labs] @ {wheel.as_uri()}", "awscli"]
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, *pip, "install", "--constraint", constraints, *packages], check=True)
    return Installed(folder / "env")


def block(language: str) -> str:
    """The README's first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_readmes_pytest_example(installed: Installed, tmp_path: Path) -> None:
    """The fixture gives a clean account, in a project that knows nothing else of Stagemaker."""
    (tmp_path / "test_pipeline.py").write_text(block("python"))
    done = installed.run(installed.program("python"), "-m", "pytest", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_readmes_command_example(installed: Installed, tmp_path: Path) -> None:
    """Every line of the shell example works as written."""
    done = installed.run("bash", "-euxc", block("sh"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status": "empty"' in done.stdout
    assert "Stage stopped" in done.stdout


def test_a_lab_outside_the_clone(installed: Installed, tmp_path: Path) -> None:
    """The wheel carries the course: start, work, check."""
    listed = installed.run("stagemaker", "map", cwd=tmp_path)
    assert "Built-in XGBoost" in listed.stdout, listed.stderr
    try:
        # Ports of its own: another stage may have the usual ones.
        up = installed.run("stagemaker", "up", "--port", "0", cwd=tmp_path)
        assert up.returncode == 0, up.stderr
        started = installed.run("stagemaker", "start", "03", "--quiet", cwd=tmp_path)
        assert started.returncode == 0, started.stdout + started.stderr
        work = next(tmp_path.rglob("lab.py"))
        failed = installed.run(installed.program("python"), "-m", "pytest", "labs/03", cwd=tmp_path)
        assert failed.returncode == 1, failed.stdout
        work.write_bytes((ROOT / "labs" / "03-builtin-xgboost" / "author" / "solution.py").read_bytes())
        passed = installed.run(installed.program("python"), "-m", "pytest", "labs/03", cwd=tmp_path)
        assert passed.returncode == 0, passed.stdout
    finally:
        installed.run("stagemaker", "down", cwd=tmp_path)
