"""The pytest plugin's door. Every pytest run of this environment passes through it, so it imports next to nothing.

It stays shut unless an argument names a lab: no option is added, no hook is set, nothing else is imported.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LOOKS_LIKE_A_LAB = re.compile(r"(.*[/\\])?labs[/\\][^/\\]+[/\\]?")
"""A bare number does not: it may be the value of another plugin's option."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Let the judge in when a lab is named."""
    config = pluginmanager.get_plugin("pytestconfig")
    if not isinstance(config, pytest.Config):
        return
    given, here = config.invocation_params.args, config.invocation_params.dir
    if any(names_a_lab(argument, here) for argument in given) or _holds_lab(str(here)) or holds_labs(str(here)):
        # rich, tomllib and the rest: 0.1 s that only a lab's run pays.
        from stagemaker_labs import judge

        judge.enter(parser, pluginmanager, config)


def names_a_lab(argument: str, here: Path) -> bool:
    """Whether `argument` may name a lab: a lab's folder or its checks.py, or what looks like one and is no path.

    The folder of all labs counts too: the judge says then that one is to be named.
    """
    if argument.startswith("-"):
        return False
    path = os.path.join(here, argument.partition("::")[0])  # noqa: PTH118  pathlib would cost every run of pytest
    if os.path.exists(path):  # noqa: PTH110  as above
        folder = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120  as above
        is_checks = folder == path or os.path.basename(path) == "checks.py"  # noqa: PTH119  as above
        return is_checks and (_holds_lab(folder) or holds_labs(path))
    return LOOKS_LIKE_A_LAB.fullmatch(argument.partition("::")[0]) is not None


def holds_labs(folder: str) -> bool:
    """Whether `folder` is a course's folder `labs`. By its name first: every run of pytest asks for the current one."""
    if os.path.basename(os.path.normpath(folder)) != "labs" or not os.path.isdir(folder):  # noqa: PTH112, PTH119  as above
        return False
    with os.scandir(folder) as entries:
        return any(_holds_lab(entry.path) for entry in entries)


def _holds_lab(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "lab.toml"))  # noqa: PTH113, PTH118  as above
