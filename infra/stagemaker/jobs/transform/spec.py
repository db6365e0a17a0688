"""What a transform job is to do, as the server tells the runner."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from stagemaker.jobs.serving.spec import InstanceSpec
from stagemaker.jobs.spec import S3Uri

MEGABYTE = 1024 * 1024


class Split(Enum):
    """How an object becomes records (SplitType)."""

    NONE = "None"
    LINE = "Line"
    RECORD_IO = "RecordIO"
    TF_RECORD = "TFRecord"


class Strategy(Enum):
    """How many records make a request (BatchStrategy)."""

    SINGLE = "SingleRecord"
    MULTI = "MultiRecord"

    @property
    def in_container(self) -> str:
        """Its name in the container's variables, in /execution-parameters and in the data log."""
        return "SINGLE_RECORD" if self is Strategy.SINGLE else "MULTI_RECORD"


@dataclass(frozen=True, slots=True)
class Input:
    """TransformInput. `content_type` may be empty: then the model is told none."""

    source: S3Uri
    data_type: str
    content_type: str
    gzip: bool
    split: Split


@dataclass(frozen=True, slots=True)
class Output:
    """TransformOutput. `accept` may be empty."""

    target: S3Uri
    accept: str
    by_line: bool
    """AssembleWith Line."""


@dataclass(frozen=True, slots=True)
class Processing:
    """DataProcessing, as the request has it."""

    input_filter: str = "$"
    output_filter: str = "$"
    join: bool = False
    """JoinSource Input."""

    @property
    def is_needed(self) -> bool:
        """Whether records are to be looked into at all."""
        return self != Processing()


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """All that a runner needs to know of a transform job. Durations in seconds.

    `strategy`, `max_payload_mb` and `max_concurrent` are None where the request leaves them to the container.
    """

    name: str
    arn: str
    region: str
    input: Input
    output: Output
    processing: Processing
    strategy: Strategy | None
    max_payload_mb: int | None
    """0 is no limit: the object is sent whole, in chunks."""
    max_concurrent: int | None
    invocation_timeout: int
    invocation_retries: int
    capture: S3Uri | None
    """Where data capture writes what was transformed."""
    instance_count: int
    instance: InstanceSpec
    """What each instance runs."""
    stop_grace: float
    """Between SIGTERM and SIGKILL for the containers."""

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.write_text(json.dumps({**asdict(self), "instance": self.instance.to_json()}, default=_plain))

    @classmethod
    def load(cls, file: Path) -> TransformSpec:
        """Read what `save` wrote."""
        document: dict[str, Any] = json.loads(file.read_text())
        given, output = document["input"], document["output"]
        return cls(
            **{
                **document,
                "input": Input(**{**given, "source": S3Uri(**given["source"]), "split": Split(given["split"])}),
                "output": Output(**{**output, "target": S3Uri(**output["target"])}),
                "processing": Processing(**document["processing"]),
                "strategy": Strategy(document["strategy"]) if document["strategy"] else None,
                "capture": S3Uri(**document["capture"]) if document["capture"] else None,
                "instance": InstanceSpec.from_json(document["instance"]),
            }
        )


def _plain(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)
