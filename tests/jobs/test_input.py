"""The runner's small parts: shares and manifests, streams, addresses, processes, checkpoints."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stagemaker.contract.failure import Failure, FailureClass, read_failure
from stagemaker.contract.hosts import address_of
from stagemaker.contract.layout import Layout
from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs import augmented, directory, pipe, processes, usage
from stagemaker.jobs.artifacts import members, open_up
from stagemaker.jobs.channel import download_channel
from stagemaker.jobs.checkpoints import CheckpointSync
from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.environment import host_addresses, host_names
from stagemaker.jobs.interruption import InterruptionError, interrupt
from stagemaker.jobs.object_stream import write_whole
from stagemaker.jobs.objects import ObjectClient, ObjectInfo, ObjectsError
from stagemaker.jobs.selection import DownloadError, Share, selected
from stagemaker.jobs.spec import ChannelSource, S3Uri

ALONE = Share(0, 1)


class Body(io.BytesIO):
    """An ObjectStream of bytes that are there."""

    def pour(self, pipe: int) -> None:
        """Write them into a pipe."""
        write_whole(pipe, self.read())


class Bucket:
    """An ObjectClient over a dictionary."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        """The keys that start with `prefix`."""
        return (ObjectInfo(k, len(v)) for k, v in sorted(self.objects.items()) if k.startswith(prefix))

    def open(self, uri: S3Uri) -> Body:
        """The object's bytes."""
        return Body(self.objects[uri.key])

    def download(self, uri: S3Uri, file: Path) -> None:
        """Write the object to `file`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.objects[uri.key])

    def upload(self, file: Path, uri: S3Uri) -> None:
        """Keep the file."""
        self.objects[uri.key] = file.read_bytes()

    def close(self) -> None:
        """Nothing to let go of."""


def client(**objects: bytes) -> ObjectClient:
    """A client that holds `objects`."""
    return cast("ObjectClient", Bucket(**objects))


def channel(
    key: str = "", *, mode: str = "File", distribution: str = "FullyReplicated", **members: Any
) -> ChannelSource:
    """A channel over the bucket `b`."""
    return ChannelSource(ChannelConfig("train", None, mode, distribution), S3Uri("b", key), **members)


@pytest.mark.parametrize("hosts", [1, 2, 3, 7])
def test_shards_hold_each_object_once(hosts: int) -> None:
    """Together the hosts get everything, none twice, and shares differ by one at most."""
    bucket = client(**{f"k{n}": b"x" for n in range(5)})
    sharded = channel("k", distribution="ShardedByS3Key", shuffle_seed=3)
    shares = [[entry.uri.key for entry in selected(bucket, sharded, Share(i, hosts))] for i in range(hosts)]
    assert sorted(key for share in shares for key in share) == [f"k{n}" for n in range(5)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shuffled_shards_differ_with_the_epoch() -> None:
    """With ShuffleConfig a host of several sees other objects in another epoch."""
    bucket = client(**{f"k{n}": b"x" for n in range(20)})
    sharded = channel("k", distribution="ShardedByS3Key", shuffle_seed=3)
    epochs = [{entry.uri.key for entry in selected(bucket, sharded, Share(0, 2), epoch)} for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_download_stops_at_the_volumes_end(tmp_path: Path) -> None:
    """Objects that the volume does not hold are a failure before they are fetched."""
    bucket = client(a=b"123", b=b"456")
    assert download_channel(bucket, channel(), ALONE, tmp_path / "x", space=6, proceed=lambda: None) == 6
    with pytest.raises(DownloadError, match="enough disk space"):
        download_channel(bucket, channel(), ALONE, tmp_path / "y", space=5, proceed=lambda: None)


def test_read_only_trees_can_be_removed(tmp_path: Path) -> None:
    """FastFile's folders are read-only, and still go with the job."""
    download_channel(
        client(**{"deep/a": b"1"}), channel(mode="FastFile"), ALONE, tmp_path / "in", space=9, proceed=lambda: None
    )
    assert (tmp_path / "in" / "deep").stat().st_mode & 0o777 == 0o555
    remove_tree(tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_removing_a_tree_leaves_alone_what_its_links_lead_to(tmp_path: Path) -> None:
    """Not even the mode of a file outside changes, also where a link could not be deleted at first."""
    outside = tmp_path / "outside"
    outside.write_text("kept")
    outside.chmod(0o640)
    (tmp_path / "tree").mkdir()
    link = tmp_path / "tree" / "link"
    link.symlink_to(outside)
    attempts: list[str] = []
    directory._unlock(lambda path: attempts.append(str(path)), str(link), None)  # as rmtree does for a refusal
    assert attempts == [str(link)]
    remove_tree(tmp_path / "tree")
    assert not link.is_symlink()
    assert (outside.read_text(), outside.stat().st_mode & 0o777) == ("kept", 0o640)


def test_closed_files_belong_to_the_artifact(tmp_path: Path) -> None:
    """A program may close what it leaves to everybody; links are not followed, and what they lead to stays closed."""
    model, outside = tmp_path / "model", tmp_path / "outside"
    (model / "deep").mkdir(parents=True)
    for file in (model / "own", model / "deep" / "own", outside):
        file.write_text("x")
        file.chmod(0)
    (model / "link").symlink_to(outside)
    (model / "deep").chmod(0)
    model.chmod(0)
    open_up(model)
    assert [path.stat().st_mode & 0o777 for path in (model, model / "deep")] == [0o700, 0o700]
    assert [path.stat().st_mode & 0o777 for path in (model / "own", model / "deep" / "own")] == [0o400, 0o400]
    assert outside.stat().st_mode & 0o777 == 0
    open_up(tmp_path / "none")


def test_checkpoints_of_a_folder_that_became_a_link_are_not_copied(tmp_path: Path) -> None:
    """A program may put a link to anywhere in the folder's place: what it leads to is not the job's."""
    bucket = Bucket()
    sync = CheckpointSync(cast("ObjectClient", bucket), S3Uri("b", "c"), tmp_path / "checkpoints")
    sync.restore()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"s")
    for target in ("elsewhere", "checkpoints"):  # the second goes round in a circle
        folder = tmp_path / "checkpoints"
        folder.unlink() if folder.is_symlink() else folder.rmdir()
        folder.symlink_to(tmp_path / target)
        sync._upload(sync._current())
    assert bucket.objects == {}


@pytest.mark.parametrize("kind", ["link", "circle", "fifo", "folder", "parent"])
def test_failure_file_that_is_none(tmp_path: Path, kind: str) -> None:
    """A failure that leads out of the tree, never ends or cannot be read is an empty one."""
    layout = Layout(tmp_path / "ml")
    layout.make()
    (tmp_path / "secret").write_text("secret")
    match kind:
        case "link":
            layout.failure.symlink_to(tmp_path / "secret")
        case "circle":
            layout.failure.symlink_to(layout.failure)
        case "fifo":
            os.mkfifo(layout.failure)
        case "folder":
            layout.failure.mkdir()
        case "parent":
            layout.output_data.rmdir()
            layout.output.rmdir()
            layout.output.symlink_to(tmp_path)
            (tmp_path / "failure").write_text("secret")
    assert read_failure(layout, trust_class=True) == Failure(FailureClass.ALGORITHM, "")


class Vanishing(Bucket):
    """A bucket whose last object is deleted between the list and its download."""

    def download(self, uri: S3Uri, file: Path) -> None:
        """Write the object to `file`, unless it is the last one."""
        if uri.key == max(self.objects):
            raise ObjectsError("NoSuchKey", "The specified key does not exist.")
        super().download(uri, file)


def test_object_that_vanishes_after_the_list(tmp_path: Path) -> None:
    """The download fails by S3's own words and the channel's address."""
    bucket = cast("ObjectClient", Vanishing(**{"in/a": b"1", "in/b": b"2"}))
    with pytest.raises(DownloadError, match=r"The specified key does not exist\. for s3://b/in/"):
        download_channel(bucket, channel("in/"), ALONE, tmp_path / "x", space=9, proceed=lambda: None)


@pytest.mark.parametrize(
    ("line", "words"),
    [(b"nope", "is not JSON"), (b"[1]", "not a JSON object"), (b"{}", "no attribute x"), (b'{"x": 1}', "S3 URI")],
)
def test_bad_line_of_an_augmented_manifest(line: bytes, words: str) -> None:
    """Each mistake is named."""
    attributes = ("x",) if words != "S3 URI" else ("x", "y-ref")
    if words == "S3 URI":
        line = b'{"x": 1, "y-ref": "nowhere"}'
    with pytest.raises(DownloadError, match=words):
        list(augmented.records(client(m=line), channel("m", attributes=attributes), ALONE, 0))


def test_record_that_is_too_long_is_refused() -> None:
    """A RecordIO length has 29 bits."""
    with pytest.raises(DownloadError, match="too large"):
        pipe.framed_header(1 << 29)
    assert len(b"".join(pipe.wrapped(io.BytesIO(b"x" * 9_000_000)))) == 8 + 9_000_000


def test_stream_goes_through_the_fifo_without_being_kept(tmp_path: Path) -> None:
    """A feeder writes piece by piece: nothing is written before somebody reads."""
    layout = Layout(tmp_path)
    layout.make()
    feeder = pipe.PipeFeeder(client(a=b"x" * 5_000_000), channel(mode="Pipe"), ALONE, layout)
    feeder.start()
    with (layout.data / "train_0").open("rb") as stream:
        assert len(stream.read()) == 5_000_000
    feeder.close()
    assert feeder.error is None
    assert not feeder.is_alive()


@pytest.mark.parametrize("replace", ["symlink_to", "hardlink_to"])
def test_stream_is_not_written_to_what_stands_in_the_place_of_its_fifo(tmp_path: Path, replace: str) -> None:
    """A program that puts a link, or a file, where the FIFO was gets an error and the stream goes nowhere."""
    layout = Layout(tmp_path / "tree")
    layout.make()
    other = tmp_path / "other"
    other.write_text("mine")
    feeder = pipe.PipeFeeder(client(a=b"stream"), channel(mode="Pipe"), ALONE, layout)
    fifo = layout.data / "train_0"
    fifo.unlink()
    getattr(fifo, replace)(other)
    feeder.start()
    feeder.join(60)
    assert feeder.error is not None
    assert "for s3://b/" in feeder.error
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/opt/ml", "/j"),
        ("/opt/ml/model", "/j/model"),
        ("--dir=/opt/ml/input:/opt/ml/output", "--dir=/j/input:/j/output"),
        ("/opt/mlx", "/opt/mlx"),
        ("/my/opt/ml", "/my/opt/ml"),
        ("/opt/ml.old", "/opt/ml.old"),
    ],
)
def test_reserved_path_is_where_the_tree_lies(text: str, path: str) -> None:
    """`/opt/ml` as a whole path is replaced, wherever it stands; what only looks like it is not."""
    assert Layout(Path("/j")).located(text) == path


def test_hosts_have_names_and_addresses() -> None:
    """algo-1 ... in order; each host has a loopback address that a program can listen on."""
    names = host_names(3)
    addresses = host_addresses("arn:aws:sagemaker:r:1:training-job/x", names)
    assert names == ("algo-1", "algo-2", "algo-3")
    assert all(address.startswith("127.") for address in addresses.values())
    assert len(set(addresses.values())) == (3 if sys.platform == "linux" else 1)
    assert address_of("algo-2", {"STAGEMAKER_HOSTS": '{"algo-2": "127.9.9.9"}'}) == "127.9.9.9"
    assert address_of("localhost", {}) == "127.0.0.1"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_tree_of_processes_is_measured() -> None:
    """CPU and memory of a process and its children."""
    script = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', 'x = bytearray(50_000_000);"
    script += " import time\\nwhile time.process_time() < 1: pass\\ntime.sleep(60)'])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                found = processes.tree(process.pid)
                if len(found) == 2 and sum(each.cpu_seconds for each in found) > 0.8:
                    break
                time.sleep(0.05)
            assert len(found) == 2
            assert sum(each.cpu_seconds for each in found) > 0.8
            assert sum(each.resident for each in found) > 50_000_000
        finally:
            os.killpg(process.pid, 9)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_runaway_processes_are_found_and_ended() -> None:
    """A process in a session of its own, whose parent is gone, still ends with the job."""
    script = """
import subprocess, sys
from stagemaker.jobs.processes import adopt_orphans, kill_descendants, tree
import os
adopt_orphans()
away = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); "
away += "print(os.getpid(), flush=True); time.sleep(600)"
first = subprocess.Popen([sys.executable, "-c", away], stdout=subprocess.PIPE)
pid = int(first.stdout.readline())
before = len(tree(os.getpid()))
kill_descendants()
print(before, len(tree(os.getpid())), os.path.exists(f"/proc/{pid}"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after, lives = done.stdout.split()
    assert int(before) >= 2
    assert (after, lives) == ("1", "False")


def test_a_process_that_forks_and_leaves_all_the_time_is_caught() -> None:
    """A new process, a new session, the old one gone, without an end: it does not outlive its job."""
    script = """
import os, subprocess, sys
from stagemaker.jobs.processes import adopt_orphans, kill_descendants, tree
adopt_orphans()
hop = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)\\n"
hop += "while True:\\n    if os.fork(): os._exit(0)\\n    os.setsid()"
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", hop], stdout=subprocess.PIPE).stdout.readline()
kill_descendants()
print(len(tree(os.getpid())))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_folder_bytes_counts_files_and_not_what_links_lead_to(tmp_path: Path) -> None:
    """Disk use is what the files take."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    before = usage.folder_bytes(tmp_path)
    assert 100_000 <= before < 200_000
    (tmp_path / "link").symlink_to("/usr")
    assert usage.folder_bytes(tmp_path) - before < 10_000
    assert usage.folder_bytes(tmp_path / "never") == 0


def test_checkpoints_are_brought_back_and_copied_once(tmp_path: Path) -> None:
    """What is in S3 comes first; afterwards only what is new or changed goes back, and no marker files."""
    bucket = Bucket(**{"c/old": b"1", "c/deep/er": b"2"})
    sync = CheckpointSync(cast("ObjectClient", bucket), S3Uri("b", "c"), tmp_path / "checkpoints")
    sync.restore()
    assert sorted(members([tmp_path / "checkpoints"])) == ["deep/er", "old"]
    bucket.objects.clear()
    (tmp_path / "checkpoints" / "new").write_bytes(b"3")
    (tmp_path / "checkpoints" / "new.sagemaker-uploading").write_bytes(b"")
    sync.start()
    sync.finish()
    assert bucket.objects == {"c/new": b"3"}


def test_members_of_several_hosts_are_merged(tmp_path: Path) -> None:
    """Of files with one name the last host's counts; the order is that of the names."""
    for host in ("one", "two"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "same").write_text(host)
        (tmp_path / host / host).write_text(host)
    found = members([tmp_path / "one", tmp_path / "two", tmp_path / "none"])
    assert list(found) == ["one", "same", "two"]
    assert found["same"].read_text() == "two"


@pytest.mark.parametrize("name", ["job", "../job", ""])
def test_nothing_to_interrupt(tmp_path: Path, name: str) -> None:
    """A job that does not run, or a name that is no job's, is an error for the person at the terminal."""
    with pytest.raises(InterruptionError, match="is not running"):
        interrupt(tmp_path, "us-east-1", name)


def test_each_start_of_a_host_has_a_log_of_its_own(tmp_path: Path) -> None:
    """The second is named apart, and begins in another second, since streams are named by it."""
    directory = JobDirectory(tmp_path)
    first = directory.new_log("algo-1")
    first.touch()
    second = directory.new_log("algo-1")
    assert (first.name, second.name) == ("algo-1.log", "algo-1.2.log")
    assert int(time.time()) > int(first.stat().st_mtime)
