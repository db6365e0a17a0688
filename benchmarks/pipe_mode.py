"""1 GiB through Pipe mode, from S3 to the program, beside `cat` of a local file through a FIFO."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from measure import Comparison, compare, seconds
from stagemaker.testing import RunningStage, start_stage

_OBJECTS, _OBJECT_BYTES = 8, 128 << 20
_PROGRAM = """#!/usr/bin/env python3
import os, time
start = time.perf_counter()
with open(os.environ["SAGEMAKER_BASE_DIR"] + "/input/data/train_0", "rb", buffering=0) as stream:
    while stream.read(1 << 20):
        pass
print(f"read={time.perf_counter() - start}", flush=True)
"""


def through_the_stage(stage: RunningStage, number: int) -> float:
    """Seconds in which a job's program reads its channel, as it prints them itself."""
    sagemaker, name = stage.client("sagemaker"), f"pipe-{number}"
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": "reads:1",
            "TrainingInputMode": "Pipe",
            "MetricDefinitions": [{"Name": "read", "Regex": "read=([0-9.]+)"}],
        },
        RoleArn=stage.role_arn,
        InputDataConfig=[
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}},
            }
        ],
        OutputDataConfig={"S3OutputPath": "s3://data/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    return float(job["FinalMetricDataList"][0]["Value"])


def by_cat(folder: Path) -> float:
    """Seconds in which the same program reads what `cat` writes."""
    fifo = folder / "fifo"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    with subprocess.Popen(["sh", "-c", f"exec cat {folder / 'file'} > {fifo}"]):

        def read() -> None:
            with fifo.open("rb", buffering=0) as stream:
                while stream.read(1 << 20):
                    pass

        return seconds(read)


def run() -> Comparison:
    """The comparison; its baseline is `cat`."""
    with tempfile.TemporaryDirectory(prefix="stagemaker-pipe-") as name:
        folder = Path(name)
        blob = os.urandom(1 << 20) * (_OBJECT_BYTES >> 20)
        with (folder / "file").open("wb") as file:
            for _ in range(_OBJECTS):
                file.write(blob)
        program = folder / "images" / "reads" / "train"
        program.parent.mkdir(parents=True)
        program.write_text(_PROGRAM)
        program.chmod(0o755)
        stage = start_stage(folder / "state", images=folder / "images")
        numbers = iter(range(100))
        try:
            s3 = stage.client("s3")
            s3.create_bucket(Bucket="data")
            for key in range(_OBJECTS):
                s3.put_object(Bucket="data", Key=f"in/{key}", Body=blob)
            return compare(
                "1 GiB from S3 by Pipe mode, beside `cat` of a local file through a FIFO",
                lambda: through_the_stage(stage, next(numbers)),
                lambda: by_cat(folder),
            )
        finally:
            stage.stop()


if __name__ == "__main__":
    print(run().row())
