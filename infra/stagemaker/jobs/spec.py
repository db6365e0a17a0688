"""What a training job is to do, as the server tells the runner."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from stagemaker.contract.training import ChannelConfig

SCRIPT_MODE = "sagemaker_program"
"""The hyperparameter with which an image of AWS's runs a program of the user's."""

_Kind = TypeVar("_Kind")


class SpecError(Exception):
    """A `spec.json` that cannot be read: damaged, or of a version with which this one has too little in common."""


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
    """Modules that a kept instance imports ahead for `python -m MODULE`; see `warm/process.py`."""

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
class FileSystemChannel:
    """A channel whose files lie in a folder of this machine, which the container sees in place."""

    config: ChannelConfig
    folder: Path
    writable: bool


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where checkpoints are kept, and the folder that the program knows them by."""

    target: S3Uri
    local_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """All that a runner needs to know of a training job. Durations in seconds.

    A job outlives the server that made it, also an upgrade: a member that came later has a default, with which
    a job of an older version goes on as it began.
    """

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
    memory_bytes: int | None = None
    """What an instance of the type has; None for a type that is not in the table."""
    volume_bytes: int
    """What the job may keep on each host's volume."""
    arguments: tuple[str, ...] = ("train",)
    """What follows the program: the word `train`, or ContainerArguments."""
    output_compression: str = "GZIP"
    kms_key: str | None = None
    """With which S3 is to encrypt the artifacts."""
    checkpoints: Checkpoints | None = None
    file_systems: tuple[FileSystemChannel, ...] = ()
    """Only with a namespace."""
    spot: bool = False
    retries: int = 0
    """How often the job begins again after a fault of the stage's."""
    max_wait: int | None = None
    """Seconds from the job's creation to its end at most, for spot jobs."""
    created: float
    namespaced: bool = False
    """Whether the container has a mount namespace of its own, with `/opt/ml` in its place."""
    isolated: bool = False
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
        """Read what `save` wrote, also that of an older version. Raises SpecError."""
        try:
            document = json.loads(file.read_text())
            return _made(
                cls,
                document,
                program=read_program(document["program"]),
                channels=tuple(map(_channel, document["channels"])),
                arguments=tuple(document.get("arguments", ("train",))),
                checkpoints=_checkpoints(document.get("checkpoints")),
                file_systems=tuple(map(_file_system, document.get("file_systems", ()))),
                output=_made(S3Uri, document["output"]),
                metrics=tuple(_made(MetricDefinition, entry) for entry in document["metrics"]),
                stage_file=Path(document["stage_file"]),
                warm_pool=Path(document["warm_pool"]) if document.get("warm_pool") else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"{file}: {error!r}") from error


def _made(kind: type[_Kind], document: dict[str, Any], **read: Any) -> _Kind:
    """A `kind` of the members of `document` that it has, with those of `read` in their place.

    Raises TypeError when one without a default is missing.
    """
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # all of them are dataclasses
    return kind(**{name: value for name, value in document.items() if name in known} | read)


def _channel(document: dict[str, Any]) -> ChannelSource:
    return _made(
        ChannelSource,
        document,
        config=_made(ChannelConfig, document["config"]),
        source=_made(S3Uri, document["source"]),
        attributes=tuple(document.get("attributes", ())),
    )


def read_program(document: dict[str, Any]) -> Program:
    """From the JSON of one. Raises KeyError, TypeError."""
    return _made(Program, document, command=tuple(document["command"]), preload=tuple(document.get("preload", ())))


def _file_system(document: dict[str, Any]) -> FileSystemChannel:
    config, folder = _made(ChannelConfig, document["config"]), Path(document["folder"])
    return _made(FileSystemChannel, document, config=config, folder=folder)


def _checkpoints(document: dict[str, Any] | None) -> Checkpoints | None:
    return _made(Checkpoints, document, target=_made(S3Uri, document["target"])) if document else None
