"""Script mode on the scikit-learn image: a preprocessing pipeline of the user's, trained over the wire."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:{}"
SCRIPT = """
import argparse, os, pickle
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--strategy")
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    told = parser.parse_args()
    table = pandas.read_csv(os.path.join(told.train, "rows.csv"), header=None)
    numbers = make_pipeline(SimpleImputer(strategy=told.strategy), StandardScaler())
    columns = ColumnTransformer([("numbers", numbers, [1, 2]), ("words", OneHotEncoder(sparse_output=False), [0])])
    columns.fit(table)
    print(f"columns={columns.transform(table).shape[1]};", flush=True)
    with open(os.path.join(told.model_dir, "model.pickle"), "wb") as file:
        pickle.dump(columns, file)
"""
ROWS = "ohio,1,10\ntexas,,20\nohio,3,30\nmaine,5,40\n"


def request(account: Account, tag: str = "1.2-1-cpu-py3") -> dict[str, Any]:
    """Members of a request whose code lies in S3, as the SDK's SKLearn estimator sends them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("featurizer.py")
        entry.size = len(SCRIPT.encode())
        tar.addfile(entry, io.BytesIO(SCRIPT.encode()))
    s3 = account.client("s3")
    s3.put_object(Bucket="data", Key="code/sourcedir.tar.gz", Body=packed.getvalue())
    s3.put_object(Bucket="data", Key="train/rows.csv", Body=ROWS.encode())
    own = {
        "sagemaker_program": "featurizer.py",
        "sagemaker_submit_directory": "s3://data/code/sourcedir.tar.gz",
        "strategy": "median",
    }
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE.format(tag),
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "columns", "Regex": "columns=([0-9]+);"}],
        },
        "HyperParameters": {name: json.dumps(value) for name, value in own.items()},
        "InputDataConfig": [account.channel("train", "train/")],
    }


def test_a_preprocessing_pipeline_is_trained(account: Account) -> None:
    """The artifact holds the fitted pipeline, the user's metric counts, and the log says which library stood behind."""
    job = account.run("featurize", **request(account))
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert [(metric["MetricName"], metric["Value"]) for metric in job["FinalMetricDataList"]] == [("columns", 5.0)]
    body = account.client("s3").get_object(Bucket="data", Key="output/featurize/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as artifact:
        file = artifact.extractfile("model.pickle")
        assert file is not None
        columns = pickle.loads(file.read())  # noqa: S301 - this test has written it
    import pandas as pd

    row = columns.transform(pd.read_csv(io.StringIO("texas,,25\n"), header=None))
    assert row.round(3).tolist() == [[0.0, 0.0, 0.0, 0.0, 1.0]]
    group, prefix = "/aws/sagemaker/TrainingJobs", "featurize/"
    events = account.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)["events"]
    text = "\n".join(event["message"] for event in events)
    assert "Image sagemaker-scikit-learn 1.2-1: the library here is scikit-learn " in text


@pytest.mark.parametrize("tag", ["0.24-1", "latest"])
def test_an_unknown_tag_cannot_be_pulled(account: Account, tag: str) -> None:
    """As any image that is not there; the reason names the tags that are."""
    reason = account.fail("unknown", **request(account, tag))["FailureReason"]
    assert "Cannot pull algorithm container" in reason
    assert "0.23-1" in reason
