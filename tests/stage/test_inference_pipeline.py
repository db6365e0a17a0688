"""From raw customer rows to answers: scikit-learn trained by script mode and XGBoost on its features, in a row."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hosting
import numpy as np
import pandas as pd
import pytest
import xgboost
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


REGISTRY = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
SKLEARN = f"{REGISTRY}/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = f"{REGISTRY}/sagemaker-xgboost:3.2-0"
CUSTOMERS = Path(__file__).parents[2] / "datasets" / "churn" / "customers.csv"
CODE = {
    "sagemaker_program": "featurizer.py",
    "sagemaker_submit_directory": "s3://data/code/sourcedir.tar.gz",
    "sagemaker_container_log_level": "20",
    "sagemaker_region": "us-east-1",
}
# One file for training and for serving, in the manner of AWS's examples.
SCRIPT = """
import io, os, pickle
import pandas
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker

if __name__ == "__main__":
    table = pandas.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "rows.csv"), header=None)
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    ).fit(table)
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "columns.pickle"), "wb") as file:
        pickle.dump(columns, file)
    features = pandas.DataFrame(columns.transform(table))
    features.to_csv(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "features.csv"), header=False, index=False)

def model_fn(model_dir):
    with open(os.path.join(model_dir, "columns.pickle"), "rb") as file:
        return pickle.load(file)

def input_fn(body, content_type):
    return pandas.read_csv(io.StringIO(body), header=None)

def predict_fn(data, model):
    return model.transform(data)

def output_fn(prediction, accept):
    return worker.Response(encoders.encode(prediction, accept), mimetype=accept)
"""


def member(account: Account, key: str, name: str) -> bytes:
    """A file of an archive in S3."""
    body = account.client("s3").get_object(Bucket="data", Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def trained(account: Account, name: str, image: str, hyperparameters: dict[str, str], channel: dict[str, Any]) -> str:
    """The artifact of a job that completed."""
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File"}
    job = account.run(name, hyperparameters, AlgorithmSpecification=algorithm, InputDataConfig=[channel])
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    artifact: str = job["ModelArtifacts"]["S3ModelArtifacts"]
    return artifact


def test_raw_rows_to_answers(account: Account) -> None:
    """Endpoint and batch transform answer as the two libraries in one process do; an error names its container."""
    table = pd.read_csv(CUSTOMERS, nrows=400)
    rows = table.drop(columns="churn").to_csv(header=False, index=False)
    s3, host = account.client("s3"), hosting.Hosting(account.stage)
    host.put("code/sourcedir.tar.gz", {"featurizer.py": SCRIPT.encode()})
    s3.put_object(Bucket="data", Key="rows/rows.csv", Body=rows)
    as_json = {name: json.dumps(value) for name, value in CODE.items()}
    first = trained(account, "featurizer", SKLEARN, as_json, account.channel("train", "rows/"))
    text = member(account, "output/featurizer/output/output.tar.gz", "features.csv").decode()
    features = pd.read_csv(io.StringIO(text), header=None)
    labelled = features.copy()
    labelled.insert(0, "churn", (table["churn"] == "yes").astype(int))
    s3.put_object(Bucket="data", Key="train/part.csv", Body=labelled.to_csv(header=False, index=False))
    second = trained(
        account,
        "booster",
        XGBOOST,
        {"objective": "binary:logistic", "num_round": "10"},
        account.channel("train", "train/", ContentType="text/csv"),
    )
    booster = xgboost.Booster()
    booster.load_model(bytearray(member(account, "output/booster/output/model.tar.gz", "xgboost-model")))
    expected = booster.predict(xgboost.DMatrix(features.to_numpy(dtype=np.float32), nthread=1))

    variables = {name.upper(): value for name, value in CODE.items()}
    host.serve(
        "churn",
        host.container(SKLEARN, **variables, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv") | {"ModelDataUrl": first},
        host.container(XGBOOST) | {"ModelDataUrl": second},
    )
    answer = host.invoke("churn", rows, ContentType="text/csv").decode()
    assert np.allclose(np.array(answer.split(), dtype=float), expected, atol=1e-6)
    one = host.invoke("churn", rows.splitlines()[7], ContentType="text/csv").decode()
    assert float(one) == pytest.approx(expected[7], abs=1e-6)
    with pytest.raises(ClientError, match=r"server error \(500\) from container-1 with message"):
        host.invoke("churn", "1,2,3", ContentType="text/csv")
    assert host.logged("churn", '"X has 3 features"', 1)

    sagemaker = account.client("sagemaker")
    sagemaker.create_transform_job(
        TransformJobName="churn",
        ModelName="churn",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/rows/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": "s3://data/answers", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="churn")
    lines = s3.get_object(Bucket="data", Key="answers/rows.csv.out")["Body"].read().decode().split()
    assert np.allclose(np.array(lines, dtype=float), expected, atol=1e-6)
