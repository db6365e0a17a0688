"""How good the searches are: on functions whose minimum is known, on churn, with Hyperband, after a warm start.

The strategies are driven as tuning jobs drive them, without the jobs: tests/stage/test_tuning_jobs.py shows that a
tuning job with a seed tries exactly what `propose` proposes. `python benchmarks/tuning_quality.py [--churn-seeds N]`
prints Markdown; every figure of every seed is in it. `--jobs-seeds N` runs the first N seeds of Branin and Hartmann-6
through tuning jobs with toy containers instead, some 0.3 s a job.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from functions import BRANIN_LEAST, HARTMANN_LEAST, branin, hartmann
from measure import machine
from stagemaker.sagemaker.tuning.search import definition_seed
from stagemaker.search import stopping
from stagemaker.search.ranges import Continuous, Integer, Range, Scaling, Space, Value, Values
from stagemaker.search.strategy import Strategy, propose
from stagemaker.search.trial import NO_PARENTS, Parents, Trial
from stagemaker.testing import RunningStage, start_stage

JOBS = 30
SEEDS = range(20)
CUSTOMERS = Path(__file__).parents[1] / "datasets" / "churn" / "customers.csv"
Objective = Callable[[Values], float]

BRANIN_SPACE: Space = (Continuous("x", -5.0, 10.0), Continuous("y", 0.0, 15.0))
HARTMANN_SPACE: Space = tuple(Continuous(f"x{number}", 0.0, 1.0) for number in range(6))
CHURN_SPACE: Space = (
    Continuous("eta", 0.01, 0.5, Scaling.LOGARITHMIC),
    Integer("max_depth", 1, 10),
    Continuous("min_child_weight", 1.0, 20.0),
    Continuous("subsample", 0.5, 1.0),
    Continuous("colsample_bytree", 0.5, 1.0),
    Continuous("lambda", 0.01, 100.0, Scaling.LOGARITHMIC),
)


def search(
    strategy: Strategy, space: Space, objective: Objective, seed: int, parents: Parents = NO_PARENTS
) -> list[Trial]:
    """JOBS jobs, one after another."""
    trials: list[Trial] = []
    for _ in range(JOBS):
        values = propose(strategy, space, trials, seed=seed, minimize=True, parents=parents)
        assert values is not None
        trials.append(Trial(values, objective(values)))
    return trials


def least(trials: Sequence[Trial]) -> float:
    """The best objective of a search."""
    return min(trial.objective for trial in trials if trial.objective is not None)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the bootstrap's medians."""
    generator = random.Random(0)  # noqa: S311 - no secret
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(4000))
    return medians[100], medians[-101]


def regrets(name: str, space: Space, objective: Objective, minimum: float, seeds: Sequence[int]) -> None:
    """Rows for both strategies: median regret with its interval, then every seed's."""
    for strategy in (Strategy.BAYESIAN, Strategy.RANDOM):
        found = [least(search(strategy, space, objective, seed)) - minimum for seed in seeds]
        low, high = interval(found)
        each = " ".join(f"{value:.3g}" for value in found)
        print(
            f"| {name} | {strategy} | {statistics.median(found):.3g} | {low:.3g} to {high:.3g} | {each} |", flush=True
        )


def churn(seeds: Sequence[int]) -> None:
    """Logarithmic loss on a third of the customers, of 60 rounds on the others; one training a job."""
    import numpy as np
    import xgboost

    with CUSTOMERS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "churn" and _is_number(rows[0][name])]
    table = np.array([[float(row[name]) for name in names] for row in rows])
    label = np.array([row["churn"] == "yes" for row in rows], dtype=float)
    held = np.arange(len(rows)) % 3 == 0
    train, validation = (xgboost.DMatrix(table[part], label[part]) for part in (~held, held))

    def loss(values: Values) -> float:
        log: dict[str, dict[str, list[float]]] = {}
        xgboost.train(
            {**values, "objective": "binary:logistic", "eval_metric": "logloss", "nthread": 1, "seed": 0},
            train,
            60,
            evals=[(validation, "validation")],
            evals_result=log,
            verbose_eval=False,
        )
        return log["validation"]["logloss"][-1]

    searches = {
        strategy: [least(search(strategy, CHURN_SPACE, loss, seed)) for seed in seeds]
        for strategy in (Strategy.BAYESIAN, Strategy.RANDOM)
    }
    best = min(min(found) for found in searches.values())
    for strategy, found in searches.items():
        low, high = interval([value - best for value in found])
        each = " ".join(f"{value - best:.4f}" for value in found)
        median = statistics.median(found) - best
        print(f"| churn, log loss | {strategy} | {median:.4f} | {low:.4f} to {high:.4f} | {each} |", flush=True)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


TOY = """#!{python}
import json, os, pathlib, sys
sys.path.insert(0, {here!r})
import functions
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
given = json.loads((base / "input/config/hyperparameters.json").read_text())
print("loss=%r" % getattr(functions, given["function"])(given))
"""


def through_jobs(seeds: Sequence[int]) -> None:
    """The same searches by a stage, one job at a time: the least regret of each, and that without jobs."""
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "images" / "toy" / "train"
        program.parent.mkdir(parents=True)
        program.write_text(TOY.format(python=sys.executable, here=str(Path(__file__).parent)))
        program.chmod(0o755)
        stage = start_stage(Path(name) / "state", images=program.parents[1])
        try:
            stage.client("s3").create_bucket(Bucket="bench")
            for space, objective, minimum in (
                (BRANIN_SPACE, branin, BRANIN_LEAST),
                (HARTMANN_SPACE, hartmann, HARTMANN_LEAST),
            ):
                for strategy in (Strategy.BAYESIAN, Strategy.RANDOM):
                    for seed in seeds:
                        found = _tuning_job(stage, strategy, space, objective.__name__, seed) - minimum
                        own = definition_seed(str(seed), 0)
                        alone = least(search(strategy, space, objective, own)) - minimum
                        print(f"| {objective.__name__} | {strategy} | {seed} | {found:.6g} | {alone:.6g} |", flush=True)
        finally:
            stage.stop()


def _tuning_job(stage: RunningStage, strategy: Strategy, space: Space, function: str, seed: int) -> float:
    ranges = [
        {"Name": each.name, "MinValue": repr(each.low), "MaxValue": repr(each.high)}
        for each in space
        if isinstance(each, Continuous)
    ]
    sagemaker, name = stage.client("sagemaker"), f"{function}-{strategy}-{seed}"
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": str(strategy),
            "RandomSeed": seed,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": JOBS, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": ranges},
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {"function": function},
            "AlgorithmSpecification": {
                "TrainingImage": "toy:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
            },
            "RoleArn": stage.role_arn,
            "OutputDataConfig": {"S3OutputPath": "s3://bench/output"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    )
    while True:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] != "InProgress":
            break
        time.sleep(0.2)
    assert job["ObjectiveStatusCounters"]["Succeeded"] == JOBS, job
    return float(job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def warm_start() -> None:
    """Jobs until a search is as good as its parent was after JOBS: cold, and warm in both ways."""
    for name, space, objective in (("Branin", BRANIN_SPACE, branin), ("Hartmann-6", HARTMANN_SPACE, hartmann)):
        counts: dict[str, list[int]] = {"cold": [], "IdenticalDataAndAlgorithm": [], "TransferLearning": []}
        for seed in SEEDS:
            parent = search(Strategy.BAYESIAN, space, objective, 1000 + seed)
            target = least(parent)

            def moved(values: Values, objective: Objective = objective, space: Space = space) -> float:
                """Other data: another scale, and the minimum a fiftieth of each range away."""
                shifted: Values = {each.name: _shifted(each, values[each.name]) for each in space}
                return 5 * objective(shifted) + 100

            identical = Parents((tuple(parent),))
            transfer = Parents((tuple(parent),), same_task=False)
            counts["cold"].append(_until(search(Strategy.BAYESIAN, space, objective, seed), target))
            counts["IdenticalDataAndAlgorithm"].append(
                _until(search(Strategy.BAYESIAN, space, objective, seed, identical), target)
            )
            counts["TransferLearning"].append(
                _until(search(Strategy.BAYESIAN, space, moved, seed, transfer), 5 * target + 100)
            )
        for kind, found in counts.items():
            each = " ".join(str(value) if value <= JOBS else "-" for value in found)
            print(f"| {name} | {kind} | {statistics.median(found):.1f} | {each} |", flush=True)


def _shifted(each: Range, value: Value) -> float:
    assert isinstance(each, Continuous)
    return each.at(min(each.unit(float(value)) + 0.02, 1.0))


def _until(trials: Sequence[Trial], target: float) -> int:
    reached = (number for number, trial in enumerate(trials, 1) if (trial.objective or 0.0) <= target + 1e-9)
    return next(reached, JOBS + 1)


def hyperband() -> None:
    """81 jobs of 27 epochs whose loss falls towards a level of their own: Branin's value at the job's point."""
    for strategy in (Strategy.HYPERBAND, Strategy.RANDOM):
        epochs, found = [], []
        for seed in SEEDS:
            at_rung: dict[int, list[float]] = {}
            noise, run, best = random.Random(seed), 0, math.inf  # noqa: S311 - no secret
            trials: list[Trial] = []
            for number in range(81):
                values = propose(strategy, BRANIN_SPACE, trials, seed=seed, minimize=True)
                assert values is not None
                level = branin(values)
                trials.append(Trial(values, level))
                judged = stopping.rungs(number, 1, 27) if strategy is Strategy.HYPERBAND else []
                stop = False
                for epoch in range(1, 28):
                    loss = level + 50 / epoch * noise.uniform(0.8, 1.2)
                    run += 1
                    if epoch in judged:
                        others = at_rung.setdefault(epoch, [])
                        stop = stopping.successive_halving(loss, others, minimize=True)
                        others.append(loss)
                        if stop:
                            break
                if not stop:
                    best = min(best, level - BRANIN_LEAST)
            epochs.append(run)
            found.append(best)
        low, high = interval(found)
        print(
            f"| {strategy} | {statistics.median(epochs):.0f} | {statistics.median(found):.3g} | "
            f"{low:.3g} to {high:.3g} |",
            flush=True,
        )


def tables(churn_seeds: int = len(SEEDS)) -> None:
    """All tables."""
    print(f"| {JOBS} jobs | strategy | median regret | 95 % interval | seeds 0, 1, 2 ... |\n|---|---|---|---|---|")
    regrets("Branin", BRANIN_SPACE, branin, BRANIN_LEAST, SEEDS)
    regrets("Hartmann-6", HARTMANN_SPACE, hartmann, HARTMANN_LEAST, SEEDS)
    churn(range(churn_seeds))
    print("\n| jobs until as good as the parent | start | median | seeds 0, 1, 2 ... |\n|---|---|---|---|")
    warm_start()
    print("\n| 81 jobs of 27 epochs | median epochs run | median regret | 95 % interval |\n|---|---|---|---|")
    hyperband()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--churn-seeds", type=int, default=len(SEEDS))
    parser.add_argument("--jobs-seeds", type=int, default=0)
    options = parser.parse_args()
    print(machine(), end="\n\n")
    if options.jobs_seeds:
        print("| function | strategy | seed | regret by jobs | without jobs |\n|---|---|---|---|---|")
        through_jobs(range(options.jobs_seeds))
    else:
        tables(options.churn_seeds)
