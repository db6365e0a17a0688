"""What a training job is to do, as the server tells the runner."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stagemaker.contract.training import ChannelConfig

SCRIPT_MODE = "sagemaker_program"
"""The hyperparameter with which an image of AWS's runs a program of the user's."""


@dataclass(frozen=True, slots=True)
class S3Uri:
    """A bucket and a key or key prefix (which may be empty)."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """From `s3://bucket/key`. Raises ValueError for anything else."""
        scheme, separator, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not separator or not bucket:
            raise ValueError(f"not an S3 URI: {text!r}")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def join(self, *parts: str) -> S3Uri:
        """This prefix with `parts` below it."""
        return S3Uri(self.bucket, "/".join([*([self.key.rstrip("/")] if self.key.strip("/") else []), *parts]))


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric that is read from the log: the first group of `regex` is its value."""

    name: str
    regex: str


@dataclass(frozen=True, slots=True)
class Program:
    """What stands for an image: the command before `train` or `serve`, and the image's own variables.

    `trusted` marks AWS's own algorithms, which may say that a failure is the customer's mistake.
    `problem` is set instead of a command when the image cannot be had.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    problem: str | None = None
    preload: tuple[str, ...] = ()
    """Modules that a kept instance imports ahead for `python -m MODULE`; see `warm_process`."""

    @property
    def module(self) -> str | None:
        """The module that the command runs with this Python, if that is all that it is."""
        match self.command:
            case (sys.executable, "-m", str(module)):
                return module
        return None


@dataclass(frozen=True, slots=True)
class ChannelSource:
    """Where a channel's files come from and how the container is told of them."""

    config: ChannelConfig
    source: S3Uri
    data_type: str = "S3Prefix"
    """S3DataType: what lies at `source`, data or a list of data."""
    compression: str = "None"
    shuffle_seed: int | None = None
    attributes: tuple[str, ...] = ()
    """AttributeNames of an augmented manifest, in the order in which they are streamed."""

    @property
    def is_piped(self) -> bool:
        """Whether the channel is a stream and not a folder."""
        return self.config.input_mode == "Pipe"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where checkpoints are kept, and the folder that the program knows them by."""

    target: S3Uri
    local_path: str


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """All that a runner needs to know of a training job. Durations in seconds."""

    name: str
    arn: str
    region: str
    program: Program
    hyperparameters: Mapping[str, str]
    channels: tuple[ChannelSource, ...]
    output: S3Uri
    environment: Mapping[str, str]
    metrics: tuple[MetricDefinition, ...]
    instance_type: str
    instance_count: int
    memory_bytes: int | None
    """What an instance of the type has; None for a type that is not in the table."""
    volume_bytes: int
    """What the job may keep on each host's volume."""
    arguments: tuple[str, ...]
    """What follows the program: the word `train`, or ContainerArguments."""
    output_compression: str
    checkpoints: Checkpoints | None
    spot: bool
    retries: int
    """How often the job begins again after a fault of the stage's."""
    max_wait: int | None
    """Seconds from the job's creation to its end at most, for spot jobs."""
    created: float
    namespaced: bool
    """Whether the container has a mount namespace of its own, with `/opt/ml` in its place."""
    isolated: bool
    """Whether it is cut off from the network; only with a namespace."""
    max_runtime: int
    stop_grace: float
    threads: int
    stage_file: Path
    """Names the endpoint of the running stage; read again after the stage was restarted."""
    warm_pool: Path | None = None
    """The folder that the job's warm pool keeps from job to job; None without a warm pool."""

    @property
    def preload(self) -> tuple[str, ...]:
        """What a kept instance may import ahead for this job.

        Libraries read variables when they are loaded, so a request with variables of its own needs a fresh
        process; a script of the user's is one anyway.
        """
        return () if self.environment or SCRIPT_MODE in self.hyperparameters else self.program.preload

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def load(cls, file: Path) -> TrainingSpec:
        """Read what `save` wrote."""
        document: dict[str, Any] = json.loads(file.read_text())
        return cls(
            **{
                **document,
                "program": _program(document["program"]),
                "channels": tuple(
                    ChannelSource(
                        **{
                            **entry,
                            "config": ChannelConfig(**entry["config"]),
                            "source": S3Uri(**entry["source"]),
                            "attributes": tuple(entry["attributes"]),
                        }
                    )
                    for entry in document["channels"]
                ),
                "arguments": tuple(document["arguments"]),
                "checkpoints": _checkpoints(document["checkpoints"]),
                "output": S3Uri(**document["output"]),
                "metrics": tuple(MetricDefinition(**entry) for entry in document["metrics"]),
                "stage_file": Path(document["stage_file"]),
                "warm_pool": Path(document["warm_pool"]) if document.get("warm_pool") else None,
            }
        )


def _program(document: dict[str, Any]) -> Program:
    lists = {"command": tuple(document["command"]), "preload": tuple(document.get("preload", ()))}
    return Program(**{**document, **lists})


def _checkpoints(document: dict[str, Any] | None) -> Checkpoints | None:
    return Checkpoints(S3Uri(**document["target"]), document["local_path"]) if document else None
