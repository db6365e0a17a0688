"""What a container finds of its input: modes, manifests, shards, streams."""

from __future__ import annotations

import gzip
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

FILES = """
import json, os, pathlib
root = pathlib.Path("/opt/ml/input/data")
found = (p for p in root.rglob("*") if p.is_file())
files = {str(p.relative_to(root)): [p.read_text(), oct(p.stat().st_mode & 0o777)] for p in found}
host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
pathlib.Path(f"/opt/ml/output/data/{host}.json").write_text(json.dumps(files))
if host == "algo-1":
    pathlib.Path("/opt/ml/output/data/report.json").write_text(json.dumps(
        {"files": files, "config": json.load(open("/opt/ml/input/config/inputdataconfig.json"))}))
"""

PIPE = """
import json, pathlib, time
def epoch(number, limit=-1):
    path = pathlib.Path(f"/opt/ml/input/data/train_{number}")
    with path.open("rb") as stream:
        return stream.read(limit)
report = {"epochs": [epoch(n).hex() for n in range(EPOCHS)]}
report["fifos"] = sorted(p.name for p in pathlib.Path("/opt/ml/input/data").iterdir())
pathlib.Path("/opt/ml/output/data/report.json").write_text(json.dumps(report))
"""


def put(account: Account, **objects: bytes | str) -> None:
    """Objects below `in/`, in the account's bucket."""
    for name, body in objects.items():
        account.client("s3").put_object(Bucket="data", Key=f"in/{name}", Body=body)


def source(channel: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The channel with other members of its S3DataSource."""
    channel["DataSource"]["S3DataSource"].update(members)
    return channel


def refusal(account: Account, **members: Any) -> str:
    """The message with which the request is refused."""
    with pytest.raises(ClientError) as caught:
        account.client("sagemaker").create_training_job(**account.request("refused", **members))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def test_fast_file_mode_gives_read_only_files(account: Account) -> None:
    """FastFile: the same paths as File mode, files that cannot be written, and the mode in inputdataconfig.json."""
    put(account, a="1", b="22")
    account.train(
        "fast",
        **account.script(FILES, mode="FastFile"),
        InputDataConfig=[account.channel("train", "in/")],
    )
    report = account.report("fast")
    assert report["files"] == {"train/a": ["1", "0o444"], "train/b": ["22", "0o444"]}
    assert report["config"]["train"]["TrainingInputMode"] == "FastFile"


def test_channel_has_its_own_mode(account: Account) -> None:
    """InputMode of a channel wins over TrainingInputMode."""
    put(account, a="1")
    channels = [account.channel("one", "in/", InputMode="FastFile"), account.channel("two", "in/")]
    account.train("modes", **account.script(FILES), InputDataConfig=channels)
    config = account.report("modes")["config"]
    assert [config[name]["TrainingInputMode"] for name in ("one", "two")] == ["FastFile", "File"]


def test_manifest_names_the_objects(account: Account) -> None:
    """ManifestFile: the listed keys below the manifest's prefix, and no others."""
    put(account, a="1", b="2", c="3")
    account.client("s3").put_object(Bucket="data", Key="in/deep/d", Body=b"4")
    put(account, manifest=json.dumps([{"prefix": "s3://data/in/"}, "a", "deep/d"]))
    channel = source(account.channel("train", "in/manifest"), S3DataType="ManifestFile")
    account.train("manifest", **account.script(FILES), InputDataConfig=[channel])
    assert sorted(account.report("manifest")["files"]) == ["train/a", "train/deep/d"]


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("not json", "is not JSON"),
        ('["a"]', "must be a JSON list"),
        ('[{"prefix": "http://x"}, "a"]', "no S3 URI"),
        ('[{"prefix": "s3://data/in/"}, "../../x"]', "cannot be a file below"),
        ('[{"prefix": "s3://data/in/"}, "gone"]', "The specified key does not exist"),
    ],
)
def test_bad_manifest_is_the_jobs_failure(account: Account, manifest: str, words: str) -> None:
    """A manifest is read when the job starts: what is wrong with it is a FailureReason."""
    put(account, manifest=manifest)
    channel = source(account.channel("train", "in/manifest"), S3DataType="ManifestFile")
    job = account.fail("bad", **account.script(FILES), InputDataConfig=[channel])
    assert job["FailureReason"].startswith("ClientError: Data download failed:Failed to download data. ")
    assert words in job["FailureReason"]
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]] == ["Starting", "Downloading", "Failed"]


def test_sharded_objects_are_dealt_out_to_the_hosts(account: Account) -> None:
    """ShardedByS3Key: each object on one host; FullyReplicated: each on every host. A host without any starts."""
    import io
    import tarfile

    put(account, a="1", b="2", c="3")
    channels = [
        source(account.channel("train", "in/"), S3DataDistributionType="ShardedByS3Key"),
        account.channel("all", "in/"),
        source(account.channel("few", "in/a"), S3DataDistributionType="ShardedByS3Key"),
    ]
    job = account.train(
        "shards",
        **account.script(FILES),
        InputDataConfig=channels,
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert job["TrainingJobStatus"] == "Completed"
    body = account.client("s3").get_object(Bucket="data", Key="output/shards/output/output.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        first, second = (set(json.loads(archive.extractfile(f"algo-{n}.json").read())) for n in (1, 2))  # type: ignore[union-attr] # they are files
    everywhere = {"all/a", "all/b", "all/c"}
    assert first == {"train/a", "train/c", "few/a"} | everywhere
    assert second == {"train/b"} | everywhere


@pytest.mark.parametrize(
    ("mode", "members", "data_source", "words"),
    [
        ("File", {"CompressionType": "Gzip"}, {}, "CompressionType Gzip is only supported in Pipe mode"),
        (
            "FastFile",
            {"RecordWrapperType": "RecordIO"},
            {},
            "RecordWrapperType RecordIO is only supported in Pipe mode",
        ),
        ("FastFile", {}, {"S3DataType": "ManifestFile"}, "FastFile mode supports the S3DataType S3Prefix only"),
        (
            "File",
            {},
            {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["x"]},
            "only supported in Pipe mode",
        ),
        ("Pipe", {}, {"S3DataType": "AugmentedManifestFile"}, "AttributeNames must be given"),
        ("Pipe", {}, {"AttributeNames": ["x"]}, "AttributeNames must be given"),
    ],
)
def test_combinations_that_do_not_exist(
    account: Account, mode: str, members: dict[str, Any], data_source: dict[str, Any], words: str
) -> None:
    """What AWS's guide rules out is refused when the job is made."""
    put(account, a="1")
    channel = source(account.channel("train", "in/", InputMode=mode, **members), **data_source)
    assert words in refusal(account, InputDataConfig=[channel])


def epochs(account: Account, name: str, channel: dict[str, Any], count: int = 1, **members: Any) -> list[bytes]:
    """What a program reads from the FIFOs of `train`, epoch by epoch."""
    script = PIPE.replace("EPOCHS", str(count))
    job = account.train(name, **account.script(script, mode="Pipe"), InputDataConfig=[channel], **members)
    assert job["TrainingJobStatus"] == "Completed"
    report = account.report(name)
    assert report["fifos"] == [f"train_{count}"]
    return [bytes.fromhex(epoch) for epoch in report["epochs"]]


def record(body: bytes) -> bytes:
    """A RecordIO record: magic number, length, bytes, zeros up to a multiple of four."""
    return struct.pack("<II", 0xCED7230A, len(body)) + body + b"\0" * (-len(body) % 4)


def test_pipe_mode_streams_every_epoch(account: Account) -> None:
    """Pipe: all objects one after the other in `<channel>_<epoch>`, and again in the next epoch's FIFO."""
    put(account, a="one\n", b="two\n")
    assert epochs(account, "pipe", account.channel("train", "in/"), 3) == [b"one\ntwo\n"] * 3


def test_pipe_mode_unpacks_and_wraps(account: Account) -> None:
    """Gzip is unpacked while streaming; RecordIO makes each object one record."""
    put(account, a=gzip.compress(b"hello"), b=gzip.compress(b"you!"))
    channel = account.channel("train", "in/", CompressionType="Gzip")
    assert epochs(account, "gzip", channel) == [b"helloyou!"]
    channel["RecordWrapperType"] = "RecordIO"
    assert epochs(account, "wrapped", channel) == [record(b"hello") + record(b"you!")]


def test_augmented_manifest_streams_attributes(account: Account) -> None:
    """Each line's attributes in the order of AttributeNames: `-ref` as the object's bytes, others as their value."""
    lines = [
        {"image-ref": "s3://data/in/a", "label": 3},
        {"image-ref": "s3://data/in/b", "label": "cat", "more": 1},
    ]
    put(account, a="AAAA", b="BB", manifest="\n".join(map(json.dumps, lines)))
    channel = source(
        account.channel("train", "in/manifest", RecordWrapperType="RecordIO"),
        S3DataType="AugmentedManifestFile",
        AttributeNames=["label", "image-ref"],
    )
    assert epochs(account, "augmented", channel) == [b"".join(map(record, (b"3", b"AAAA", b"cat", b"BB")))]


def test_shuffle_changes_the_order_with_each_epoch(account: Account) -> None:
    """ShuffleConfig: the same objects in another order each epoch; the same seed gives the same orders."""
    put(account, **{f"f{n}": f"{n:02}" for n in range(12)})
    channel = account.channel("train", "in/", ShuffleConfig={"Seed": 7})
    first = epochs(account, "shuffle", channel, 3)
    assert len(set(first)) == 3
    assert len({tuple(sorted(epoch[i : i + 2] for i in range(0, 24, 2))) for epoch in first}) == 1
    assert epochs(account, "again", channel, 3) == first


def test_reader_may_close_early(account: Account) -> None:
    """A program that has had enough of an epoch closes it, and finds the next one from its beginning."""
    put(account, big=b"x" * 3_000_000 + b"end")
    script = PIPE.replace("range(EPOCHS)", "[]").replace(
        "report = ", "early = epoch(0, 10)\nlate = epoch(1)\nreport = "
    )
    script = script.replace(
        'report["fifos"]', 'report["seen"] = [len(early), len(late), late[-3:].decode()]\nreport["fifos"]'
    )
    job = account.run(
        "early",
        **account.script(script, mode="Pipe"),
        InputDataConfig=[account.channel("train", "in/")],
    )
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert account.report("early")["seen"] == [10, 3_000_003, "end"]


def test_object_that_is_missing_from_a_stream_fails_the_job(account: Account) -> None:
    """A stream that breaks off is a download that failed, whatever the program makes of it."""
    put(account, manifest=json.dumps([{"prefix": "s3://data/in/"}, "gone"]))
    channel = source(account.channel("train", "in/manifest"), S3DataType="ManifestFile")
    script = PIPE.replace("EPOCHS", "1") + "\ntime.sleep(60)"
    job = account.fail("broken", **account.script(script, mode="Pipe"), InputDataConfig=[channel])
    assert job["FailureReason"].startswith("ClientError: Data download failed:Failed to download data. The specified")


@pytest.mark.parametrize("then", ["time.sleep(60)", ""])
def test_program_that_fills_its_volume_is_ended(account: Account, then: str) -> None:
    """The disk that a job may use is VolumeSizeInGB, here 1: whoever writes more fails, at once or at its end."""
    script = "import os, time\nfile = open('/opt/ml/output/data/big', 'wb')\n"
    script += f"os.posix_fallocate(file.fileno(), 0, 1200 << 20)\n{then}"
    job = account.fail("full", **account.script(script))
    assert job["FailureReason"].startswith("ClientError: Insufficient disk space: the job wrote more than")
