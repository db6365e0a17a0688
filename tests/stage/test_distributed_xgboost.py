"""Built-in XGBoost on several hosts: one model from all shards, as good as that of one host."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

Table = np.ndarray[Any, np.dtype[np.float64]]

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
CUSTOMERS = Path(__file__).parents[2] / "datasets" / "churn" / "customers.csv"
HYPERPARAMETERS = {"objective": "binary:logistic", "eval_metric": "auc", "num_round": "30", "max_depth": "4"}
PARTS = 4


@pytest.fixture(scope="module")
def customers() -> Table:
    """The label and every numeric column."""
    with CUSTOMERS.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "churn" and rows[0][name].replace(".", "", 1).isdigit()]
    return np.array([[row["churn"] == "yes", *(float(row[name]) for name in names)] for row in rows], dtype=float)


def as_csv(table: Table) -> bytes:
    """Label first, no header."""
    return "".join(",".join(map(repr, row)) + "\n" for row in table.tolist()).encode()


def train(account: Account, name: str, hosts: int, parts: int = PARTS) -> dict[str, Any]:
    """A job whose train channel is dealt out to its hosts and whose validation channel is on all of them."""
    channel = account.channel("train", f"train-{parts}/", ContentType="text/csv")
    channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    return account.run(
        name,
        HYPERPARAMETERS,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "FastFile"},
        InputDataConfig=[channel, account.channel("validation", "validation/", ContentType="text/csv")],
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1},
    )


def put(account: Account, customers: Table, parts: int = PARTS) -> Table:
    """The train channel in some objects, the validation channel in one; the rows that are held back."""
    s3 = account.client("s3")
    for number, part in enumerate(np.array_split(customers[:2400], parts)):
        s3.put_object(Bucket="data", Key=f"train-{parts}/{number}.csv", Body=as_csv(part))
    s3.put_object(Bucket="data", Key="validation/x.csv", Body=as_csv(customers[2400:3000]))
    return customers[3000:]


def auc(account: Account, name: str, held_back: Table) -> float:
    """How well the job's model ranks rows that it has never seen."""
    body = account.client("s3").get_object(Bucket="data", Key=f"output/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["xgboost-model"]
        file = archive.extractfile("xgboost-model")
        assert file is not None
        booster = xgboost.Booster(model_file=bytearray(file.read()))
    scores = booster.predict(xgboost.DMatrix(held_back[:, 1:]))
    ranks = scores.argsort().argsort() + 1.0
    leavers = held_back[:, 0] == 1
    worst = leavers.sum() * (leavers.sum() + 1) / 2
    return float((ranks[leavers].sum() - worst) / (leavers.sum() * (~leavers).sum()))


def test_two_hosts_train_one_model(account: Account, customers: Table) -> None:
    """Two hosts with half the data each: held-back AUC within 0.01 of the single host's, each round told once."""
    held_back = put(account, customers)
    one, two = train(account, "one", 1), train(account, "two", 2)
    assert (two["TrainingJobStatus"], two.get("FailureReason")) == ("Completed", None)
    assert one["TrainingJobStatus"] == "Completed"
    alone, together = auc(account, "one", held_back), auc(account, "two", held_back)
    assert alone > 0.8
    assert abs(alone - together) < 0.01
    logs = account.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    rows, rounds = [], []
    for stream in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="two/")["logStreams"]:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        lines = [event["message"] for event in events["events"]]
        rows += [line.split("has ")[1].split()[0] for line in lines if "Train matrix has" in line]
        rounds.append(sum(line.startswith("[") and "#011validation-auc" in line for line in lines))
    assert rows == ["1200", "1200"]
    assert sorted(rounds) == [0, 30]


def test_host_without_data_leaves_the_others_to_train(account: Account, customers: Table) -> None:
    """One object for three hosts: two have nothing to do, and the job completes with the third one's model."""
    held_back = put(account, customers, parts=1)
    job = train(account, "few", 3, parts=1)
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert auc(account, "few", held_back) > 0.8
