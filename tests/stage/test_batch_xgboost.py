"""From a training job to a transform job: what batch transform writes is what the library itself predicts."""

from __future__ import annotations

import csv
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
CHURN = Path(__file__).parents[2] / "datasets" / "churn"
PARAMETERS = {"objective": "binary:logistic", "max_depth": "4", "eta": "0.3"}
ROUNDS = 20
TEXT = {"state", "area_code", "international_plan", "voice_mail_plan", "churn"}

Table = np.ndarray[Any, np.dtype[np.float64]]


def table(name: str) -> Table:
    """The label of each customer, 1 for one who left, and the numeric columns."""
    with (CHURN / name).open() as file:
        rows = list(csv.DictReader(file))
    return np.array(
        [[row["churn"] == "yes", *(float(value) for key, value in row.items() if key not in TEXT)] for row in rows]
    )


def lines(rows: Table) -> list[str]:
    """The rows as CSV, every number as exact as it is."""
    return [",".join(map(repr, row)) for row in rows.tolist()]


def test_trained_model_transforms_customers_that_it_never_saw(account: Account) -> None:
    """Customer ids stay with their predictions; the model does not see them."""
    s3, sagemaker = account.client("s3"), account.client("sagemaker")
    known, unknown = table("customers.csv"), table("heldback.csv")
    s3.put_object(Bucket="data", Key="train/known.csv", Body="\n".join(lines(known)))
    records = [f"customer-{number},{line}" for number, line in enumerate(lines(unknown[:, 1:]))]
    s3.put_object(Bucket="data", Key="in/unknown.csv", Body="\n".join(records))
    job = account.train(
        "xgb",
        {**PARAMETERS, "num_round": str(ROUNDS)},
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        InputDataConfig=[account.channel("train", "train/", ContentType="text/csv")],
    )
    Hosting(account.stage).model("xgb", {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
    sagemaker.create_transform_job(
        TransformJobName="batch",
        ModelName="xgb",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": "s3://data/out", "Accept": "text/csv", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="batch")
    output = s3.get_object(Bucket="data", Key="out/unknown.csv.out")["Body"].read().decode()
    answers = [line.split(",") for line in output.splitlines()]
    assert [name for name, _ in answers] == [f"customer-{number}" for number in range(len(unknown))]

    matrix = xgboost.DMatrix(known[:, 1:].astype(np.float32), known[:, 0])
    booster = xgboost.train({**PARAMETERS, "nthread": 1}, matrix, ROUNDS)
    expected = booster.predict(xgboost.DMatrix(unknown[:, 1:].astype(np.float32)))
    assert np.abs(np.array([float(value) for _, value in answers]) - expected).max() < 1e-6
