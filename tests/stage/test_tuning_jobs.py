"""Tuning jobs over the wire: real training jobs, in the order and number that a search asks for."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.sagemaker.tuning.search import definition_seed
from stagemaker.search.ranges import Continuous, Integer, texts
from stagemaker.search.strategy import Strategy, propose
from stagemaker.search.trial import Trial

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

SCRIPT = "123456789012.dkr.ecr.us-east-1.amazonaws.com/script:1"
BOWL = """
import json
given = json.load(open("/opt/ml/input/config/hyperparameters.json"))
print("loss=%r" % ((float(given["x"]) - 3.0) ** 2 + float(given.get("n", 1))))
"""
FIRST_IS_BEST = """
import os, time
number = os.environ["TRAINING_JOB_NAME"][-12:-9]
good = "-%s-" % number == "-001-"
for epoch in range(1):
    print("loss=%r" % (0.0 if good else 1.0))
time.sleep(0 if good else 600)
"""
X = {"Name": "x", "MinValue": "0", "MaxValue": "10"}
N = {"Name": "n", "MinValue": "1", "MaxValue": "4"}


def definition(account: Account, script: str = BOWL, **members: Any) -> dict[str, Any]:
    """A definition whose container runs a script; `members` replace or add members."""
    return {
        "StaticHyperParameters": {"script": json.dumps(script)},
        "AlgorithmSpecification": {
            "TrainingImage": SCRIPT,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
        },
        "RoleArn": account.stage.role_arn,
        "OutputDataConfig": {"S3OutputPath": f"s3://{account.bucket}/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **members,
    }


def config(strategy: str = "Random", jobs: int | None = 3, parallel: int = 2, **members: Any) -> dict[str, Any]:
    """A search for the least loss over x and n."""
    limits: dict[str, int] = {"MaxParallelTrainingJobs": parallel}
    if jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = jobs
    return {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": limits,
        "ParameterRanges": {"ContinuousParameterRanges": [X], "IntegerParameterRanges": [N]},
        **members,
    }


def settle(account: Account, name: str) -> dict[str, Any]:
    """The description of a tuning job that is over."""
    sagemaker = account.client("sagemaker")
    deadline = time.monotonic() + 240
    while True:
        job: dict[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] not in {"InProgress", "Stopping"}:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


def tune(account: Account, name: str, settings: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """Run a tuning job to its end; `members` are those of the request."""
    if "TrainingJobDefinitions" not in members:
        members.setdefault("TrainingJobDefinition", definition(account))
    account.client("sagemaker").create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, HyperParameterTuningJobConfig=settings or config(), **members
    )
    return settle(account, name)


def children(account: Account, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The training jobs of a tuning job, of all pages."""
    pages = account.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = pages.paginate(HyperParameterTuningJobName=name, **parameters)
    return [job for page in found for job in page["TrainingJobSummaries"]]


def value(job: dict[str, Any]) -> float:
    """The final objective of a training job."""
    return float(job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def test_children_are_ordinary_training_jobs(account: Account) -> None:
    """Names, tags, hyperparameters, TuningJobArn, logs; the counters and the best job agree with them."""
    job = tune(account, "search", config(jobs=4), Tags=[{"Key": "team", "Value": "a"}])
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 4,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    found = children(account, "search")
    assert [name[:11] for name in sorted(one["TrainingJobName"] for one in found)] == [
        f"search-00{number}-" for number in (1, 2, 3, 4)
    ]
    best = min(found, key=value)
    assert job["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert "OverallBestTrainingJob" not in job
    sagemaker = account.client("sagemaker")
    training = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert training["HyperParameters"] == {
        "script": json.dumps(BOWL),
        "_tuning_objective_metric": "loss",
        **best["TunedHyperParameters"],
    }
    x, n = (float(best["TunedHyperParameters"][name]) for name in ("x", "n"))
    assert training["FinalMetricDataList"][0]["Value"] == pytest.approx(value(best)) == pytest.approx((x - 3) ** 2 + n)
    assert sagemaker.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    events = account.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=best["TrainingJobName"]
    )["events"]
    assert events[0]["message"].startswith("loss=")
    listed = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert [(one["HyperParameterTuningJobName"], one["Strategy"]) for one in listed] == [("search", "Random")]


def test_list_of_training_jobs_sorts_filters_and_pages(account: Account) -> None:
    """By each key in each order; pages hold each job once; sorted by the objective, jobs without one are left out."""
    script = BOWL + 'if given["c"] == "fails": raise SystemExit(1)\nif given["c"] == "mute": pass\n'
    script = script.replace('print("loss', 'if given["c"] != "mute": print("loss')
    ranges = {"CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b", "fails", "mute"]}]}
    static = {"script": json.dumps(script), "x": "3"}
    settings = config("Grid", None, ParameterRanges=ranges)
    job = tune(account, "listed", settings, TrainingJobDefinition=definition(account, StaticHyperParameters=static))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 2}
    by_name = children(account, "listed", MaxResults=2)
    assert [one["TrainingJobName"] for one in by_name] == sorted(one["TrainingJobName"] for one in by_name)
    assert [one["TunedHyperParameters"]["c"] for one in by_name] == ["a", "b", "fails", "mute"]
    assert children(account, "listed", SortBy="Name", SortOrder="Descending", MaxResults=3) == by_name[::-1]
    by_time = children(account, "listed", SortBy="CreationTime", MaxResults=1)
    assert [one["CreationTime"] for one in by_time] == sorted(one["CreationTime"] for one in by_name)
    by_status = [one["TrainingJobStatus"] for one in children(account, "listed", SortBy="Status", MaxResults=3)]
    assert by_status == ["Completed", "Completed", "Completed", "Failed"]
    by_value = children(account, "listed", SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert {one["TunedHyperParameters"]["c"] for one in by_value} == {"a", "b"}
    (failed,) = children(account, "listed", StatusEquals="Failed")
    assert failed["ObjectiveStatus"] == "Failed"
    assert "FinalHyperParameterTuningJobObjectiveMetric" not in failed
    assert "exit code: 1" in failed["FailureReason"]
    assert by_name[3]["TrainingJobStatus"] == "Completed"
    assert by_name[3]["ObjectiveStatus"] == "Failed"


def test_seed_reproduces_a_bayesian_search(account: Account) -> None:
    """One job after another, the same seed tries the same values: those that the search itself proposes."""
    tune(account, "seeded", config("Bayesian", jobs=3, parallel=1, RandomSeed=5))
    found = children(account, "seeded")
    space = (Integer("n", 1, 4), Continuous("x", 0, 10))
    trials: list[Trial] = []
    for job in found:
        proposed = propose(Strategy.BAYESIAN, space, trials, seed=definition_seed("5", 0), minimize=True)
        assert proposed is not None
        assert job["TunedHyperParameters"] == texts(proposed)
        trials.append(Trial(proposed, value(job)))


def test_several_definitions_share_the_jobs(account: Account) -> None:
    """Each has a search and a name of its own; the best job is the best of all; Maximize is a direction too."""
    objective = {"Type": "Maximize", "MetricName": "loss"}
    ranges = {"ContinuousParameterRanges": [X]}
    entries = [
        definition(
            account,
            DefinitionName=name,
            TuningObjective=objective,
            HyperParameterRanges=ranges,
            StaticHyperParameters={"script": json.dumps(BOWL), "n": n},
        )
        for name, n in (("low", "1"), ("high", "1000"))
    ]
    settings = {"Strategy": "Random", "ResourceLimits": config(jobs=4)["ResourceLimits"]}
    job = tune(account, "several", settings, TrainingJobDefinitions=entries)
    found = children(account, "several")
    assert sorted(one["TrainingJobDefinitionName"] for one in found) == ["high", "high", "low", "low"]
    assert job["BestTrainingJob"]["TrainingJobName"] == max(found, key=value)["TrainingJobName"]
    assert job["BestTrainingJob"]["TrainingJobDefinitionName"] == "high"


def test_warm_start_has_an_overall_best(account: Account) -> None:
    """With identical data and algorithm the parent's best counts too; a child that cannot match it does not win."""
    parent = tune(account, "parent")
    narrow = {"ContinuousParameterRanges": [{**X, "MinValue": "9"}], "IntegerParameterRanges": [N]}
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    settings = config("Bayesian", jobs=2, ParameterRanges=narrow)
    child = tune(account, "child", settings, WarmStartConfig=warm)
    both = {"parent": parent["BestTrainingJob"], "child": child["BestTrainingJob"]}
    winner = min(both, key=lambda name: value(both[name]))
    assert child["OverallBestTrainingJob"]["TuningJobName"] == winner
    assert child["OverallBestTrainingJob"]["TrainingJobName"] == both[winner]["TrainingJobName"]


def test_stop_ends_the_running_jobs(account: Account) -> None:
    """They stop, no other starts, the tuning job is Stopped and refuses another stop; deleting leaves the jobs."""
    sagemaker = account.client("sagemaker")
    script = 'print("loss=1.0")\nimport time; time.sleep(600)'
    members = {"TrainingJobDefinition": definition(account, script)}
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="long", HyperParameterTuningJobConfig=config(jobs=5), **members
    )
    deadline = time.monotonic() + 60
    while len(running := children(account, "long", StatusEquals="InProgress")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(ClientError, match="is in status InProgress"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    job = settle(account, "long")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == len(children(account, "long")) == 2
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="long")
    name = running[0]["TrainingJobName"]
    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Stopped"


def test_search_without_a_success_gives_up(account: Account) -> None:
    """After five failures; a metric that never comes is told apart from a job that fails."""
    failing = tune(
        account, "failing", config(jobs=20), TrainingJobDefinition=definition(account, "raise SystemExit(1)")
    )
    assert failing["HyperParameterTuningJobStatus"] == "Failed"
    assert failing["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert "BestTrainingJob" not in failing
    mute = tune(account, "mute", config(jobs=2), TrainingJobDefinition=definition(account, "pass"))
    assert mute["FailureReason"].startswith("No objective metrics found after running 2 training jobs.")
    assert mute["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 2}


def test_target_ends_the_search_early(account: Account) -> None:
    """The criterion is met by the first job, so fewer than asked for run."""
    settings = config(jobs=20, parallel=1, TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 1000.0})
    job = tune(account, "target", settings)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 1


def test_hyperband_stops_what_falls_behind(account: Account) -> None:
    """A job that reports a worse value than the first one at a rung is stopped, and keeps its last value."""
    settings = config("Hyperband", jobs=2, parallel=1)
    settings["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 3}}
    job = tune(account, "bands", settings, TrainingJobDefinition=definition(account, FIRST_IS_BEST))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    first, second = children(account, "bands")
    assert (first["TrainingJobStatus"], value(first)) == ("Completed", 0.0)
    assert (second["TrainingJobStatus"], second["ObjectiveStatus"], value(second)) == ("Stopped", "Succeeded", 1.0)


def test_early_stopping_by_the_median(account: Account) -> None:
    """With three jobs before it, one that is worse than their median at the fifth epoch is stopped."""
    script = FIRST_IS_BEST.replace('"-001-"', '"-004-"').replace("==", "!=").replace("range(1)", "range(5)")
    settings = config(jobs=4, parallel=1, TrainingJobEarlyStoppingType="Auto")
    job = tune(account, "median", settings, TrainingJobDefinition=definition(account, script))
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1


def test_built_in_xgboost_is_tuned_on_its_own_metric(account: Account) -> None:
    """The container watches the objective on the validation channel; without one the objective never comes."""
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    rows = "".join(f"{int(i % 7 > 3)},{i % 7 + i % 3 * 0.1},{i % 5}\n" for i in range(300))
    for channel in ("train", "validation"):
        account.client("s3").put_object(Bucket="data", Key=f"{channel}/rows.csv", Body=rows.encode())
    channels = [account.channel(name, f"{name}/", ContentType="text/csv") for name in ("train", "validation")]
    entries = [
        definition(
            account,
            DefinitionName=name,
            TuningObjective={"Type": "Maximize", "MetricName": "validation:auc"},
            HyperParameterRanges={"IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "6"}]},
            AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
            StaticHyperParameters={"objective": "binary:logistic", "num_round": "3"},
            InputDataConfig=given,
        )
        for name, given in (("both", channels), ("blind", channels[:1]))
    ]
    settings = {"Strategy": "Random", "ResourceLimits": config(jobs=2)["ResourceLimits"]}
    job = tune(account, "xgb", settings, TrainingJobDefinitions=entries)
    assert job["TrainingJobStatusCounters"]["Completed"] == 2
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TrainingJobDefinitionName"] == "both"
    assert value(job["BestTrainingJob"]) > 0.9


def test_what_a_training_job_would_be_refused_for(account: Account) -> None:
    """A role that cannot be assumed, input that is not there, a type without quota: at once, by AWS's errors."""
    sagemaker = account.client("sagemaker")

    def refusal(name: str = "refused", **members: Any) -> str:
        with pytest.raises(ClientError) as caught:
            sagemaker.create_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=name,
                HyperParameterTuningJobConfig=config(),
                TrainingJobDefinition=definition(account, **members),
            )
        return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"

    assert "Could not assume role" in refusal(RoleArn="arn:aws:iam::123456789012:role/nobody")
    assert "No S3 objects found" in refusal(InputDataConfig=[account.channel("train", "nothing/")])
    resources = {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    assert "a request delta of 2 Instances" in refusal(ResourceConfig=resources)
    assert sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
    tune(account, "taken")
    assert refusal("taken").startswith("ResourceInUse: ")
