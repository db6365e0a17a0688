"""Batch transform of a million CSV rows, beside the same rows parsed and predicted in one process."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import Comparison, compare
from stagemaker.jobs.processes import tree
from stagemaker.testing import RunningStage, start_stage

_ROWS, _COLUMNS = 1_000_000, 20
_IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
_BARE = """
import sys, time
import numpy, pandas, xgboost
booster = xgboost.Booster(model_file=sys.argv[1])
start = time.perf_counter()
rows = pandas.read_csv(sys.argv[2], header=None, dtype=numpy.float32)
predictions = booster.predict(xgboost.DMatrix(rows.to_numpy()))
with open(sys.argv[3], "w") as target:
    target.writelines(f"{value}\\n" for value in predictions.tolist())
print(time.perf_counter() - start)
"""
"""Start and imports are not timed, as those of the job's container are not."""


def make(folder: Path) -> None:
    """The rows, and a model of 100 rounds."""
    import numpy as np
    import xgboost

    generator = np.random.default_rng(7)
    values = generator.normal(size=(_ROWS, _COLUMNS)).round(4)
    with (folder / "rows.csv").open("w") as file:
        for part in np.array_split(values, 50):
            file.writelines(",".join(map(str, row)) + "\n" for row in part.tolist())
    labels = values[:20_000, 0] + values[:20_000, 1] ** 2 > 0.5
    matrix = xgboost.DMatrix(values[:20_000], labels)
    xgboost.train({"objective": "binary:logistic", "max_depth": 5}, matrix, 100).save_model(
        folder / "xgboost-model.json"
    )
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "xgboost-model.json", "xgboost-model")


def bare(folder: Path) -> float:
    """Seconds of the library alone: read, predict, write."""
    command = [sys.executable, "-c", _BARE, "xgboost-model.json", "rows.csv", "bare.out"]
    return float(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


class Transforms:
    """A stage that holds the rows and the model."""

    def __init__(self, stage: RunningStage, folder: Path) -> None:
        self.stage = stage
        self.sagemaker, self.s3 = stage.client("sagemaker"), stage.client("s3")
        self.s3.create_bucket(Bucket="data")
        self.s3.upload_file(str(folder / "rows.csv"), "data", "in/rows.csv")
        self.s3.upload_file(str(folder / "model.tar.gz"), "data", "model.tar.gz")
        container = {"Image": _IMAGE, "ModelDataUrl": "s3://data/model.tar.gz"}
        self.sagemaker.create_model(ModelName="model", PrimaryContainer=container, ExecutionRoleArn=stage.role_arn)
        self.peak_runner = 0
        self._number = 0

    def run(self) -> float:
        """Seconds from the start of a job's work to its end, as Describe tells them."""
        self._number += 1
        name = f"job-{self._number}"
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}}
        self.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName="model",
            TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": "s3://data/out", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        )
        job = self._watch(name)
        assert job["TransformJobStatus"] == "Completed", job
        seconds: float = (job["TransformEndTime"] - job["TransformStartTime"]).total_seconds()
        return seconds

    def _watch(self, name: str) -> Any:
        """Its description in the end; meanwhile the runner's memory is looked at."""
        lock = self.stage.folder.root / "transform-jobs" / "us-east-1" / name / "runner.lock"
        while True:
            job = self.sagemaker.describe_transform_job(TransformJobName=name)
            if job["TransformJobStatus"] not in {"InProgress", "Stopping"}:
                return job
            if lock.exists() and (pid := lock.read_text()):
                runner = [each.resident for each in tree(int(pid)) if each.pid == int(pid)]
                self.peak_runner = max(self.peak_runner, *runner, 0)
            time.sleep(0.05)


def run() -> Comparison:
    """The comparison; its baseline is the library alone."""
    with tempfile.TemporaryDirectory(prefix="stagemaker-transform-") as name:
        folder = Path(name)
        make(folder)
        stage = start_stage(folder / "state")
        try:
            transforms = Transforms(stage, folder)
            compared = compare(
                f"batch transform of {_ROWS:,} x {_COLUMNS} CSV rows, beside pandas and `Booster.predict`",
                transforms.run,
                lambda: bare(folder),
                runs=3,
            )
            return replace(compared, name=f"{compared.name}; the runner's memory: {transforms.peak_runner >> 20} MB")
        finally:
            stage.stop()


if __name__ == "__main__":
    print(run().row())
