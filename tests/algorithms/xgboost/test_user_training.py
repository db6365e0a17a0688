"""What AWS's package offers to training scripts, by AWS's names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stagemaker.algorithms.xgboost import program, user_training
from stagemaker.algorithms.xgboost.distributed import Cluster
from stagemaker.algorithms.xgboost.errors import UserError
from stagemaker.algorithms.xgboost.user_training import get_content_type, get_dmatrix, rabit_run
from stagemaker.contract.failure import read_failure

OptMl = Any  # the helper of conftest.py

# The shape of AWS's own examples for script mode.
SCRIPT = """
import argparse
import os

import xgboost as xgb
from sagemaker_xgboost_container import distributed
from sagemaker_xgboost_container.data_utils import get_dmatrix


def train(params, dtrain, model_dir, is_master):
    booster = xgb.train(params, dtrain, num_boost_round=3)
    if is_master:
        booster.save_model(os.path.join(model_dir, "xgboost-model"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_depth", type=int)
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    args = parser.parse_args()
    dtrain = get_dmatrix(args.train, "csv")
    distributed.rabit_run(
        exec_fun=train,
        args={"params": {"max_depth": args.max_depth}, "dtrain": dtrain, "model_dir": args.model_dir},
        include_in_training=dtrain is not None,
        hosts=["algo-1"],
        current_host=os.environ["SM_CURRENT_HOST"],
        update_rabit_args=True,
    )
"""


def test_a_script_like_those_of_aws(opt_ml: OptMl, churn: Any) -> None:
    """It reads its channel by get_dmatrix and trains by rabit_run, in a process of its own."""
    (opt_ml.layout.base / "source").mkdir()
    (opt_ml.layout.base / "source" / "train.py").write_text(SCRIPT)
    opt_ml.channel("train", churn.csv("train")).write(
        {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": '"/opt/ml/source"', "max_depth": 3}
    )
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(opt_ml.layout.base), "STAGEMAKER_CPUS": "1"}
    assert program.train(opt_ml.layout, environment) == 0, read_failure(opt_ml.layout, trust_class=True)
    assert opt_ml.booster.num_boosted_rounds() == 3
    assert opt_ml.booster.num_features() == churn.train.shape[1] - 1


def test_matrices_of_files_and_folders(tmp_path: Path) -> None:
    """One file, a folder with folders in it, several of either; None where nothing is."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one.csv").write_text("1,2,3\n0,4,5\n")
    (tmp_path / "a" / "b" / "two.csv").write_text("1,6,7\n")
    (tmp_path / "empty").mkdir()
    rows = {
        str(path): matrix.num_row()
        for path in (tmp_path / "a", tmp_path / "a" / "one.csv")
        if (matrix := get_dmatrix(str(path), "text/csv")) is not None
    }
    assert rows == {str(tmp_path / "a"): 3, str(tmp_path / "a" / "one.csv"): 2}
    both = get_dmatrix([str(tmp_path / "a"), str(tmp_path / "a" / "one.csv")], "csv", csv_weights=1)
    assert both is not None
    assert (both.num_row(), both.num_col()) == (5, 1)
    np.testing.assert_array_equal(np.sort(both.get_weight()), [2, 2, 4, 4, 6])
    assert get_dmatrix(str(tmp_path / "empty"), "csv") is None
    assert get_dmatrix(str(tmp_path / "absent"), "csv") is None
    with pytest.raises(UserError, match="Failed to load libsvm data with exception"):
        get_dmatrix(str(tmp_path / "a"), "libsvm")


def test_content_types() -> None:
    """The short names that get_dmatrix takes on AWS."""
    assert get_content_type("text/csv;label_size=1") == "csv"
    assert get_content_type(None) == "libsvm"
    with pytest.raises(UserError, match="application/json is not an accepted ContentType"):
        get_content_type("application/json")


def test_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in images that have pipes; the others say that they have none, and libsvm never had them."""
    os.mkfifo(tmp_path / "train_0")
    content = b"1,2,3\n0,4,5\n"
    writer = threading.Thread(target=(tmp_path / "train_0").write_bytes, args=(content,), daemon=True)
    writer.start()
    monkeypatch.setenv("STAGEMAKER_IMAGE_TAG", "1.7-1")
    matrix = get_dmatrix(str(tmp_path / "train"), "csv", is_pipe=True)
    writer.join(60)
    assert matrix is not None
    assert matrix.get_label().tolist() == [1, 0]
    assert get_dmatrix(str(tmp_path / "validation"), "csv", is_pipe=True) is None
    with pytest.raises(UserError, match=r"^Pipe mode not supported for LibSVM\.$"):
        get_dmatrix(str(tmp_path / "train"), "libsvm", is_pipe=True)
    monkeypatch.setenv("STAGEMAKER_IMAGE_TAG", "3.2-0")
    with pytest.raises(UserError, match=r"^Pipe mode for CSV is no longer supported\."):
        get_dmatrix(str(tmp_path / "train"), "csv", is_pipe=True)


def test_a_host_without_data_ends_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit code 0, after it has told the others; the function is not called."""

    def asked(cluster: Cluster, has_data: bool, _: object) -> Cluster:
        assert not has_data
        return Cluster(cluster.current, ("algo-1",))

    monkeypatch.setattr(user_training, "hosts_with_data", asked)
    with pytest.raises(SystemExit) as ended:
        rabit_run(pytest.fail, {}, include_in_training=False, hosts=["algo-2", "algo-1"], current_host="algo-2")
    assert ended.value.code == 0


@pytest.mark.parametrize(("host", "saves"), [("algo-2", True), ("algo-3", False)])
def test_the_first_host_with_data_saves(monkeypatch: pytest.MonkeyPatch, host: str, saves: bool) -> None:
    """All that have data train together; the first of them hears that it is the master."""

    def with_data(cluster: Cluster, has_data: bool, _: object) -> Cluster:
        assert has_data
        assert cluster == Cluster(host, ("algo-1", "algo-2", "algo-3"))
        return Cluster(host, ("algo-2", "algo-3"))

    joined: list[Cluster] = []

    @contextmanager
    def together(cluster: Cluster, _: object) -> Iterator[None]:
        joined.append(cluster)
        yield

    monkeypatch.setattr(user_training, "hosts_with_data", with_data)
    monkeypatch.setattr(user_training, "together", together)
    called: list[dict[str, Any]] = []
    hosts = ["algo-3", "algo-1", "algo-2"]
    rabit_run(lambda **given: called.append(given), {"a": 1}, True, hosts, host, update_rabit_args=True)
    rabit_run(lambda **given: called.append(given), {"a": 1}, True, hosts, host)
    assert called == [{"a": 1, "is_master": saves}, {"a": 1}]
    assert joined == [Cluster(host, ("algo-2", "algo-3"))] * 2


def test_packages_of_aws_do_not_hide_others() -> None:
    """A program outside the image does not find them."""
    command = [sys.executable, "-c", "import sagemaker_xgboost_container"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
