"""One instance of a model without a stage: data, ports, health, restart, stop."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.serving.data import ArchiveError, Budget, ModelDataError, unpack
from stagemaker.jobs.serving.model_server import FaultKind, ModelServer, ServerFault, is_healthy
from stagemaker.jobs.serving.ports import ReservedPorts
from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec, ModelData
from stagemaker.jobs.spec import Program, S3Uri
from stagemaker.ports import Credentials

SERVER = Program((str(Path(__file__).parents[2] / "stage" / "images" / "server" / "serve"),))
KEYS = Credentials("key", "secret", "token")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Any]:
    """Makes servers, and ends them after the test."""
    stage_file = tmp_path / "stage.json"
    stage_file.write_text(json.dumps({"endpoint": "http://127.0.0.1:1"}))
    made: list[ModelServer] = []

    def make(*containers: ContainerSpec, **members: Any) -> ModelServer:
        spec = InstanceSpec("us-east-1", containers, stage_file, 1 << 20, namespaced=False, **members)
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(ModelServer(spec, folder, KEYS))
        return made[-1]

    yield make
    for server in made:
        server.stop(0)
        server.close()


def container(name: str = "primary", program: Program = SERVER, **variables: str) -> ContainerSpec:
    """A container without model data."""
    return ContainerSpec(name, program, variables)


def no_stop() -> None:
    """Nothing to stop for."""


def packed(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """An archive of these members."""
    with tarfile.open(file, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def test_spec_survives_its_file() -> None:
    """What the runner reads is what the stage wrote."""
    data = ModelData(S3Uri("bucket", "key"), is_prefix=True, is_archive=False)
    each = ContainerSpec("primary", Program(("a", "b"), {"A": "1"}, trusted=True), {"B": "2"}, data)
    spec = InstanceSpec("eu-west-1", (each, container()), Path("/x"), 5, namespaced=True, isolated=True, threads=2)
    assert InstanceSpec.from_json(spec.to_json()) == spec


def test_healthy_server_restarts_on_its_port_and_stops(servers: Any) -> None:
    """A container that was killed answers again where it did; after `stop` nobody does."""
    server = servers(container("left"), container("right"))
    server.prepare()
    server.start()
    left, right = server.addresses
    assert is_healthy(left.port)
    assert is_healthy(right.port)
    assert server.ended() == []
    os.kill(server.pids[1], 9)
    deadline = time.monotonic() + 30
    while not server.ended() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.ended() == ["right"]
    server.restart("right")
    assert is_healthy(server.addresses[1].port)
    assert server.addresses == (left, right)
    server.stop(30)
    assert not is_healthy(left.port)
    assert "starting" in server.log_file("left").read_text()


def test_deaf_program_is_killed(servers: Any) -> None:
    """SIGTERM first; when that is ignored, SIGKILL after the grace."""
    server = servers(container(DEAF="1"))
    server.prepare()
    server.start()
    server.stop(0.2)
    assert server.ended() == ["primary"]


@pytest.mark.parametrize(
    ("given", "kind", "detail"),
    [
        (container(DIES="1"), FaultKind.PING, "exit code 1"),
        (container(program=Program((), problem="no such image")), FaultKind.IMAGE, "no such image"),
        (container(program=Program(("/nowhere/serve",))), FaultKind.IMAGE, "cannot be started"),
    ],
)
def test_faults_name_the_container(servers: Any, given: ContainerSpec, kind: FaultKind, detail: str) -> None:
    """Which of the containers it was, and why."""
    server = servers(container("first"), given)
    server.prepare()
    with pytest.raises(ServerFault, match=detail) as caught:
        server.start()
    assert (caught.value.kind, caught.value.container, caught.value.position) == (kind, given, 2)


def test_container_that_never_gets_healthy_is_given_up(servers: Any) -> None:
    """After ContainerStartupHealthCheckTimeoutInSeconds; an answer that is not 200 is no health."""
    server = servers(container(BROKEN="1"), startup_seconds=0.5)
    server.prepare()
    with pytest.raises(ServerFault, match="no healthy answer to GET /ping") as caught:
        server.start()
    assert caught.value.kind is FaultKind.PING


def test_port_is_given_once() -> None:
    """As long as one holds a port no other gets it, and somebody who listens keeps it from both."""
    blocks = [ReservedPorts(10) for _ in range(20)]
    numbers = [number for block in blocks for number in range(block.first, block.last + 1)]
    for block in blocks:
        block.close()
    assert len(set(numbers)) == 200


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])  # noqa: S108 - hostile, never written
def test_archive_cannot_write_outside(tmp_path: Path, name: str) -> None:
    """A path that leads out is refused, or stripped to one inside; nothing lands beside the folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    archive = packed(tmp_path / "a.tar.gz", (tarfile.TarInfo(name), b"x"))
    try:
        unpack(archive, folder, Budget(60, 1000, no_stop))
    except ArchiveError:
        assert list(folder.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"model", "a.tar.gz"}
    assert not Path("/tmp/outside").exists()  # noqa: S108 - see above


def test_archive_cannot_link_outside(tmp_path: Path) -> None:
    """Neither by a symbolic link nor by a hard one."""
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, "/etc/passwd"
        archive = packed(tmp_path / "a.tar.gz", (link, b""))
        with pytest.raises(ArchiveError):
            unpack(archive, tmp_path, Budget(60, 1000, no_stop))


@pytest.mark.parametrize("content", [b"", b"plain", b"\x1f\x8bbroken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds."""
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "a", tmp_path, Budget(60, 1000, no_stop))


def test_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """A transfer that went wrong is no model."""
    whole = packed(tmp_path / "a", (tarfile.TarInfo("w"), os.urandom(5000)))
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(ArchiveError):
        unpack(whole, tmp_path, Budget(60, 100_000, no_stop))


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """Before it fills the disk."""
    archive = packed(tmp_path / "a", (tarfile.TarInfo("zeros"), bytes(100_000)))
    with pytest.raises(ModelDataError, match="larger than the instance's volume"):
        unpack(archive, tmp_path, Budget(60, 99_999, no_stop))


def test_budget_ends_with_its_time() -> None:
    """ModelDataDownloadTimeoutInSeconds counts for the whole download."""
    with pytest.raises(ModelDataError, match="ModelDataDownloadTimeoutInSeconds"):
        Budget(-1, 10, no_stop).spend(1)
