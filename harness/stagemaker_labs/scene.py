"""A lab's `scene.py`: `set(account)`, `strike(account)` or both, played as administrator.

From a test or a shell: `python -m stagemaker_labs.scene LAB set|strike`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from stagemaker_labs import course, render, targets, workspace
from stagemaker_labs.checking import Account
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.stage import Environment
from stagemaker_labs.targets import Opened, Target
from stagemaker_labs.verdict import COULD_NOT_CHECK_EXIT
from stagemaker_labs.workspace import Workspace

SET, STRIKE = "set", "strike"
TRACE_FILE = "scene-traceback.txt"


def administrator(target: Target) -> Environment:
    """The administrator's environment of the running stage. Raises Problem when it cannot be had."""
    found = targets.environment(target, admin=True)
    if found is None:
        card = Card(target.said("stagemaker env --admin"), "no stage", next=target.said("stagemaker up"))
        raise Problem("the stage does not answer", card)
    return found


def play(work: Workspace, opened: Opened, part: str) -> bool:
    """Play `part` (`set` or `strike`) of the lab's scene. False when the lab has no scene or the scene no such part.

    In a scene, `account.client` has the administrator's key. Raises Problem when the scene raises.
    """
    if not work.lab.scene.is_file():
        return False
    function = _load(work.lab, part)
    if function is None:
        return False
    administers = administrator(opened.target)
    account = Account(work, administers, work.lab_variables(opened), lambda: administers)
    try:
        with targets.variables_of(administers):
            function(account)
    except Problem:
        raise
    except Exception as error:
        trace = _keep_trace(work)
        raise Problem(
            "the lab's scene could not be set" if part == SET else "the lab's scene could not be struck",
            Card(
                looked_at=f"{work.lab.scene.name} of lab {work.lab.number}, `{part}`",
                found=f"{type(error).__name__}: {error}",
                expected="what the lab needs beforehand" if part == SET else "nothing left of the lab",
                likely=f"the full traceback is in {trace}",
                next="stagemaker status",
            ),
        ) from error
    finally:
        account.close()
    return True


def _load(lab: Lab, part: str) -> Callable[[Account], object] | None:
    spec = importlib.util.spec_from_file_location(f"stagemaker_scene_{lab.number}", lab.scene)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        parts: dict[str, Callable[[Account], object]] = {
            name: getattr(module, name) for name in (SET, STRIKE) if hasattr(module, name)
        }
        if not parts:
            raise AttributeError(f"no function `{SET}` and none `{STRIKE}`")
    except Exception as error:
        raise Problem(
            f"the scene of lab {lab.number} cannot be read",
            Card(str(lab.scene), f"{type(error).__name__}: {error}", f"a function `{part}(account)`"),
        ) from error
    return parts.get(part)


def _keep_trace(work: Workspace) -> Path:
    work.hidden.mkdir(parents=True, exist_ok=True)
    file = work.hidden / TRACE_FILE
    file.write_text(traceback.format_exc(), encoding="utf-8")
    return file


def main(words: Sequence[str] | None = None) -> int:
    """Play one part of a lab's scene on the running stage, or on one that is started for it."""
    parser = argparse.ArgumentParser(prog="python -m stagemaker_labs.scene", description=main.__doc__)
    parser.add_argument("lab")
    parser.add_argument("part", choices=(SET, STRIKE))
    told = parser.parse_args(words)
    try:
        work = workspace.of_lab(course.resolve(told.lab))
        play(work, targets.open_target(Target.LOCAL, starting=lambda: None), told.part)
    except Problem as problem:
        render.show_problem(problem)
        return COULD_NOT_CHECK_EXIT
    return 0


if __name__ == "__main__":
    sys.exit(main())
