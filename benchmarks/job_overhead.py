"""CreateTrainingJob to the waiter's return, beside the bare algorithm program on the same files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from measure import Comparison, compare, seconds
from stagemaker.contract.layout import BASE_DIR_VARIABLE, Layout
from stagemaker.contract.training import ChannelConfig, ResourceConfig, write_training_config
from stagemaker.testing import RunningStage, start_stage

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
HYPERPARAMETERS = {"objective": "binary:logistic", "num_round": "100", "nthread": "1"}
ROWS, COLUMNS = 4000, 20


def table() -> bytes:
    """Label first, then numbers; the same bytes at each call."""
    import numpy as np

    generator = np.random.default_rng(7)
    features = generator.normal(size=(ROWS, COLUMNS))
    label = (features[:, 0] + generator.normal(size=ROWS) > 0).astype(int)
    rows = (f"{y}," + ",".join(f"{x:.4f}" for x in row) for y, row in zip(label, features, strict=True))
    return "\n".join(rows).encode() + b"\n"


def bare_program(folder: Path, data: bytes) -> float:
    """Seconds of the algorithm's own process on a prepared `/opt/ml`."""
    layout = Layout(folder / uuid.uuid4().hex)
    layout.make()
    layout.channel("train").mkdir()
    (layout.channel("train") / "train.csv").write_bytes(data)
    channel = ChannelConfig("train", "text/csv")
    write_training_config(layout, HYPERPARAMETERS, [channel], ResourceConfig("algo-1", ("algo-1",), "ml.m5.large"))
    environment = {**os.environ, BASE_DIR_VARIABLE: str(layout.base), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "stagemaker.algorithms.xgboost", "train"]
    return seconds(lambda: subprocess.run(command, env=environment, check=True, capture_output=True))


def training_job(stage: RunningStage, *, keep_alive: int = 0) -> float:
    """Seconds from the call of CreateTrainingJob to the return of an unmodified waiter."""
    sagemaker = stage.client("sagemaker")
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    name = f"bench-{uuid.uuid4().hex[:8]}"
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/train"}

    def job() -> None:
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn=stage.role_arn,
            HyperParameters=HYPERPARAMETERS,
            InputDataConfig=[
                {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
            ],
            OutputDataConfig={"S3OutputPath": "s3://bench/output"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
                "KeepAlivePeriodInSeconds": keep_alive,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        waiter.wait(TrainingJobName=name)

    return seconds(job)


def run_warm() -> Comparison:
    """The same in a warm pool: from the second job on an instance waits with the library imported."""
    return run(keep_alive=600)


def run(*, keep_alive: int = 0) -> Comparison:
    """The comparison; its baseline is the bare program."""
    where = "in a warm pool " if keep_alive else ""
    data = table()
    with tempfile.TemporaryDirectory() as folder:
        stage = start_stage(Path(folder) / "state")
        try:
            s3 = stage.client("s3")
            s3.create_bucket(Bucket="bench")
            s3.put_object(Bucket="bench", Key="train/train.csv", Body=data)
            return compare(
                f"CreateTrainingJob to Completed {where}({ROWS} x {COLUMNS}, 100 rounds), beside the bare program",
                lambda: training_job(stage, keep_alive=keep_alive),
                lambda: bare_program(Path(folder), data),
                runs=7,
            )
        finally:
            stage.stop()


if __name__ == "__main__":
    print(run().row())
    print(run_warm().row())
