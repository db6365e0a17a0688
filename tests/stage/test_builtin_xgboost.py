"""The built-in XGBoost through the whole service: the artifact is what the library itself would train."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from pyarrow import parquet

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
CUSTOMERS = Path(__file__).parents[2] / "datasets" / "churn" / "customers.csv"
HYPERPARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": "auc,logloss",
    "num_round": "20",
    "max_depth": "4",
    "subsample": "0.8",
    "seed": "3",
}
ALGORITHM = {"TrainingImage": IMAGE, "TrainingInputMode": "File"}


def numbers() -> np.ndarray[Any, np.dtype[np.float64]]:
    """The customers' label, 1 for one who left, and every numeric column."""
    with CUSTOMERS.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "churn" and _is_number(rows[0][name])]
    return np.array([[row["churn"] == "yes", *(float(row[name]) for name in names)] for row in rows])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_csv(table: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    """Label first, no header."""
    return "".join(f"{int(row[0])}," + ",".join(map(repr, row[1:].tolist())) + "\n" for row in table).encode()


def as_libsvm(table: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    """`label index:value ...`, zeros left out, as sparse data is written."""
    lines = (
        f"{int(row[0])} " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row[1:].tolist()) if value)
        for row in table
    )
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("content_type", ["text/csv", "text/libsvm"])
def test_model_and_metrics_are_the_librarys_own(account: Account, tmp_path: Path, content_type: str) -> None:
    """Trained on the same files by the library directly, predictions and metrics agree to 1e-6."""
    table = numbers()
    train, validation = table[:3000], table[3000:]
    write = as_csv if content_type == "text/csv" else as_libsvm
    for name, part in (("train", train), ("validation", validation)):
        account.client("s3").put_object(Bucket="data", Key=f"{name}/part.txt", Body=write(part))
    job = account.train(
        "xgb",
        HYPERPARAMETERS,
        AlgorithmSpecification=ALGORITHM,
        InputDataConfig=[
            account.channel(name, f"{name}/", ContentType=content_type) for name in ("train", "validation")
        ],
    )
    body = account.client("s3").get_object(Bucket="data", Key="output/xgb/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["xgboost-model"]
        archive.extractall(tmp_path, filter="data")
    # The library asks for an ending that AWS's name does not have, and says so in a warning.
    ours = xgboost.Booster(model_file=(tmp_path / "xgboost-model").rename(tmp_path / "model.ubj"))

    missing = np.nan if content_type == "text/csv" else 0.0
    matrices = [xgboost.DMatrix(part[:, 1:], part[:, 0], missing=missing) for part in (train, validation)]
    log: dict[str, dict[str, list[float]]] = {}
    parameters = {name: value for name, value in HYPERPARAMETERS.items() if name not in {"num_round", "eval_metric"}}
    theirs = xgboost.train(
        {**parameters, "eval_metric": ["auc", "logloss"]},
        matrices[0],
        20,
        evals=[(matrices[0], "train"), (matrices[1], "validation")],
        evals_result=log,
        verbose_eval=False,
    )
    assert np.abs(ours.predict(matrices[1]) - theirs.predict(matrices[1])).max() < 1e-6
    final = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    for data in ("train", "validation"):
        for metric in ("auc", "logloss"):
            # The log prints five decimals, so that is what a metric read from it can hold.
            assert final[f"{data}:{metric}"] == pytest.approx(log[data][metric][-1], abs=5.1e-6)


def test_parquet_files_and_pipes_of_csv_train_the_same_model(account: Account) -> None:
    """Image 1.7-1 on the same customers in two forms, train and validation: one artifact, bit for bit."""
    table = numbers()[:600]
    s3 = account.client("s3")
    for name, part in (("train", table[:500]), ("validation", table[500:])):
        file = io.BytesIO()
        parquet.write_table(pa.table({f"c{number}": column for number, column in enumerate(part.T)}), file)
        s3.put_object(Bucket="data", Key=f"parquet/{name}/part.parquet", Body=file.getvalue())
        for number, half in enumerate(np.array_split(part, 2)):
            s3.put_object(Bucket="data", Key=f"csv/{name}/{number}.csv", Body=as_csv(half))
    models = []
    for folder, content_type, mode in (("parquet", "application/x-parquet", "File"), ("csv", "text/csv", "Pipe")):
        job = account.train(
            f"xgb-{folder}",
            HYPERPARAMETERS,
            AlgorithmSpecification={"TrainingImage": IMAGE.replace("3.2-0", "1.7-1"), "TrainingInputMode": mode},
            InputDataConfig=[
                account.channel(name, f"{folder}/{name}/", ContentType=content_type) for name in ("train", "validation")
            ],
        )
        assert job["TrainingJobStatus"] == "Completed"
        body = s3.get_object(Bucket="data", Key=f"output/xgb-{folder}/output/model.tar.gz")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            member = archive.extractfile("xgboost-model")
            assert member is not None
            models.append(member.read())
    assert models[0] == models[1]


def test_customers_mistake_is_a_client_error(account: Account) -> None:
    """The algorithm's own refusals name the customer as the one who can mend it."""
    account.client("s3").put_object(Bucket="data", Key="train/x.csv", Body=b"1,2\n0,1\n")
    channels = [account.channel("train", "train/", ContentType="text/csv")]
    members = {"AlgorithmSpecification": ALGORITHM, "InputDataConfig": channels}
    missing = account.fail("missing", {}, **members)
    assert missing["FailureReason"].startswith("ClientError: Missing required hyperparameter: num_round")
    unknown = account.fail("unknown", {"num_round": "1", "silent": "0"}, **members)
    assert unknown["FailureReason"].startswith("ClientError: Extraneous hyperparameter found: silent")
    no_type = [account.channel("train", "train/")]
    libsvm = account.fail("libsvm", {"num_round": "1"}, AlgorithmSpecification=ALGORITHM, InputDataConfig=no_type)
    assert "is not 'LIBSVM' format" in libsvm["FailureReason"]


def test_every_metric_of_a_round_reaches_cloudwatch(account: Account) -> None:
    """Twenty rounds are twenty values of each metric."""
    from datetime import timedelta

    account.client("s3").put_object(Bucket="data", Key="train/x.csv", Body=as_csv(numbers()[:200]))
    job = account.train(
        "rounds",
        {**HYPERPARAMETERS, "eval_metric": "auc"},
        AlgorithmSpecification=ALGORITHM,
        InputDataConfig=[account.channel("train", "train/", ContentType="text/csv")],
    )
    assert len(job["AlgorithmSpecification"]["MetricDefinitions"]) > 40
    points = account.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="train:auc",
        Dimensions=[{"Name": "TrainingJobName", "Value": "rounds"}],
        StartTime=job["CreationTime"] - timedelta(minutes=1),
        EndTime=job["TrainingEndTime"] + timedelta(minutes=1),
        Period=60,
        Statistics=["SampleCount"],
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == 20
