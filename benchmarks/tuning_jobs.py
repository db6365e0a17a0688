"""A tuning job, beside the same search in two plain processes.

`python benchmarks/tuning_jobs.py [--jobs 40] [--rows 100000] [--rounds 300] [--runs 1]`. Both try the same values
(Random with a seed), two at a time with one thread each. The plain processes read the table once, as numbers, and
train one model after another with the library: no service, no logs, no files between them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from measure import HEAD, Comparison, compare, machine, seconds
from stagemaker.sagemaker.tuning.search import definition_seed
from stagemaker.search.ranges import Continuous, Integer, Space
from stagemaker.search.strategy import Strategy, propose
from stagemaker.search.trial import Trial
from stagemaker.testing import RunningStage, start_stage

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
COLUMNS = 30
SEED = 1
SPACE: Space = (Integer("max_depth", 3, 6), Continuous("eta", 0.05, 0.3))
"""In the order in which a request's ranges are searched: integers first."""
STATIC = {"objective": "binary:logistic", "nthread": 1, "tree_method": "hist"}
WORKER = """
import json, sys
import numpy, xgboost
folder, rounds = sys.argv[1], int(sys.argv[2])
tables = [numpy.load(folder + name) for name in ("/t.npy", "/v.npy")]
train, held = (xgboost.DMatrix(table[:, 1:], table[:, 0]) for table in tables)
watched = [(train, "train"), (held, "validation")]
for line in sys.stdin:
    xgboost.train(json.loads(line), train, rounds, evals=watched, verbose_eval=False)
    print("done", flush=True)
"""


def make_tables(folder: Path, rows: int) -> None:
    """`t` and `v`, as numbers and as CSV, the label first."""
    import numpy as np

    generator = np.random.default_rng(7)
    for name, count in (("t", rows), ("v", rows // 10)):
        features = generator.normal(size=(count, COLUMNS)).round(4)
        label = features[:, 0] * features[:, 1] + features[:, 2] + generator.normal(size=count) > 0
        table = np.column_stack([label, features])
        np.save(folder / f"{name}.npy", table)
        lines = (f"{int(row[0])}," + ",".join(map(repr, row[1:])) for row in table.tolist())
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def plain_search(folder: Path, jobs: int, rounds: int) -> float:
    """Seconds of two processes that are handed one model after another."""
    values: list[Trial] = []
    for _ in range(jobs):
        proposed = propose(Strategy.RANDOM, SPACE, values, seed=definition_seed(str(SEED), 0), minimize=False)
        assert proposed is not None
        values.append(Trial(proposed))
    work = iter([json.dumps({**STATIC, "eval_metric": "auc", **trial.values}) for trial in values])

    def run() -> None:
        import selectors

        command = [sys.executable, "-c", WORKER, str(folder), str(rounds)]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        selector = selectors.DefaultSelector()
        for worker in workers:
            assert worker.stdin is not None
            assert worker.stdout is not None
            selector.register(worker.stdout, selectors.EVENT_READ, worker)
            worker.stdin.write(next(work) + "\n")
            worker.stdin.flush()
        done = 0
        while done < jobs:
            for key, _ in selector.select():
                worker = key.data
                worker.stdout.readline()
                done += 1
                if line := next(work, None):
                    worker.stdin.write(line + "\n")
                    worker.stdin.flush()
        for worker in workers:
            worker.communicate()

    return seconds(run)


def tuning_job(stage: RunningStage, jobs: int, rounds: int) -> float:
    """Seconds from the call of CreateHyperParameterTuningJob to its end."""
    sagemaker = stage.client("sagemaker")
    name = f"bench-{uuid.uuid4().hex[:8]}"
    channels = [
        {
            "ChannelName": channel,
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bench/{channel}"}},
        }
        for channel in ("train", "validation")
    ]

    def run() -> None:
        sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig={
                "Strategy": "Random",
                "RandomSeed": SEED,
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:auc"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {
                    "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "3", "MaxValue": "6"}],
                    "ContinuousParameterRanges": [{"Name": "eta", "MinValue": "0.05", "MaxValue": "0.3"}],
                },
            },
            TrainingJobDefinition={
                "StaticHyperParameters": {**{k: str(v) for k, v in STATIC.items()}, "num_round": str(rounds)},
                "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
                "RoleArn": stage.role_arn,
                "InputDataConfig": channels,
                "OutputDataConfig": {"S3OutputPath": "s3://bench/output"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            },
        )
        while True:
            job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            if job["HyperParameterTuningJobStatus"] != "InProgress":
                break
            time.sleep(0.1)
        assert job["ObjectiveStatusCounters"]["Succeeded"] == jobs, job

    return seconds(run)


def run(jobs: int = 40, rows: int = 100_000, rounds: int = 300, runs: int = 1) -> Comparison:
    """The comparison; its baseline is the two plain processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tables(folder, rows)
        stage = start_stage(folder / "state")
        try:
            s3 = stage.client("s3")
            s3.create_bucket(Bucket="bench")
            for channel, file in (("train", "t.csv"), ("validation", "v.csv")):
                s3.upload_file(str(folder / file), "bench", f"{channel}/rows.csv")
            return compare(
                f"tuning job of {jobs} jobs ({rows} x {COLUMNS}, {rounds} rounds), two at a time, "
                "beside the same search in two plain processes",
                lambda: tuning_job(stage, jobs, rounds),
                lambda: plain_search(folder, jobs, rounds),
                runs=runs,
                warm_up=False,
            )
        finally:
            stage.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("--jobs", 40), ("--rows", 100_000), ("--rounds", 300), ("--runs", 1)):
        parser.add_argument(option, type=int, default=default)
    print(machine(), end="\n\n")
    print(HEAD)
    print(run(**vars(parser.parse_args())).row())
