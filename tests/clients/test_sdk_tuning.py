"""The SageMaker SDK's tuner: its own calls, its own waiting, its own reading of what came."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagemaker.testing import RunningStage, start_stage

SCRIPT = """
import json, os
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, StoppingCondition
from sagemaker.train.model_trainer import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

session = Session(default_bucket="lab")
trainer = ModelTrainer(
    sagemaker_session=session,
    training_image=image_uris.retrieve("xgboost", region="us-east-1", version="1.7-1"),
    role=os.environ["ROLE"],
    base_job_name="xgb",
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    hyperparameters={"objective": "binary:logistic", "num_round": 3, "eval_metric": "auc"},
    output_data_config=OutputDataConfig(s3_output_path="s3://lab/out"),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
)
channels = [
    InputData(channel_name=name, data_source=f"s3://lab/{name}", content_type="text/csv")
    for name in ("train", "validation")
]
tuner = HyperparameterTuner(
    model_trainer=trainer,
    objective_metric_name="validation:auc",
    hyperparameter_ranges={"eta": ContinuousParameter(0.01, 0.3), "max_depth": IntegerParameter(2, 8)},
    max_jobs=2,
    max_parallel_jobs=2,
)
tuner.tune(inputs=channels, wait=True)
best = tuner.best_training_job()
table = tuner.analytics().dataframe()
print(json.dumps({"best": str(best), "jobs": sorted(table["TrainingJobName"]), "columns": sorted(table.columns)}))
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RunningStage]:
    """A stage with a table that has something to learn."""
    running = start_stage(tmp_path / "state")
    s3 = running.client("s3")
    s3.create_bucket(Bucket="lab")
    rows = "".join(f"{int(i % 7 > 3)},{i % 7 + i % 3 * 0.1},{i % 5}\n" for i in range(300))
    for channel in ("train", "validation"):
        s3.put_object(Bucket="lab", Key=f"{channel}/rows.csv", Body=rows.encode())
    yield running
    running.stop()


def test_tuner_of_the_sdk(stage: RunningStage) -> None:
    """`tune`, `best_training_job` and `analytics` find the two jobs and the better one of them."""
    python = os.environ.get("CLIENTS_PYTHON")
    if not python:
        pytest.skip("CLIENTS_PYTHON is not set: run these tests with `make test-clients`")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {**stage.environment(), "ROLE": stage.role_arn}
    done = subprocess.run([python, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (tuning,) = stage.client("sagemaker").list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    job = stage.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuning["HyperParameterTuningJobName"]
    )
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(found["jobs"]) == 2
    assert job["BestTrainingJob"]["TrainingJobName"] in found["best"]
    assert {"FinalObjectiveValue", "eta", "max_depth"} <= set(found["columns"])
