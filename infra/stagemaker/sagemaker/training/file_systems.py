"""FileSystemDataSource: folders of this machine stand for EFS and FSx for Lustre.

`<state folder>/file-systems/<FileSystemId>` is the file system. Its owner makes it and fills it, by a link to
another folder too.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs import namespace
from stagemaker.jobs.spec import FileSystemChannel
from stagemaker.sagemaker.training.channels import name_problem
from stagemaker.wire.errors import NotHonouredError, ValidationError

Entry = dict[str, Any]
_S3_ONLY = ("CompressionType", "RecordWrapperType")


def file_system_channels(parameters: Entry, file_systems: Path) -> tuple[FileSystemChannel, ...]:
    """The request's channels of file systems, whose folders are there. Raises ValidationException."""
    entries = [each for each in parameters.get("InputDataConfig", []) if "FileSystemDataSource" in each["DataSource"]]
    if entries and not namespace.available():
        where = "InputDataConfig.DataSource.FileSystemDataSource"
        raise NotHonouredError(where, "this machine does not let us mount a folder for a container alone")
    default = parameters["AlgorithmSpecification"]["TrainingInputMode"]
    for entry in entries:
        if problem := _problem(entry, entry.get("InputMode") or default, has_network="VpcConfig" in parameters):
            raise ValidationError(f"Channel {entry['ChannelName']}: {problem}")
    return tuple(_channel(entry, file_systems) for entry in entries)


def _problem(entry: Entry, mode: str, *, has_network: bool) -> str | None:
    """What AWS does not have. The sentences are ours."""
    if "S3DataSource" in entry["DataSource"]:
        return "give one data source, an S3DataSource or a FileSystemDataSource."
    if not has_network:
        return "a FileSystemDataSource needs VpcConfig: a file system is reached through its VPC."
    if mode != "File":
        return f"a FileSystemDataSource is only supported in File mode, not in {mode} mode."
    if member := next((each for each in _S3_ONLY if entry.get(each, "None") != "None"), None):
        return f"{member} {entry[member]} is not supported with a FileSystemDataSource."
    if "ShuffleConfig" in entry:
        return "ShuffleConfig is not supported with a FileSystemDataSource."
    return name_problem(entry["ChannelName"])


def _channel(entry: Entry, file_systems: Path) -> FileSystemChannel:
    name, source = entry["ChannelName"], entry["DataSource"]["FileSystemDataSource"]
    path = PurePosixPath(source["DirectoryPath"])
    if not path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise ValidationError(f"Channel {name}: DirectoryPath must be a full path in the file system, not '{path}'.")
    root = file_systems / source["FileSystemId"]
    folder = (root / path.relative_to("/")).resolve()
    # A link in place of the file system itself is its owner's wish; one inside it must not lead out.
    if not folder.is_dir() or not folder.is_relative_to(root.resolve()):
        raise ValidationError(
            f"Channel {name}: the directory {path} does not exist in the file system {source['FileSystemId']}. "
            f"(Stagemaker: the folder {root} stands for it; make it and put the files there.)"
        )
    config = ChannelConfig(name=name, content_type=entry.get("ContentType"))
    return FileSystemChannel(config, folder, writable=source["FileSystemAccessMode"] == "rw")
