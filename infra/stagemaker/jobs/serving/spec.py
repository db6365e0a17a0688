"""What one instance of a model runs: one to fifteen containers, as the server tells a runner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagemaker.jobs.spec import Program, S3Uri, read_program

DEFAULT_STARTUP_SECONDS = 240.0
"""AWS waits about four minutes for a healthy answer unless ContainerStartupHealthCheckTimeoutInSeconds says."""
DEFAULT_DOWNLOAD_SECONDS = 3600.0
"""The longest that ModelDataDownloadTimeoutInSeconds may be; the default is not documented."""


@dataclass(frozen=True, slots=True)
class ModelData:
    """Where a container's `/opt/ml/model` comes from: an archive, one file, or all files below a prefix."""

    source: S3Uri
    is_prefix: bool = False
    is_archive: bool = True
    """Whether the object is a tar.gz to be unpacked."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container. `name` is `primary`, `container-1` ... or its ContainerHostname."""

    name: str
    program: Program
    environment: Mapping[str, str]
    """The image's, the model's and the caller's own variables; the service's come on top."""
    data: ModelData | None = None


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """All that is needed to run one instance of a model. Durations in seconds, sizes in bytes."""

    region: str
    containers: tuple[ContainerSpec, ...]
    stage_file: Path
    volume_bytes: int
    """What the model data of all containers may take, unpacked."""
    namespaced: bool
    """Whether containers have mount namespaces of their own, with `/opt/ml` in its place."""
    isolated: bool = False
    """Whether they are cut off from the network; only with a namespace."""
    threads: int = 1
    memory_bytes: int | None = None
    """What an instance of the type has; None for a type that is not in the table."""
    startup_seconds: float = DEFAULT_STARTUP_SECONDS
    download_seconds: float = DEFAULT_DOWNLOAD_SECONDS

    def to_json(self) -> str:
        """As a JSON object."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> InstanceSpec:
        """Read what `to_json` wrote."""
        document: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **document,
                "containers": tuple(_container(entry) for entry in document["containers"]),
                "stage_file": Path(document["stage_file"]),
            }
        )


def _container(entry: dict[str, Any]) -> ContainerSpec:
    data = entry["data"]
    return ContainerSpec(
        **{
            **entry,
            "program": read_program(entry["program"]),
            "data": ModelData(**{**data, "source": S3Uri(**data["source"])}) if data else None,
        }
    )
