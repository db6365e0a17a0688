"""The JSON files under `/opt/ml/input/config` of a training container."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stagemaker.contract.layout import Layout

HOMOGENEOUS_CLUSTER = "homogeneousCluster"
"""The group name that SageMaker writes when the request names no instance groups."""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """One channel as `inputdataconfig.json` describes it. The S3 address is not part of it."""

    name: str
    content_type: str | None = None
    input_mode: str = "File"
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"

    def to_json(self) -> dict[str, str]:
        """The object under the channel's name; ContentType is absent when the request had none."""
        document = {
            "TrainingInputMode": self.input_mode,
            "S3DistributionType": self.distribution,
            "RecordWrapperType": self.record_wrapper,
        }
        return {"ContentType": self.content_type, **document} if self.content_type else document

    @classmethod
    def from_json(cls, name: str, document: Mapping[str, str]) -> ChannelConfig:
        """The inverse of `to_json`; members that are absent take SageMaker's defaults."""
        return cls(
            name=name,
            content_type=document.get("ContentType") or None,
            input_mode=document.get("TrainingInputMode", "File"),
            distribution=document.get("S3DistributionType", "FullyReplicated"),
            record_wrapper=document.get("RecordWrapperType", "None"),
        )


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """`resourceconfig.json`: the hosts (`algo-1` ...), sorted, and which one this is."""

    current_host: str
    hosts: tuple[str, ...]
    instance_type: str
    network_interface: str = "eth0"

    def to_json(self) -> dict[str, object]:
        """The document as observed in containers since 2023."""
        return {
            "current_host": self.current_host,
            "current_instance_type": self.instance_type,
            "current_group_name": HOMOGENEOUS_CLUSTER,
            "hosts": list(self.hosts),
            "instance_groups": [
                {
                    "instance_group_name": HOMOGENEOUS_CLUSTER,
                    "instance_type": self.instance_type,
                    "hosts": list(self.hosts),
                }
            ],
            "network_interface_name": self.network_interface,
        }


def write_training_config(
    layout: Layout,
    hyperparameters: Mapping[str, str],
    channels: Iterable[ChannelConfig],
    resources: ResourceConfig,
) -> None:
    """Write the three files that every training container finds."""
    layout.hyperparameters.write_text(json.dumps(dict(hyperparameters)))
    layout.input_data_config.write_text(json.dumps({channel.name: channel.to_json() for channel in channels}))
    layout.resource_config.write_text(json.dumps(resources.to_json()))


def write_checkpoint_config(layout: Layout, local_path: str, s3_uri: str) -> None:
    """Write `checkpointconfig.json`. `local_path` is the folder where a program really finds it."""
    layout.checkpoint_config.write_text(json.dumps({"LocalPath": local_path, "S3Uri": s3_uri}))


def read_hyperparameters(layout: Layout) -> dict[str, str]:
    """The hyperparameters, all strings; `{}` when the file is missing."""
    if not layout.hyperparameters.exists():
        return {}
    document = json.loads(layout.hyperparameters.read_text())
    return {str(name): str(value) for name, value in document.items()}


def read_channels(layout: Layout) -> dict[str, ChannelConfig]:
    """The channels by name; `{}` when the job has none."""
    if not layout.input_data_config.exists():
        return {}
    document = json.loads(layout.input_data_config.read_text())
    return {name: ChannelConfig.from_json(name, entry) for name, entry in document.items()}


def read_resources(layout: Layout) -> ResourceConfig:
    """This host and its peers; a single `algo-1` when the file is missing."""
    if not layout.resource_config.exists():
        return ResourceConfig("algo-1", ("algo-1",), "")
    document = json.loads(layout.resource_config.read_text())
    return ResourceConfig(
        current_host=document["current_host"],
        hosts=tuple(document["hosts"]),
        instance_type=document.get("current_instance_type", ""),
        network_interface=document.get("network_interface_name", "eth0"),
    )
