"""The small parts of a job: keys to paths, metrics from lines, archives, records, images."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.jobs.artifacts import pack
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.images import Algorithm, ProcessImages
from stagemaker.jobs.metrics import MetricScanner, required_text
from stagemaker.jobs.record import EndEvent, MetricEvent, RecordWriter, StatusEvent, read_record
from stagemaker.jobs.selection import DownloadError, relative_path
from stagemaker.jobs.spec import MetricDefinition, S3Uri

AUC = MetricDefinition("validation:auc", r".*\[[0-9]+\].*#011validation-auc:(\S+)")


@pytest.mark.parametrize(
    ("key", "prefix", "path"),
    [
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/a.csv", "data/train/", "a.csv"),
        ("data/train/x/a.csv", "data/train", "x/a.csv"),
        ("data/train.csv", "data/tr", "train.csv"),
        ("data/train2/a.csv", "data/train", "train2/a.csv"),
        ("data/train.csv", "data/train.csv", "train.csv"),
        ("a.csv", "", "a.csv"),
    ],
)
def test_key_becomes_path_below_channel(key: str, prefix: str, path: str) -> None:
    """The prefix is cut off as a folder, or after its last slash when it ends inside a name."""
    assert relative_path(key, prefix) == PurePosixPath(path)


@pytest.mark.parametrize("key", ["p/../../etc/passwd", "p//etc/passwd", "p/a\0b"])
def test_key_that_leaves_the_folder_is_refused(key: str) -> None:
    """A key is never a path outside the channel's folder."""
    with pytest.raises(DownloadError, match="cannot be a file"):
        relative_path(key, "p/")


def test_metric_is_found_behind_tabs_and_their_stored_form() -> None:
    """The built-in expressions want `#011`, a user's may want the tab that was printed."""
    scanner = MetricScanner([AUC, MetricDefinition("mine", r"loss\t([0-9.]+)")])
    assert list(scanner.scan("[7]\ttrain-auc:0.9\tvalidation-auc:0.81")) == [("validation:auc", 0.81)]
    assert list(scanner.scan("[7]#011train-auc:0.9#011validation-auc:0.82")) == [("validation:auc", 0.82)]
    assert list(scanner.scan("loss\t0.5")) == [("mine", 0.5)]


@pytest.mark.parametrize("value", ["nan", "inf", "many", ""])
def test_what_is_no_finite_number_is_no_metric(value: str) -> None:
    """A captured text that CloudWatch could not store is passed over."""
    assert not list(MetricScanner([MetricDefinition("x", r"x=(\S*)")]).scan(f"x={value}"))


def test_expression_without_a_group_matches_nothing() -> None:
    """There is no value to take without a capture group."""
    assert not list(MetricScanner([MetricDefinition("x", r"x=\d+")]).scan("x=3"))


@given(
    st.lists(
        st.sampled_from(["loss", "=", r"(\d+)", r"\s*", ".*", "[abc]+", "(?:x|y)", "epoch", "z?", r"\[", ";", "q{2}"]),
        min_size=1,
        max_size=6,
    ),
    st.text(alphabet="loseph=0123 abcxyz[;q", max_size=30),
)
def test_required_text_never_hides_a_match(parts: list[str], line: str) -> None:
    """The text that is searched first is in every line that the expression matches."""
    import re

    pattern = "".join(parts)
    literal = required_text(pattern)
    if literal and re.search(pattern, line):
        assert literal in line


def test_required_text_of_the_built_in_expressions() -> None:
    """The expressions that matter for speed do have one."""
    assert required_text(AUC.regex) == "#011validation-auc:"


def test_archive_holds_contents_at_its_top(tmp_path: Path) -> None:
    """`xgboost-model`, not `model/xgboost-model`; folders below are kept."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "xgboost-model").write_bytes(b"m")
    (folder / "sub" / "x").write_bytes(b"x")
    assert pack([folder], tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["sub/x", "xgboost-model"]


def test_archive_does_not_follow_links_out(tmp_path: Path) -> None:
    """A link that leads out of the folder is left out; one inside it is stored as its file."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("s")
    (folder / "model").write_text("m")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to(folder / "model")
    assert pack([folder], tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["in", "model"]
        assert all(member.isreg() for member in archive.getmembers())


def test_empty_folder_makes_no_archive(tmp_path: Path) -> None:
    """A container that leaves no model gets no model.tar.gz."""
    (tmp_path / "model").mkdir()
    assert not pack([tmp_path / "model"], tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def test_record_is_read_from_an_offset_and_never_half(tmp_path: Path) -> None:
    """Reading goes on where it stopped; a line that is still being written waits."""
    file = tmp_path / "record.jsonl"
    writer = RecordWriter(file)
    writer.write(StatusEvent(1.0, "Training", "m"), MetricEvent(2.0, "x", 0.5))
    writer.close()
    first = list(read_record(file))
    assert [entry.event for entry in first] == [StatusEvent(1.0, "Training", "m"), MetricEvent(2.0, "x", 0.5)]
    with file.open("ab") as half:
        half.write(b'{"event": "end"')
    assert not list(read_record(file, first[-1].offset))
    with file.open("ab") as rest:
        rest.write(b', "time": 3.0, "status": "Completed", "secondary": "Completed", "message": "m"}\n')
    assert [entry.event for entry in read_record(file, first[-1].offset)] == [
        EndEvent(3.0, "Completed", "Completed", "m")
    ]


def test_record_has_no_half_event_when_the_disk_is_full(tmp_path: Path) -> None:
    """What found no room is told to the writer; what comes later, when there is room again, can be read."""
    script = """
import resource, sys
from pathlib import Path
from stagemaker.jobs.record import MetricEvent, RecordWriter
writer = RecordWriter(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
try:
    writer.write(*(MetricEvent(float(number), "m", 0.0) for number in range(100)))
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.write(MetricEvent(100.0, "m", 0.0))
"""
    file = tmp_path / "record.jsonl"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    times = [entry.event.time for entry in read_record(file)]
    assert times[-1] == 100.0
    assert 1 < len(times) < 10
    assert times[:-1] == [float(number) for number in range(len(times) - 1)]


def test_lock_tells_a_living_runner(tmp_path: Path) -> None:
    """The lock is free before, taken while, and free after its holder's life."""
    directory = JobDirectory(tmp_path)
    assert not directory.runner_lives()
    handle = directory.take_lock()
    assert directory.runner_lives()
    with pytest.raises(BlockingIOError):
        directory.take_lock()
    os.close(handle)
    assert not directory.runner_lives()


@pytest.mark.parametrize(
    ("text", "uri"),
    [("s3://b/k/x", S3Uri("b", "k/x")), ("s3://b", S3Uri("b", "")), ("s3://b/", S3Uri("b", ""))],
)
def test_s3_uri(text: str, uri: S3Uri) -> None:
    """Bucket and key; the key may be empty."""
    assert S3Uri.parse(text) == uri


@pytest.mark.parametrize("text", ["", "b/k", "https://b/k", "s3:/b/k", "s3://"])
def test_not_an_s3_uri(text: str) -> None:
    """Anything else is an error that shows the text."""
    with pytest.raises(ValueError, match="not an S3 URI"):
        S3Uri.parse(text)


@pytest.mark.parametrize(("base", "joined"), [("s3://b", "s3://b/j/o"), ("s3://b/p/", "s3://b/p/j/o")])
def test_s3_uri_join(base: str, joined: str) -> None:
    """One slash between parts, none in front."""
    assert str(S3Uri.parse(base).join("j", "o")) == joined


ALGORITHM = Algorithm("some.module", {"sagemaker-xgboost": ("1.7-1", "3.2-0")}, (AUC,))


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "1.7-1"),
        ("141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0", "3.2-0"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1-cpu-py3", "1.7-1"),
    ],
)
def test_algorithm_is_known_by_repository_and_tag(image: str, tag: str) -> None:
    """Account and region of an image's address say nothing; the SDK's suffix is taken off."""
    program = ProcessImages([ALGORITHM]).program(image)
    assert program.command[1:] == ("-m", "some.module")
    assert program.environment == {"STAGEMAKER_IMAGE_TAG": tag}
    assert program.trusted
    assert ProcessImages([ALGORITHM]).metric_definitions(image) == (AUC,)


@pytest.mark.parametrize("image", ["../outside", "../../outside", "/outside"])
def test_image_never_leads_out_of_its_folder(tmp_path: Path, image: str) -> None:
    """A name is a name, whatever path it looks like."""
    (tmp_path / "images").mkdir()
    (tmp_path / "outside").mkdir()
    program = tmp_path / "outside" / "train"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    asked = image if image.startswith("..") else str(tmp_path / "outside")
    assert ProcessImages([], tmp_path / "images").program(asked).problem


@pytest.mark.parametrize("image", ["x.dkr.ecr.r.amazonaws.com/sagemaker-xgboost:9.9", "unknown:1", "Not An Image"])
def test_unknown_image_says_what_is_known(image: str) -> None:
    """The problem is AWS's sentence and then what this stage could run."""
    problem = ProcessImages([ALGORITHM]).program(image).problem
    assert problem is not None
    assert problem.startswith("Cannot pull algorithm container.")
    assert "1.7-1" in problem or "sagemaker-xgboost" in problem


def test_program_folder_stands_for_an_image(tmp_path: Path) -> None:
    """`<repository>:<tag>/train` before `<repository>/train`; a file that cannot run is none."""
    images = ProcessImages([], tmp_path)
    for name in ("mine", "mine:2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train").write_text("#!/bin/sh\n")
    assert images.program("mine:1").problem
    for name in ("mine", "mine:2"):
        (tmp_path / name / "train").chmod(0o755)
    assert images.program("mine:1").command == (str(tmp_path / "mine" / "train"),)
    assert images.program("1.dkr.ecr.r.amazonaws.com/mine:2").command == (str(tmp_path / "mine:2" / "train"),)
    assert not images.program("mine").trusted
