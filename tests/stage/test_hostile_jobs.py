"""Input and programs that mean harm, or might as well: each ends in a clear state, and nothing is left behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


def put(account: Account, **objects: bytes) -> None:
    """Objects in the account's bucket."""
    for key, body in objects.items():
        account.client("s3").put_object(Bucket="data", Key=key, Body=body)


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
    import io
    import tarfile

    script = "import os; os.symlink('/etc/passwd', '/opt/ml/model/stolen'); os.symlink('/etc', '/opt/ml/model/etc')\n"
    script += "open('/opt/ml/model/own', 'w').write('x')"
    assert account.run("links", **account.script(script))["TrainingJobStatus"] == "Completed"
    body = account.client("s3").get_object(Bucket="data", Key="output/links/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["own"]


def test_program_that_removes_its_own_tree(account: Account) -> None:
    """A program may delete what it was given; the job ends as its exit code says."""
    script = "import shutil; [shutil.rmtree('/opt/ml/' + name) for name in ('input', 'model', 'output')]"
    job = account.run("gone", **account.script(script))
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)


def test_many_small_objects(account: Account) -> None:
    """Hundreds of objects of a few bytes are all there, in seconds."""
    put(account, **{f"in/{number:04}": b"x" for number in range(300)})
    script = "import os, sys; sys.exit(0 if len(os.listdir('/opt/ml/input/data/train')) == 300 else 9)"
    start = time.monotonic()
    job = account.run("many", **account.script(script), InputDataConfig=[account.channel("train", "in/")])
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert time.monotonic() - start < 20
