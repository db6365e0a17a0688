"""requirements.txt beside the user's code: AWS's images install it from the internet, here it must be there already."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stagemaker.algorithms.toolkit.errors import ClientError

LOG = logging.getLogger(__name__)

FILE = "requirements.txt"
_INCLUDE, _CONSTRAIN = ("-r", "--requirement"), ("-c", "--constraint")
_DEEPEST = 10
"""Files that name one another; one that names itself has no end."""


def check_requirements(folder: Path) -> None:
    """Raise ClientError, which names each requirement that is not met by what is installed.

    Options of pip's, such as --index-url, only say where to look: they have no effect, as nothing is fetched.
    """
    file = folder / FILE
    if not file.is_file():
        return
    problems = [problem for line, asks in _lines(file, folder, _DEEPEST) if (problem := _problem(line, asks=asks))]
    if problems:
        raise ClientError(
            f"{FILE} is not met, and nothing is installed from the internet here: {'; '.join(problems)}. "
            "Install it beside the stage."
        )
    LOG.info("%s is met by what is installed; nothing was installed", FILE)


def _lines(file: Path, folder: Path, depth: int, *, asks: bool = True) -> Iterator[tuple[str, bool]]:
    """The requirements of `file` and of the files that it names, and whether each asks for its package.

    A constraint does not: it only says which version counts if the package is there. Raises ClientError.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{file.relative_to(folder)} cannot be read: {error}") from error
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.partition(" #")[0].strip()
        if not stripped or stripped.startswith("#"):
            continue
        option, rest = _option(stripped)
        if option in _INCLUDE or option in _CONSTRAIN:
            named = file.parent / rest
            if depth == 0 or not named.resolve().is_relative_to(folder.resolve()):
                raise ClientError(f"{FILE} names {rest}, which is not in the code that was submitted.")
            yield from _lines(named, folder, depth - 1, asks=asks and option in _INCLUDE)
        elif option in {"-e", "--editable"} or not option:
            yield rest, asks
        else:
            LOG.warning("%s: %s has no effect here", FILE, option)


def _option(line: str) -> tuple[str, str]:
    """An option of pip's and its value, as in `-r file`, `-rfile` or `--requirement=file`; no option for any other."""
    if line.startswith("--"):
        option, _, rest = line.replace("=", " ", 1).partition(" ")
        return option, rest.strip()
    return (line[:2], line[2:].strip()) if line.startswith("-") else ("", line)


def _problem(line: str, *, asks: bool) -> str | None:
    """Why what is installed does not meet a requirement; None when it does, or when its marker leaves it out."""
    from packaging.requirements import InvalidRequirement, Requirement  # 15 ms, for jobs that have the file

    try:
        requirement = Requirement(line.partition(" --")[0])  # hashes and the like follow
    except InvalidRequirement:
        return f"{line} is no name and version of a package"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    if requirement.url is not None:
        return f"{requirement.name} is to come from {requirement.url}"
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing" if asks else None
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"{requirement.name}{requirement.specifier} is asked for, and {installed} is installed"
