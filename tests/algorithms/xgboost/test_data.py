"""CSV and libsvm: what is read, exactly, and what is refused in which words."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from stagemaker.algorithms.xgboost import loading
from stagemaker.algorithms.xgboost.arrow_tables import read_quickly
from stagemaker.algorithms.xgboost.csv_records import _read_with_blanks, read_csv
from stagemaker.algorithms.xgboost.libsvm_records import parse_libsvm, read_libsvm

OptMl = Any  # the helper of conftest.py
NAN = math.nan


def csv_of(tmp_path: Path, text: str, delimiter: str = ",", *, weighted: bool = False) -> Any:
    """Read one CSV file."""
    file = tmp_path / "data.csv"
    file.write_bytes(text.encode())
    return read_csv([file], delimiter, weighted=weighted)


def library_reader(uri: str) -> xgboost.DMatrix:
    """What the library's own reader makes of a file. It says once in a process that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return xgboost.DMatrix(uri)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("1,2,3\n0,4,5\n", ","),
        ("1,2,3\r\n0,4,5\r\n", ","),
        ("1,2,3\n0,4,5", ","),
        ("\ufeff1,2,3\n0,4,5\n", ","),
        ("1, 2 ,3\n\n0,+4,5.0e0\n\n", ","),
        ("1\t2\t3\n0\t4\t5\n", "\t"),
        ("1|2|3\n0|4|5\n", "|"),
        ("1;2;3\n0;4;5\n", ";"),
        ("1 2 3\n0 4 5\n", " "),
    ],
)
def test_csv_forms(tmp_path: Path, text: str, delimiter: str) -> None:
    """Line ends, a byte order mark, spaces, empty lines and every delimiter: the label is the first column."""
    records = csv_of(tmp_path, text, delimiter)
    assert records.label.tolist() == [1, 0]
    assert records.features.tolist() == [[2, 3], [4, 5]]


def test_blank_cells_are_missing(tmp_path: Path) -> None:
    """At the start, in the middle, at the end, and filled with spaces; nan too."""
    records = csv_of(tmp_path, "1,,3\r\n0, ,\r\n1,nan,2\r\n,,\r\n")
    np.testing.assert_array_equal(records.features, [[NAN, 3], [NAN, NAN], [NAN, 2], [NAN, NAN]])
    np.testing.assert_array_equal(records.label, [1, 0, 1, NAN])


def test_numbers_are_rounded_correctly(tmp_path: Path) -> None:
    """Every cell is the float32 nearest to its text; the library's own parser misses some by one unit."""
    texts = [repr(value) for value in (np.random.default_rng(3).normal(size=2000) * 1000).tolist()]
    records = csv_of(tmp_path, "".join(f"0,{text}\n" for text in texts))
    np.testing.assert_array_equal(records.features[:, 0], np.array(texts, dtype=np.float64).astype(np.float32))


def test_weights(tmp_path: Path) -> None:
    """With csv_weights the second column is the weight of its row."""
    records = csv_of(tmp_path, "1,0.5,3\n0,2,5\n", weighted=True)
    assert records.weight.tolist() == [0.5, 2]
    assert records.features.tolist() == [[3], [5]]


def test_a_header_becomes_a_record_and_a_warning(opt_ml: OptMl, caplog: pytest.LogCaptureFixture) -> None:
    """As in the library: label 0, no features. The log says so, and the row counts show it."""
    caplog.set_level("INFO")
    opt_ml.channel("train", "left,minutes,calls\n1,2,3\n0,4,5\n")
    assert opt_ml.run({"num_round": 1}).code == 0
    assert "The first line of 'train.txt' looks like a header: 'left,minutes,calls'. XGBoost does not" in caplog.text
    assert "Train matrix has 3 rows and 2 columns" in caplog.text


@pytest.mark.parametrize("header", ["y,a,b", '"y","a","b"', "y,1st,b", "7,a,", "y,,b"])
def test_a_header_is_read_as_the_library_reads_it(tmp_path: Path, header: str) -> None:
    """The library's own parser is the oracle: text is missing, a number in front of text counts."""
    text = f"{header}\n1,2,3\n0,4,5\n"
    records = csv_of(tmp_path, text)
    oracle = library_reader(f"{tmp_path / 'data.csv'}?format=csv&label_column=0")
    assert records.label.tolist() == oracle.get_label().tolist()
    ours = xgboost.DMatrix(records.features).get_data()
    assert (ours != oracle.get_data()).nnz == 0
    assert ours.indices.tolist() == oracle.get_data().indices.tolist()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,2,3\n0,yes,5\n", "line 2 of file 'train.txt', column 1: 'yes' is not a number"),
        ("y,a,b\n1,2,x\n", "line 2 of file 'train.txt', column 2: 'x' is not a number"),
        ('1,2,3\n0,"4",5\n', "line 2 of file 'train.txt', column 1: '\"4\"' is not a number"),
        ("1,2,3\n0,4 5,6\n", "line 2 of file 'train.txt', column 1: '4 5' is not a number"),
        ("1,2,3\n0,1_0,6\n", "line 2 of file 'train.txt', column 1: '1_0' is not a number"),
        ("1,2,3\n0,4\n", "line 2 of file 'train.txt' has 2 columns, the lines before it have 3"),
        ("1,2,3\n0,,\n0,4,5,6\n", "line 3 of file 'train.txt' has 4 columns, the lines before it have 3"),
        ("y,a\n1,2,3\n0,4,5\n", "line 2 of file 'train.txt' has 3 columns, the lines before it have 2"),
    ],
)
def test_csv_that_cannot_be_read(opt_ml: OptMl, text: str, reason: str) -> None:
    """AWS's heading, and the first line at fault; nothing is silently read as something else."""
    outcome = opt_ml.channel("train", text).run({"num_round": 1})
    assert outcome.reason == f"ClientError: Failed to load csv data with exception:\n{reason}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,2,3\n0,inf,5\n", "Input data contains `inf` or a value too large"),
        ("1,2,3\n0,1e39,5\n", "Input data contains `inf` or a value too large"),
        ("1,2,3\n,4,5\n", "Label contains NaN, infinity or a value too large."),
    ],
)
def test_values_that_the_library_refuses(opt_ml: OptMl, text: str, reason: str) -> None:
    """The library's sentence under AWS's heading, without its stack."""
    outcome = opt_ml.channel("train", text).run({"num_round": 1})
    assert outcome.reason.startswith("ClientError: Failed to load csv data with exception:\n")
    assert reason in outcome.reason
    assert "Stack trace" not in outcome.reason


def test_bytes_that_are_no_text(opt_ml: OptMl) -> None:
    """Latin-1 in the middle of a file."""
    outcome = opt_ml.channel("train", b"1,2,3\n0,\xe9,5\n").run({"num_round": 1})
    assert outcome.reason.startswith(
        "ClientError: Failed to load csv data with exception:\nfile 'train.txt' is not text in UTF-8: "
    )


def test_many_files_are_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    """And must have one width."""
    files = [tmp_path / name for name in ("a.csv", "b.csv")]
    files[0].write_text("1,2\n")
    files[1].write_text("0,3\n1,4\n")
    assert read_csv(files, ",", weighted=False).features.ravel().tolist() == [2, 3, 4]
    files[1].write_text("0,3,4\n")
    with pytest.raises(ValueError, match=r"file 'b.csv' has 3 columns, the files before it have 2"):
        read_csv(files, ",", weighted=False)


@given(
    rows=st.lists(
        st.lists(
            st.floats(width=32).map(repr)
            | st.sampled_from(
                ["", " ", "1", "-0", "+4", " 7 ", "1e-50", "1e39", "inf", "-nan", ".5", "x", "1_0", '"1"']
            ),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    end=st.sampled_from(["\n", "\r\n", ""]),
)
@settings(max_examples=100, derandomize=True)
def test_both_ways_of_reading_agree(rows: list[list[str]], end: str) -> None:
    """The quick reader gives the very numbers of the careful one, and takes nothing that it refuses."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        file.write_text((end or "\n").join(",".join(row) for row in rows) + end, newline="")
        quick = read_quickly(file, ",", len(rows[0]), threads=True)
        if quick is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a file of empty lines
                np.testing.assert_array_equal(quick, _read_with_blanks(file, ",", 0))


def test_the_quick_way_is_for_ordinary_files(tmp_path: Path) -> None:
    """Numbers and empty cells do not need the careful reader."""
    (tmp_path / "data.csv").write_text("1,,3\n0,nan,-2.5e-3\n")
    quick = read_quickly(tmp_path / "data.csv", ",", 3, threads=True)
    assert quick is not None
    np.testing.assert_array_equal(quick, np.array([[1, NAN, 3], [0, NAN, -2.5e-3]], dtype=np.float32))


# libsvm


@pytest.mark.parametrize(
    "text",
    [
        "1 0:1 2:3\n0 1:2\n",
        "1 1:1 2:3\n0 1:2\n",
        "1:0.5 1:1 2:3\n0:2 1:2\n",
        "1 qid:1 1:1 2:3\n0 qid:1 1:2\n1 qid:2 1:3\n",
        "1 0:1 2:3 # note 5:6\n\n0 1:2 \n",
        "1\n0 1:2\n",
        "1\t0:1\t2:3\n-1 1:-2e-3\n",
        "1 2:3 0:1\n0 1:0\n",
    ],
)
def test_libsvm_is_read_as_the_library_reads_it(tmp_path: Path, text: str) -> None:
    """Labels, weights, groups and columns (taken as they stand) equal those of the library's reader."""
    (tmp_path / "data.libsvm").write_text(text)
    records, oracle = parse_libsvm(text.encode()), library_reader(f"{tmp_path / 'data.libsvm'}?format=libsvm")
    ours = records.to_dmatrix(1)
    assert ours.get_label().tolist() == oracle.get_label().tolist()
    assert ours.get_weight().tolist() == oracle.get_weight().tolist()
    assert ours.get_uint_info("group_ptr").tolist() == oracle.get_uint_info("group_ptr").tolist()
    assert ours.num_col() == oracle.num_col()
    np.testing.assert_array_equal(ours.get_data().toarray(), oracle.get_data().toarray())


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("x 0:1", "'x' is not <label>[:<weight>]"),
        ("1:2:3 0:1", "'1:2:3' is not <label>[:<weight>]"),
        ("1 0", "'0' is not <index>:<value>"),
        ("1 a:2", "'a:2' is not <index>:<value>"),
        ("1 0:b", "'0:b' is not <index>:<value>"),
        ("1 0:", "'0:' is not <index>:<value>"),
        ("1 -1:2", "'-1:2' is not <index>:<value>"),
        ("1 1.5:2", "'1.5:2' is not <index>:<value>"),
        ("1 0:1:2 3", "'0:1:2' is not <index>:<value>"),
        ("1:1 2 3:4", "'2' is not <index>:<value>"),
        ("1 99999999999:2", "'99999999999:2' is not <index>:<value>"),
    ],
)
def test_malformed_libsvm_lines(opt_ml: OptMl, line: str, fault: str) -> None:
    """Behind a good first line; the library's own reader may crash on these."""
    opt_ml.channel("train", f"1 0:1 1:2\n{line}\n", "text/libsvm")
    assert opt_ml.run({"num_round": 1}).reason == (
        f"ClientError: Failed to load libsvm data with exception:\nfile 'train.txt': line 2: {fault}"
    )


def test_more_columns_than_memory(opt_ml: OptMl, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong column number is refused before the library takes all memory for the columns between."""
    monkeypatch.setattr(loading, "_memory", lambda: 8 << 30)
    job = opt_ml.channel("train", "1 0:2 1:3\n0 0:1 2147483640:4\n", "text/libsvm")
    assert job.run({"num_round": 1}).reason == (
        "ClientError: Failed to load libsvm data with exception:\n"
        "2147483641 columns need more than 299 GB of memory, this machine has 8"
    )


def test_libsvm_without_features_is_warned_of(opt_ml: OptMl, caplog: pytest.LogCaptureFixture) -> None:
    """AWS's warning, whatever happens then."""
    outcome = opt_ml.channel("train", "1\n0\n", "text/libsvm").run({"num_round": 1})
    assert "File train.txt is not an invalid LIBSVM file but has no features." in caplog.text
    assert outcome.reason.startswith("AlgorithmError: XGB train call failed with exception:\n ")


def test_libsvm_files_may_differ_in_width_and_weights(tmp_path: Path) -> None:
    """The table is as wide as the widest file, and rows without a weight weigh one."""
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, text in zip(files, ["1 0:1\n", "0:3 4:2\n", ""], strict=True):
        file.write_text(text)
    records = read_libsvm(files)
    assert records.features.shape == (2, 5)
    assert records.weight is not None
    assert records.weight.tolist() == [1, 3]


@pytest.mark.parametrize("text", ["1 qid:1 0:1\n0 0:2\n", "0 0:2\n1 qid:1 0:1\n"])
def test_groups_are_for_all_lines_or_none(text: str) -> None:
    """A qid that some lines lack is refused."""
    with pytest.raises(ValueError, match="1 of 2 lines have a qid"):
        parse_libsvm(text.encode())


def test_large_libsvm_numbers_keep_their_places() -> None:
    """A thousand lines of random sparsity, against a plain reading line by line."""
    random = np.random.default_rng(5)
    lines, expected = [], np.zeros((1000, 20), dtype=np.float32)
    for row in range(1000):
        columns = np.flatnonzero(random.random(20) < 0.3)
        for column in columns:
            expected[row, column] = np.float32(random.normal())
        cells = " ".join(f"{column}:{float(expected[row, column])!r}" for column in columns)
        lines.append(f"{row % 2} {cells}")
    records = parse_libsvm("\n".join(lines).encode())
    np.testing.assert_array_equal(records.features.toarray()[:, :20], expected[:, : records.columns])
    assert records.label is not None
    assert records.label.tolist() == [row % 2 for row in range(1000)]
