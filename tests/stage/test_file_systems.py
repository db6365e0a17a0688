"""Channels of EFS and FSx for Lustre: folders of this machine that stand for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stagemaker.jobs import namespace
from stagemaker.sagemaker.training.file_systems import file_system_channels
from stagemaker.wire.errors import ValidationError

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

NETWORK = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
ID = "fs-0123456789abcdef0"


def channel(name: str, path: str, mode: str = "ro", **members: Any) -> dict[str, Any]:
    """A channel over a directory of the file system."""
    source = {
        "FileSystemId": ID,
        "FileSystemAccessMode": mode,
        "FileSystemType": "EFS",
        "DirectoryPath": path,
    }
    return {"ChannelName": name, "DataSource": {"FileSystemDataSource": source}, **members}


def request(*channels: dict[str, Any], **members: Any) -> dict[str, Any]:
    """What of a request counts for file systems."""
    algorithm = {"TrainingImage": "x", "TrainingInputMode": "File"}
    return {"AlgorithmSpecification": algorithm, "InputDataConfig": channels, "VpcConfig": NETWORK, **members}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a file system with one directory, on a machine that has namespaces."""
    monkeypatch.setattr(namespace, "available", lambda: True)
    (tmp_path / ID / "data").mkdir(parents=True)
    return tmp_path


@pytest.mark.skipif(not namespace.available(), reason="this machine has no namespaces for us")
def test_file_system_is_seen_in_place(account: Account) -> None:
    """`ro` cannot be written to, `rw` keeps what is written, beside a channel of S3; nothing is copied or deleted."""
    account.client("s3").put_object(Bucket="data", Key="in/a", Body=b"1")
    folder = account.stage.folder.root / "file-systems" / ID / "churn"
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "deep" / "a.csv").write_text("1,2")
    script = """
import errno, json, os, pathlib
data = pathlib.Path("/opt/ml/input/data")
seen = {"ro": (data / "ro/deep/a.csv").read_text(), "s3": os.listdir(data / "s3")}
try:
    (data / "ro/new").write_text("x")
except OSError as error:
    seen["refused"] = errno.errorcode[error.errno]
(data / "rw/written").write_text("kept")
seen["config"] = json.loads(pathlib.Path("/opt/ml/input/config/inputdataconfig.json").read_text())["ro"]
pathlib.Path("/opt/ml/output/data/report.json").write_text(json.dumps(seen))
"""
    channels = [channel("ro", "/churn"), channel("rw", "/churn/deep", "rw"), account.channel("s3", "in/")]
    job = account.run("efs", **account.script(script), InputDataConfig=channels, VpcConfig=NETWORK)
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert job["InputDataConfig"][:2] == channels[:2]
    seen = account.report("efs")
    assert (seen["ro"], seen["s3"], seen["refused"]) == ("1,2", ["a"], "EROFS")
    assert seen["config"]["TrainingInputMode"] == "File"
    assert sorted(path.name for path in (folder / "deep").iterdir()) == ["a.csv", "written"]


def test_folder_stands_for_the_file_system(root: Path) -> None:
    """By the id; a link in its place may lead anywhere."""
    (found,) = file_system_channels(request(channel("train", "/data", "rw", ContentType="text/csv")), root)
    assert (found.folder, found.writable) == ((root / ID / "data").resolve(), True)
    assert found.config.content_type == "text/csv"
    (root / ID).rename(root / "elsewhere")
    (root / ID).symlink_to(root / "elsewhere")
    (found,) = file_system_channels(request(channel("train", "/")), root)
    assert (found.folder, found.writable) == ((root / "elsewhere").resolve(), False)
    assert file_system_channels(request(), root) == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (request(channel("train", "/none")), f"does not exist in the file system {ID}"),
        (request(channel("train", "/file")), f"does not exist in the file system {ID}"),
        (request(channel("train", "/out")), f"does not exist in the file system {ID}"),
        (request(channel("train", "data")), "must be a full path"),
        (request(channel("train", "/data/../..")), "must be a full path"),
        (request(channel("train", "/data", InputMode="Pipe")), "only supported in File mode"),
        (request(channel("train", "/data", CompressionType="Gzip")), "CompressionType Gzip is not supported"),
        (request(channel("train", "/data", ShuffleConfig={"Seed": 1})), "ShuffleConfig is not supported"),
        (request(channel("..", "/data")), "cannot be a folder"),
        ({**request(channel("train", "/data")), "VpcConfig": None}, "needs VpcConfig"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_what_cannot_be_mounted(root: Path, given: dict[str, Any], words: str) -> None:
    """Each is refused when the job is created, by the channel's name; links inside do not lead out."""
    (root / ID / "file").write_text("x")
    (root / ID / "out").symlink_to("/etc")
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(ValidationError, match=f"^ValidationException: Channel .*{words}"):
        file_system_channels(json.loads(json.dumps(given)), root)


def test_refused_without_namespaces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be mounted for a container alone, the member is refused by name."""
    monkeypatch.setattr(namespace, "available", lambda: False)
    assert file_system_channels(request(), root) == ()
    with pytest.raises(ValidationError, match=r"cannot honour InputDataConfig\.DataSource\.FileSystemDataSource"):
        file_system_channels(request(channel("train", "/data")), root)
