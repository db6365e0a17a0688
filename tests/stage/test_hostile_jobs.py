"""Input and programs that mean harm, or might as well: each ends in a clear state, and nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


@pytest.fixture(autouse=True)
def bounded(account: Account) -> Iterator[None]:
    """Whatever a test does: nothing new beside the state folder, and no process left that works in a job's folder."""
    root = account.stage.folder.root
    before = sorted(root.parent.iterdir())
    yield
    deadline = time.monotonic() + 60
    while left := processes_in(account.stage.folder.jobs):  # a runner writes the end and then ends itself
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert sorted(root.parent.iterdir()) == before


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that work below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append((entry / "cmdline").read_text())
    return found


def put(account: Account, **objects: bytes) -> None:
    """Objects in the account's bucket."""
    for key, body in objects.items():
        account.client("s3").put_object(Bucket="data", Key=key, Body=body)


def wait_for_start(account: Account, name: str) -> None:
    """Until the program of a job has written the file `model/ready`."""
    deadline = time.monotonic() + 60
    while not list((account.stage.folder.jobs / "us-east-1" / name).glob("algo-*/opt/ml/model/ready")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def archive_of(account: Account, name: str, archive: str = "model.tar.gz") -> list[str]:
    """The names in an archive that a job has left."""
    body = account.client("s3").get_object(Bucket="data", Key=f"output/{name}/output/{archive}")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        return packed.getnames()


@pytest.mark.parametrize("key", ["in/../../escape", "in//etc/x", "in/a/../../../x"])
def test_key_that_would_leave_the_folder(account: Account, key: str) -> None:
    """Keys are not paths: one that would lead out fails the job, by name, and nothing is written anywhere."""
    put(account, **{"in/good": b"1", key: b"evil"})
    before = sorted(account.stage.folder.jobs.rglob("*escape*"))
    job = account.fail("keys", InputDataConfig=[account.channel("train", "in/")])
    assert job["FailureReason"].startswith("ClientError: Data download failed:Failed to download data. The key ")
    assert sorted(account.stage.folder.jobs.rglob("*escape*")) == before == []


def test_key_that_is_a_folder_for_others(account: Account) -> None:
    """`in/a` and `in/a/b` cannot both be files: the job fails and says for which prefix."""
    put(account, **{"in/a": b"1", "in/a/b": b"2"})
    job = account.fail("clash", InputDataConfig=[account.channel("train", "in/")])
    assert job["FailureReason"].startswith("ClientError: Data download failed:")
    assert "s3://data/in/" in job["FailureReason"]


def test_log_line_of_ten_megabytes(account: Account) -> None:
    """It becomes several events of at most 256 KB, and none of it is lost."""
    script = "print('x' * 10_000_000 + 'end')"
    assert account.run("long", **account.script(script))["TrainingJobStatus"] == "Completed"
    log = (account.stage.folder.jobs / "us-east-1" / "long" / "algo-1.log").read_text().splitlines()
    messages = [line.partition("\t")[2] for line in log]
    assert max(map(len, messages)) <= 256 * 1024
    assert "".join(messages) == "x" * 10_000_000 + "end"


def test_links_do_not_lead_out(account: Account) -> None:
    """Links in the model folder to files outside are left out, and the program's own tree is all that is packed."""
    script = "import os; os.symlink('/etc/passwd', '/opt/ml/model/stolen'); os.symlink('/etc', '/opt/ml/model/etc')\n"
    script += "open('/opt/ml/model/own', 'w').write('x')"
    assert account.run("links", **account.script(script))["TrainingJobStatus"] == "Completed"
    assert archive_of(account, "links") == ["own"]


def test_link_in_the_place_of_a_folder(account: Account) -> None:
    """A program that puts links in the place of the folders it was given gets nothing from outside uploaded or shown.

    There is nothing left to upload, and the failure file is another's.
    """
    script = """
import os, shutil, sys
for name in ("model", "output"):
    shutil.rmtree("/opt/ml/" + name)
    os.symlink("/etc", "/opt/ml/" + name)
open("/opt/ml/checkpoint", "w").write("x")
os.symlink("/etc/passwd", "/opt/ml/failure")
sys.exit(3)
"""
    job = account.fail("swapped", **account.script(script))
    assert job["FailureReason"] == "AlgorithmError: , exit code: 3"
    assert "ModelArtifacts" not in job
    assert "Contents" not in account.client("s3").list_objects_v2(Bucket="data", Prefix="output/")


def test_failure_file_that_never_ends(account: Account) -> None:
    """A FIFO in the place of the failure file and in the model folder holds nobody up."""
    script = "import os, sys; os.mkfifo('/opt/ml/output/failure'); os.mkfifo('/opt/ml/model/fifo'); sys.exit(3)"
    assert account.fail("fifo", **account.script(script))["FailureReason"] == "AlgorithmError: , exit code: 3"


def evil_archive() -> bytes:
    """A model.tar.gz whose members lead out, and a link that does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("../../escape", "/tmp/stagemaker-escape"):  # noqa: S108 - the name is what is tested
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    return packed.getvalue()


def test_model_channel_is_handed_over_packed(account: Account) -> None:
    """Incremental training: the service does not unpack `model.tar.gz`, so that nothing in it can lead out."""
    put(account, **{"earlier/model.tar.gz": evil_archive()})
    script = "import os, sys; sys.exit(0 if os.listdir('/opt/ml/input/data/model') == ['model.tar.gz'] else 9)"
    channel = account.channel("model", "earlier/", ContentType="application/x-sagemaker-model")
    job = account.run("further", **account.script(script), InputDataConfig=[channel])
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)


def test_object_that_is_gone_when_it_is_fetched(account: Account) -> None:
    """An object of the channel that is not there any more fails the download, in File mode too."""
    manifest = json.dumps([{"prefix": "s3://data/in/"}, "a", "gone"]).encode()
    put(account, **{"in/a": b"1", "manifest": manifest})
    channel = account.channel("train", "manifest")
    channel["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    job = account.fail("gone", InputDataConfig=[channel])
    words = "ClientError: Data download failed:Failed to download data. The specified key does not exist."
    assert job["FailureReason"].startswith(words)
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]] == ["Starting", "Downloading", "Failed"]


def test_program_that_cannot_be_caught(account: Account) -> None:
    """It ignores SIGTERM and has children that fork, change their session and leave all the time: a stop ends all."""
    script = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.001)
pathlib.Path("/opt/ml/model/ready").write_text("x")
time.sleep(600)
"""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("hydra", **account.script(script)))
    wait_for_start(account, "hydra")
    sagemaker.stop_training_job(TrainingJobName="hydra")
    assert account.settle("hydra")["TrainingJobStatus"] == "Stopped"
    assert archive_of(account, "hydra") == ["ready"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process can be found")
def test_nothing_is_left_of_a_job_whose_runner_is_killed(account: Account) -> None:
    """Children in sessions of their own end too, before the job is over."""
    script = """
import pathlib, subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=new)
            for new in (False, True)]
pathlib.Path("/opt/ml/model/half").write_text(" ".join(str(child.pid) for child in children))
pathlib.Path("/opt/ml/model/half").rename("/opt/ml/model/ready")
children[0].wait()
"""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("lost", **account.script(script)))
    wait_for_start(account, "lost")
    folder = account.stage.folder.jobs / "us-east-1" / "lost"
    children = (folder / "algo-1" / "opt" / "ml" / "model" / "ready").read_text().split()
    assert [Path("/proc", pid).exists() for pid in children] == [True, True]
    os.kill(int((folder / "runner.lock").read_text()), signal.SIGKILL)
    assert account.settle("lost")["FailureReason"].startswith("InternalServerError")
    assert not any(Path("/proc", pid).exists() for pid in children)


def test_program_that_removes_its_own_tree(account: Account) -> None:
    """A program may delete what it was given; the job ends as its exit code says."""
    script = "import shutil; [shutil.rmtree('/opt/ml/' + name) for name in ('input', 'model', 'output')]"
    job = account.run("gone", **account.script(script))
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)


def test_many_small_objects(account: Account) -> None:
    """They are all there, each with its own content; tests/jobs does the same with 5,000."""
    put(account, **{f"in/{number:04}": b"%d" % number for number in range(300)})
    script = """
import pathlib, sys
folder = pathlib.Path("/opt/ml/input/data/train")
sys.exit(0 if {p.name: p.read_text() for p in folder.iterdir()} == {f"{n:04}": str(n) for n in range(300)} else 9)
"""
    job = account.run("many", **account.script(script), InputDataConfig=[account.channel("train", "in/")])
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
