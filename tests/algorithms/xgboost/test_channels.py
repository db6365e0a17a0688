"""Channels, content types and files: what is accepted and AWS's words for what is not."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from stagemaker.algorithms.xgboost.content_types import ContentType, parse
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.contract.training import ResourceConfig

OptMl = Any  # the helper of conftest.py

CSV = "1,2,3\n0,4,5\n1,1,0\n0,3,2\n"
LIBSVM = "1 0:2 1:3\n0 0:4 1:5\n1 0:1\n0 0:3 1:2\n"
ONE_ROUND = {"num_round": 1}


@pytest.mark.parametrize("content_type", ["csv", "text/csv"])
@pytest.mark.parametrize("distribution", ["FullyReplicated", "ShardedByS3Key"])
@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_csv_is_accepted_in_each_form(opt_ml: OptMl, content_type: str, distribution: str, mode: str) -> None:
    """Both spellings, both distributions, File and FastFile."""
    assert opt_ml.channel("train", CSV, content_type, mode, distribution).run(ONE_ROUND).code == 0


@pytest.mark.parametrize("content_type", ["libsvm", "text/libsvm", "text/x-libsvm", None])
def test_libsvm_is_accepted_and_the_default(opt_ml: OptMl, content_type: str | None) -> None:
    """A channel without a content type holds libsvm."""
    assert opt_ml.channel("train", LIBSVM, content_type).run(ONE_ROUND).code == 0


def test_csv_without_content_type_is_read_as_libsvm(opt_ml: OptMl) -> None:
    """The classic mistake, with AWS's sentence."""
    assert opt_ml.channel("train", CSV, None).run(ONE_ROUND).reason == (
        "ClientError: First line '1,2,3...' of file 'train.txt' is not 'LIBSVM' format. "
        "Please ensure the file is in 'LIBSVM' format."
    )


def test_libsvm_declared_as_csv(opt_ml: OptMl) -> None:
    """The other way round."""
    assert opt_ml.channel("train", LIBSVM, "text/csv").run(ONE_ROUND).reason == (
        "ClientError: First line '1 0:2 1:3...' of file 'train.txt' is not 'CSV' format. "
        "Please ensure the file is in 'CSV' format."
    )


@pytest.mark.parametrize(
    ("content_type", "mode", "distribution"),
    [
        ("application/json", "File", "FullyReplicated"),
        ("text/csv; charset=utf-8", "File", "FullyReplicated"),
        ("text/csv;label_size=1", "File", "FullyReplicated"),
        ("text/libsvm", "Pipe", "FullyReplicated"),
        ("text/csv", "File", "Elsewhere"),
    ],
)
def test_other_combinations_are_refused(opt_ml: OptMl, content_type: str, mode: str, distribution: str) -> None:
    """The whole ContentType string is compared, and the message shows the channel's configuration."""
    outcome = opt_ml.channel("train", CSV, content_type, mode, distribution).run(ONE_ROUND)
    shown = {
        "ContentType": content_type,
        "TrainingInputMode": mode,
        "S3DistributionType": distribution,
        "RecordWrapperType": "None",
    }
    assert outcome.reason == f"ClientError: Channel configuration for 'train' channel is not supported: {shown}"


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("text/csv", "CSV"),
        ("application/x-parquet", "Parquet"),
        ("application/x-recordio-protobuf", "RecordIO-Protobuf"),
    ],
)
@pytest.mark.parametrize("tag", ["3.2-0", "3.0-5"])
def test_pipe_mode_is_gone_from_the_newest_images(opt_ml: OptMl, content_type: str, name: str, tag: str) -> None:
    """AWS's sentence for each format that had it."""
    opt_ml.channel("train", CSV, content_type, "Pipe")
    assert opt_ml.run(ONE_ROUND, tag).reason == (
        f"ClientError: Pipe mode for {name} is no longer supported. Please use Fast File mode (default) instead. "
        "Set input_mode='File' in your SageMaker Estimator or TrainingInput."
    )


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [("text/csv", "Pipe"), ("application/x-parquet", "File"), ("application/x-recordio-protobuf", "File")],
)
@pytest.mark.parametrize("tag", ["1", "latest"])
def test_the_legacy_image_reads_text_files(opt_ml: OptMl, content_type: str, mode: str, tag: str) -> None:
    """0.72 has CSV and libsvm in File mode, and nothing else."""
    opt_ml.channel("train", CSV, content_type, mode)
    assert opt_ml.run(ONE_ROUND, tag).reason.startswith(
        f"ClientError: Channel configuration for 'train' channel is not supported: {{'ContentType': '{content_type}'"
    )


@pytest.mark.parametrize(("train", "validation"), [("Pipe", "File"), ("File", "Pipe")])
def test_all_channels_have_one_mode(opt_ml: OptMl, train: str, validation: str) -> None:
    """The container reads both as the train channel says."""
    opt_ml.channel("train", CSV, "text/csv", train).channel("validation", CSV, "text/csv", validation)
    assert opt_ml.run(ONE_ROUND, "1.7-1").reason.startswith("ClientError: Channel configuration for 'validation'")


def test_missing_and_unknown_channels(opt_ml: OptMl) -> None:
    """The train channel is required, and there are no others but validation and code."""
    assert opt_ml.channel("validation", CSV).run(ONE_ROUND).reason == "ClientError: Missing required channel: train"
    opt_ml.channel("train", CSV).channel("test", CSV)
    assert opt_ml.run(ONE_ROUND).reason == "ClientError: Extraneous channel found: test"


def test_the_code_channel(opt_ml: OptMl) -> None:
    """It is accepted as Python source and nothing else."""
    opt_ml.channel("train", CSV).channel("code", "pass\n", "text/python")
    assert opt_ml.run(ONE_ROUND).code == 0
    opt_ml.channel("code", "pass\n", "text/csv")
    assert opt_ml.run(ONE_ROUND).reason.startswith("ClientError: Channel configuration for 'code' channel is not")


@pytest.mark.parametrize(("channel", "word"), [("train", "training"), ("validation", "validation")])
@pytest.mark.parametrize("files", [{}, {"a.csv": ""}, {"_SUCCESS": "done"}], ids=["none", "empty", "underscore"])
def test_a_channel_without_data(opt_ml: OptMl, channel: str, word: str, files: dict[str, str]) -> None:
    """The path in the message is the one inside the container."""
    opt_ml.channel("train", CSV).channel("validation", CSV)
    (opt_ml.layout.channel(channel) / f"{channel}.txt").unlink()
    outcome = opt_ml.channel(channel, files).run(ONE_ROUND)
    assert outcome.reason == f"ClientError: No data in {word} channel path /opt/ml/input/data/{channel}"


def test_nested_folders_are_read_to_a_depth_of_three(opt_ml: OptMl) -> None:
    """Two folders below the channel are fine, three are not."""
    opt_ml.channel("train", {"a.csv": CSV, "x/b.csv": CSV, "x/y/c.csv": CSV})
    assert opt_ml.run(ONE_ROUND).code == 0
    assert opt_ml.booster.num_features() == 2
    opt_ml.channel("train", {"x/y/z/d.csv": CSV})
    assert opt_ml.run(ONE_ROUND).reason == "ClientError: Folder depth exceed the limit: 3."


def test_hidden_files_are_refused(opt_ml: OptMl) -> None:
    """Also in a folder of the channel."""
    opt_ml.channel("train", {"a.csv": CSV, "x/.DS_Store": "x"})
    assert opt_ml.run(ONE_ROUND).reason == (
        "ClientError: Hidden file found in the data path! Remove that before training."
    )


def test_the_same_file_in_both_channels_is_a_warning(opt_ml: OptMl, caplog: pytest.LogCaptureFixture) -> None:
    """AWS warns of it and trains."""
    opt_ml.channel("train", {"data.csv": CSV}).channel("validation", {"data.csv": CSV})
    assert opt_ml.run(ONE_ROUND).code == 0
    assert "Suspected identical files found: 'data.csv'" in caplog.text


@pytest.mark.parametrize("text", ["1\n0\n", "0.5\n", "label\n1\n", "\n1,2\n"])
def test_a_single_column_has_no_delimiter(opt_ml: OptMl, text: str) -> None:
    """AWS's sentence quotes the line."""
    assert opt_ml.channel("train", text).run(ONE_ROUND).reason == (
        f"ClientError: Could not determine delimiter on line {text.splitlines()[0]}:\nCould not determine delimiter"
    )


def test_compressed_files_are_not_unpacked(opt_ml: OptMl) -> None:
    """File mode delivers the object as it is: gzip is no CSV."""
    outcome = opt_ml.channel("train", {"a.csv.gz": gzip.compress(CSV.encode() * 50)}).run(ONE_ROUND)
    assert outcome.reason.startswith(
        ("ClientError: Could not determine delimiter on line", "ClientError: Failed to load csv data with exception:")
    )


def test_cross_validation_wants_one_host(opt_ml: OptMl) -> None:
    """The folds are drawn from all rows, which no host of several has."""
    two = ResourceConfig("algo-1", ("algo-1", "algo-2"), "ml.m5.large")
    outcome = opt_ml.channel("train", CSV).run({**ONE_ROUND, "_kfold": "3"}, resources=two)
    assert outcome.reason == "ClientError: Cross-validation (_kfold) trains on one host; set InstanceCount to 1."


def test_script_mode_needs_its_code(opt_ml: OptMl) -> None:
    """`sagemaker_program` without `sagemaker_submit_directory`: the customer can mend it."""
    outcome = opt_ml.run({"sagemaker_program": '"train.py"'})
    assert outcome.reason.startswith("ClientError: The hyperparameter sagemaker_submit_directory is missing")


def test_gpu_methods_need_a_gpu(opt_ml: OptMl) -> None:
    """A CPU never takes the place of a GPU."""
    opt_ml.channel("train", CSV)
    assert opt_ml.run({"num_round": 1, "tree_method": "gpu_hist"}).reason.startswith(
        "ClientError: Hyperparameter tree_method: gpu_hist needs a GPU"
    )
    assert opt_ml.run({"num_round": 1, "use_dask_gpu_training": "true"}).reason.startswith(
        "ClientError: Some configurations unsuitable for Dask GPU training were found: "
    )


@pytest.mark.parametrize(
    ("header", "content_type"),
    [
        (None, ContentType.LIBSVM),
        ("text/csv; charset=utf-8", ContentType.CSV),
        ("TEXT/CSV;label_size=1", ContentType.CSV),
        ("text/x-libsvm", ContentType.LIBSVM),
        ("application/x-parquet", ContentType.PARQUET),
        ("application/x-recordio-protobuf", ContentType.RECORDIO_PROTOBUF),
    ],
)
def test_content_type_headers(header: str | None, content_type: ContentType) -> None:
    """Parameters and case do not matter."""
    assert parse(header) is content_type


def test_content_type_headers_that_are_refused() -> None:
    """The list of what is accepted; and the label size."""
    with pytest.raises(UserError) as unknown:
        parse("application/json")
    assert str(unknown.value) == (
        "application/json is not an accepted ContentType: csv, libsvm, parquet, recordio-protobuf, text/csv, "
        "text/libsvm, text/x-libsvm, application/x-parquet, application/x-recordio-protobuf."
    )
    with pytest.raises(UserError) as label:
        parse("text/csv; label_size=0")
    assert str(label.value) == (
        "text/csv; label_size=0 is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
    )
