"""From a model's document to what runs one instance of it, for an endpoint or for a transform job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from stagemaker.jobs import namespace
from stagemaker.jobs.serving.spec import (
    DEFAULT_DOWNLOAD_SECONDS,
    DEFAULT_STARTUP_SECONDS,
    ContainerSpec,
    InstanceSpec,
)
from stagemaker.jobs.spec import Program
from stagemaker.sagemaker.hosting.model_request import definitions, model_data, names
from stagemaker.sagemaker.instance_types import instance_types

_GIB = 1 << 30
DEFAULT_VOLUME_GB = 30
"""For the types whose size of volume the request does not say."""


class ServingImages(Protocol):
    """The images that this stage can run."""

    def program(self, image: str, word: str = "train") -> Program:
        """What runs for `image` with the word `serve`; a Program with a `problem` when there is none."""
        ...


def instance_spec(
    model: Mapping[str, Any],
    images: ServingImages,
    *,
    region: str,
    stage_file: Path,
    instance_type: str,
    variables: Mapping[str, str] | None = None,
    volume_gb: int = DEFAULT_VOLUME_GB,
    startup_seconds: float = DEFAULT_STARTUP_SECONDS,
    download_seconds: float = DEFAULT_DOWNLOAD_SECONDS,
    threads: int = 1,
) -> InstanceSpec:
    """One instance of `model` (its document). `variables` are the caller's own and win over the model's."""
    document = dict(model)
    known = instance_types().get(instance_type)
    return InstanceSpec(
        region=region,
        containers=tuple(
            ContainerSpec(
                name,
                images.program(each["Image"], "serve"),
                {**each.get("Environment", {}), **(variables or {})},
                model_data(each),
            )
            for name, each in zip(names(document), definitions(document), strict=True)
        ),
        stage_file=stage_file,
        volume_bytes=volume_gb * _GIB,
        namespaced=namespace.available(),
        isolated=document.get("EnableNetworkIsolation", False),
        threads=threads,
        memory_bytes=known.memory_bytes if known else None,
        startup_seconds=startup_seconds,
        download_seconds=download_seconds,
    )
