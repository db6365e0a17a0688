"""Where things lie for a container: the tree below `/opt/ml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OPT_ML = "/opt/ml"
BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
"""Stands in for `/opt/ml` where no mount can be made; AWS's own training toolkit honours it too."""

_OPT_ML_PATH = re.compile(rf"(?<![\w./-]){OPT_ML}(?![\w.-])")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one container below `base`, which is `/opt/ml` inside a real container."""

    base: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Layout:
        """The layout that a program inside the container sees."""
        return cls(Path(environment.get(BASE_DIR_VARIABLE) or OPT_ML))

    def located(self, text: str) -> str:
        """`text` with the path `/opt/ml` as the place where the tree really lies."""
        return _OPT_ML_PATH.sub(lambda _: str(self.base), text)

    def holds(self, path: Path) -> bool:
        """Whether `path` lies in the tree, and no link on its way leads out: a container may put links anywhere."""
        # Not Path.resolve, which raises for links that go round in a circle.
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.base))

    @property
    def config(self) -> Path:
        """`input/config`: the JSON files that tell the container what it is to do."""
        return self.base / "input" / "config"

    @property
    def hyperparameters(self) -> Path:
        """A flat JSON object; every value is a string, numbers too."""
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        """A JSON object keyed by channel name."""
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        """The hosts of the job and which one this is."""
        return self.config / "resourceconfig.json"

    @property
    def checkpoint_config(self) -> Path:
        """Present only when the job has a CheckpointConfig."""
        return self.config / "checkpointconfig.json"

    @property
    def data(self) -> Path:
        """`input/data`: one folder a channel (File mode)."""
        return self.base / "input" / "data"

    def channel(self, name: str) -> Path:
        """The folder that holds a channel's files in File mode."""
        return self.data / name

    @property
    def model(self) -> Path:
        """What the container leaves here becomes `model.tar.gz`."""
        return self.base / "model"

    @property
    def output(self) -> Path:
        """`output`: the parent of `data`, `failure` and `metrics`."""
        return self.base / "output"

    @property
    def output_data(self) -> Path:
        """What the container leaves here becomes `output.tar.gz`."""
        return self.output / "data"

    @property
    def failure(self) -> Path:
        """Text that a failing container leaves; its first 1,024 characters reach FailureReason."""
        return self.output / "failure"

    @property
    def failure_class(self) -> Path:
        """Side file of AWS's own algorithms: whose fault a failure is (see `failure`)."""
        return self.output / ".failure-class"

    @property
    def checkpoints(self) -> Path:
        """The default LocalPath of a CheckpointConfig."""
        return self.base / "checkpoints"

    @property
    def warm_pool_cache(self) -> Path:
        """What a job leaves here is there for the next job of its warm pool."""
        return self.base / "sagemaker" / "warmpoolcache"

    @property
    def code(self) -> Path:
        """Where the script-mode toolkit unpacks the user's code."""
        return self.base / "code"

    def make(self) -> None:
        """Create the folders that exist before a container starts."""
        for folder in (self.config, self.data, self.model, self.output_data):
            folder.mkdir(parents=True, exist_ok=True)
