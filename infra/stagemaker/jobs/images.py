"""Which program stands for an image, where no container engine runs.

AWS's own images are known by repository name and tag; their account and region differ by the place
and say nothing. A user's image is a folder below the images folder (`stagemaker serve --images DIR`):
`DIR/<repository>/train` (or `DIR/<repository>:<tag>/train`) is the program that the image would run, and
`serve` beside it the one that serves a model.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stagemaker.jobs.spec import MetricDefinition, Program
from stagemaker.jobs.tunable import TuningRules

_URI = re.compile(
    r"(?:(?P<registry>[A-Za-z0-9.\-]+(?::\d+)?)/)?(?P<repository>[a-z0-9][a-z0-9._/\-]*)(?::(?P<tag>[\w.\-]+))?"
)
_CANNOT_PULL = "Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
TAG_VARIABLE = "STAGEMAKER_IMAGE_TAG"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An algorithm of AWS's that this stage carries. `tags` are those of each of its image's repositories."""

    module: str
    tags: Mapping[str, tuple[str, ...]]
    metrics: tuple[MetricDefinition, ...]
    preload: tuple[str, ...] = ()
    """Modules that take long to import, for kept instances."""
    tuning: TuningRules | None = None
    """What may be searched in it; None when that is not known here."""


class ProcessImages:
    """The images that can run as local processes."""

    def __init__(self, algorithms: Iterable[Algorithm], folder: Path | None = None) -> None:
        self._algorithms: Mapping[str, Algorithm] = {
            repository: algorithm for algorithm in algorithms for repository in algorithm.tags
        }
        self._folder = folder

    def program(self, image: str, word: str = "train") -> Program:
        """What runs for `image`, to be given `word` as its argument: `train` or `serve`.

        Its `problem` says why nothing can; AWS too finds that out only later.
        """
        repository, tag = _parse(image)
        if algorithm := self._algorithms.get(repository):
            tags = algorithm.tags[repository]
            if emulated := _emulated_tag(tag, tags):
                command = (sys.executable, "-m", algorithm.module)
                return Program(command, {TAG_VARIABLE: emulated}, trusted=True, preload=algorithm.preload)
            return self._none(image, f"{repository} is known here with the tags {', '.join(tags)}")
        if self._folder is not None:
            for name in (f"{repository}:{tag}", repository):
                program = self._folder / name / word
                inside = program.resolve().is_relative_to(self._folder.resolve())
                if inside and program.is_file() and os.access(program, os.X_OK):
                    return Program((str(program),))
        return self._none(image, f"this stage runs {', '.join(sorted(self._algorithms))} and the programs of --images")

    def metric_definitions(self, image: str) -> tuple[MetricDefinition, ...] | None:
        """The service's own definitions for an algorithm of AWS's; None for any other image."""
        algorithm = self._algorithms.get(_parse(image)[0])
        return algorithm.metrics if algorithm else None

    def tuning_rules(self, image: str) -> TuningRules | None:
        """What may be tuned in an algorithm of AWS's; None for any other image."""
        algorithm = self._algorithms.get(_parse(image)[0])
        return algorithm.tuning if algorithm else None

    @staticmethod
    def _none(image: str, hint: str) -> Program:
        return Program((), problem=f"{_CANNOT_PULL} (Stagemaker: no program for {image}; {hint}.)")


def _parse(image: str) -> tuple[str, str]:
    """Repository and tag; what is not an image address is a repository that nobody has."""
    match = _URI.fullmatch(image)
    return (match["repository"], match["tag"] or "latest") if match else (image, "latest")


def _emulated_tag(tag: str, tags: tuple[str, ...]) -> str | None:
    """The known tag that `tag` means: the SDK adds the processor and the Python to some of them."""
    if tag in tags:
        return tag
    bare = re.sub(r"-(cpu|gpu)-py\d+$", "", tag)
    return bare if bare in tags else None
