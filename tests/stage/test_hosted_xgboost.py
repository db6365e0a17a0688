"""From a training job to an endpoint: what the hosted model answers is what the library itself predicts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from hosting import Hosting

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def test_trained_model_is_hosted(account: Account, tmp_path: Path) -> None:
    """The artifact that DescribeTrainingJob names goes into a model, the model behind an endpoint: CSV in, CSV out."""
    table = np.random.default_rng(5).normal(size=(400, 4)).round(3)
    table[:, 0] = table[:, 1] + table[:, 2] * table[:, 3] > 0
    lines = [",".join(map(repr, row)) for row in table.tolist()]
    account.client("s3").put_object(Bucket="data", Key="train/part.csv", Body="\n".join(lines))
    job = account.train(
        "xgb",
        {"objective": "binary:logistic", "num_round": "10", "max_depth": "3"},
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        InputDataConfig=[account.channel("train", "train/", ContentType="text/csv")],
    )
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    hosting = Hosting(account.stage)
    hosting.serve("xgb", {"Image": IMAGE, "ModelDataUrl": artifact})
    rows = "\n".join(line.partition(",")[2] for line in lines[:20])
    answer = hosting.invoke("xgb", rows, ContentType="text/csv").decode()
    body = account.client("s3").get_object(Bucket="data", Key="output/xgb/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(tmp_path, filter="data")
    # The library asks for an ending that AWS's name does not have, and says so in a warning.
    booster = xgboost.Booster(model_file=(tmp_path / "xgboost-model").rename(tmp_path / "model.ubj"))
    expected = booster.inplace_predict(table[:20, 1:])
    assert np.allclose([float(value) for value in answer.replace(",", "\n").split()], expected, atol=1e-6)
