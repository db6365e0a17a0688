"""What CreateHyperParameterTuningJob refuses, and how."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stagemaker.app import ALGORITHMS
from stagemaker.jobs.images import ProcessImages
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.tuning import request as tuning_request
from stagemaker.sagemaker.tuning.definition import Definition, jobs_wanted, read_definitions
from stagemaker.search.ranges import Continuous, Integer
from stagemaker.wire.errors import AwsError
from stagemaker.wire.model import load_service_model

IMAGES = ProcessImages(ALGORITHMS)
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
X = {"Name": "x", "MinValue": "0", "MaxValue": "1"}
N = {"Name": "n", "MinValue": "1", "MaxValue": "3"}
C = {"Name": "c", "Values": ["a", "b"]}
ETA = {"Name": "eta", "MinValue": "0.1", "MaxValue": "0.5"}
CONFIG: dict[str, Any] = {
    "Strategy": "Random",
    "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
    "ParameterRanges": {"ContinuousParameterRanges": [X]},
}
DEFINITION: dict[str, Any] = {
    "AlgorithmSpecification": {
        "TrainingImage": "own:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
    },
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
}
BUILT_IN = {**DEFINITION, "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"}}
LOSSES = {"Type": "Minimize", "MetricName": "validation:logloss"}


def read(
    config: dict[str, Any] | None = None, definition: dict[str, Any] | None = None, **members: Any
) -> list[Definition]:
    """The definitions of a request, all of whose rules are applied; `config` and `definition` replace members."""
    parameters = copy.deepcopy(
        {
            "HyperParameterTuningJobName": "name",
            "HyperParameterTuningJobConfig": {**CONFIG, **(config or {})},
            "TrainingJobDefinition": {**DEFINITION, **(definition or {})},
            **members,
        }
    )
    parameters = {name: value for name, value in parameters.items() if value is not None}
    refuse_unhonoured(parameters, tuning_request.HONOURED_MEMBERS)
    tuning_request.check(parameters)
    return read_definitions(parameters, IMAGES)


def refusal(config: dict[str, Any] | None = None, definition: dict[str, Any] | None = None, **members: Any) -> str:
    """The code and message of the refusal."""
    with pytest.raises(AwsError) as caught:
        read(config, definition, **members)
    return f"{caught.value.code}: {caught.value.message}"


def built_in(name: str, low: str, high: str, kind: str = "Continuous") -> str:
    """The refusal of a range in built-in XGBoost."""
    entry = {"Name": name, "MinValue": low, "MaxValue": high}
    config = {"HyperParameterTuningJobObjective": LOSSES, "ParameterRanges": {f"{kind}ParameterRanges": [entry]}}
    return refusal(config, BUILT_IN)


def test_every_member_of_the_request_is_in_the_table() -> None:
    """The table names what the API has, and nothing else."""
    table: Any = tuning_request.HONOURED_MEMBERS
    shape: Any = load_service_model("sagemaker").operation_model("CreateHyperParameterTuningJob").input_shape
    config, entry = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
    assert set(table) == set(shape.members)
    assert set(table[config]) == set(shape.members[config].members)
    assert set(shape.members[entry].members) == set(table[entry])
    resources = "HyperParameterTuningResourceConfig"
    assert set(shape.members[entry].members[resources].members) == set(table[entry][resources])


def test_aws_words() -> None:
    """Sentences that people have quoted from AWS."""
    assert refusal(definition=BUILT_IN | {"AlgorithmSpecification": {"TrainingImage": "own:1"}}) == (
        "ValidationException: A metric is required for this hyperparameter tuning job objective. "
        "Provide a metric in the metric definitions."
    )
    few = {"ParameterRanges": {"IntegerParameterRanges": [N]}}
    assert refusal(few) == (
        "ValidationException: You don't have enough combinations of hyperparameter ranges. The total number of "
        "hyperparameter combinations for the provided ranges [3.0] must be equal or greater than the value of "
        "MaxNumberOfJobs, [4]. Provide additional ranges."
    )
    wrong = {"Type": "Maximize", "MetricName": "validation:rmse"}
    assert refusal({"HyperParameterTuningJobObjective": wrong}, BUILT_IN) == (
        "ValidationException: The objective metric type, [Maximize], that you specified for objective metric, "
        f"[validation:rmse], isn't valid for the [{XGBOOST}] algorithm. Choose a valid objective metric type."
    )


@pytest.mark.parametrize(
    ("entry", "kind", "message"),
    [
        ({**X, "MinValue": "two"}, "Continuous", "[two], must be a number"),
        ({**X, "MaxValue": "inf"}, "Continuous", "[inf], must be a number"),
        ({**X, "MaxValue": "1_0"}, "Continuous", "[1_0], must be a number"),
        ({**N, "MaxValue": "9" * 200}, "Integer", "must be a whole number of at most"),
        ({**X, "MaxValue": "1e301"}, "Continuous", "must be a number of at most"),
        ({**N, "MinValue": "1.5"}, "Integer", "[1.5], must be a whole number"),
        ({**X, "MinValue": "2"}, "Continuous", "must not be greater than"),
        ({**X, "ScalingType": "Logarithmic"}, "Continuous", "greater than 0"),
        ({**N, "MinValue": "0", "ScalingType": "Logarithmic"}, "Integer", "greater than 0"),
        ({**N, "ScalingType": "ReverseLogarithmic"}, "Integer", "not supported for the integer range"),
        ({**X, "ScalingType": "ReverseLogarithmic"}, "Continuous", "within 0 <= x < 1"),
        ({"Name": "c", "Values": ["a", "a"]}, "Categorical", "given twice"),
    ],
)
def test_ranges_that_mean_nothing(entry: dict[str, Any], kind: str, message: str) -> None:
    """Each is refused by the hyperparameter's name."""
    found = refusal({"ParameterRanges": {f"{kind}ParameterRanges": [entry]}})
    assert message in found
    assert f"[{entry['Name']}]" in found


def test_names_of_hyperparameters_are_used_once() -> None:
    """Two ranges, a range and a static value, the tuning job's own name, no range at all, more than thirty."""
    both = {"ContinuousParameterRanges": [X], "IntegerParameterRanges": [{**N, "Name": "x"}]}
    assert "[x] has more than one range" in refusal({"ParameterRanges": both})
    assert "[x] is given both as static" in refusal(definition={"StaticHyperParameters": {"x": "1"}})
    own = "_tuning_objective_metric"
    assert f"[{own}] is set by the tuning job" in refusal(definition={"StaticHyperParameters": {own: "loss"}})
    mine = {"ContinuousParameterRanges": [{**X, "Name": own}]}
    assert f"[{own}] is set by the tuning job" in refusal({"ParameterRanges": mine})
    assert "At least one hyperparameter range" in refusal({"ParameterRanges": {}})
    many = {
        "ContinuousParameterRanges": [{**X, "Name": f"x{number}"} for number in range(16)],
        "IntegerParameterRanges": [{**N, "Name": f"n{number}"} for number in range(15)],
    }
    assert "31 are given" in refusal({"ParameterRanges": many})


def test_strategies_and_what_goes_with_them() -> None:
    """Grid takes categories and counts by itself; Hyperband stops by itself and needs a most."""
    grid = {"Strategy": "Grid", "ParameterRanges": {"CategoricalParameterRanges": [C]}}
    assert "Only categorical" in refusal({**grid, "ParameterRanges": CONFIG["ParameterRanges"]})
    five = {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}
    assert "equal to the number of combinations of the categorical values, [2]" in refusal(
        {**grid, "ResourceLimits": five}
    )
    absent = {**CONFIG, **grid, "ResourceLimits": {"MaxParallelTrainingJobs": 1}}
    assert jobs_wanted(absent, read(absent)) == 2
    wide = [{"Name": name, "Values": [str(number) for number in range(28)]} for name in ("c", "d")]
    many = refusal({**absent, "ParameterRanges": {"CategoricalParameterRanges": wide}})
    assert many.startswith("ResourceLimitExceeded: ")
    assert "is 750," in many
    assert "a request delta of 784." in many
    hyperband = {"Strategy": "Hyperband"}
    assert "MaxResource is required" in refusal(hyperband)
    assert read(hyperband, {"StaticHyperParameters": {"epochs": "10"}})
    early = {**hyperband, "TrainingJobEarlyStoppingType": "Auto"}
    assert "TrainingJobEarlyStoppingType must be OFF" in refusal(early)
    resources = {"HyperbandStrategyConfig": {"MinResource": 5, "MaxResource": 5}}
    assert "MinResource, [5], must be less" in refusal({**hyperband, "StrategyConfig": resources})
    assert "not supported for the strategy Random" in refusal({"StrategyConfig": resources})


def test_limits() -> None:
    """AWS's quotas of one tuning job, and a number of jobs is needed unless the grid or Autotune has one."""

    def limits(jobs: int | None, parallel: int) -> dict[str, Any]:
        number = {"MaxNumberOfTrainingJobs": jobs} if jobs else {}
        return {"ResourceLimits": {**number, "MaxParallelTrainingJobs": parallel}}

    assert refusal(limits(10_001, 1)).startswith("ResourceLimitExceeded: ")
    assert refusal({**limits(751, 1), "Strategy": "Bayesian"}).startswith("ResourceLimitExceeded: ")
    assert refusal(limits(200, 101)).startswith("ResourceLimitExceeded: ")
    assert "MaxNumberOfTrainingJobs is required" in refusal(limits(None, 1))
    assert read({**limits(750, 100), "Strategy": "Bayesian"})


def test_definitions_are_one_or_several() -> None:
    """One without a name, or several with names, objectives and ranges of their own."""
    entry = {
        **DEFINITION,
        "DefinitionName": "one",
        "TuningObjective": CONFIG["HyperParameterTuningJobObjective"],
        "HyperParameterRanges": CONFIG["ParameterRanges"],
    }
    bare = {"HyperParameterTuningJobConfig": {key: CONFIG[key] for key in ("Strategy", "ResourceLimits")}}

    def several(*entries: dict[str, Any], **members: Any) -> str:
        return refusal(TrainingJobDefinition=None, TrainingJobDefinitions=list(entries), **{**bare, **members})

    objective, ranges = ({name: entry[name]} for name in ("TuningObjective", "HyperParameterRanges"))
    assert "TuningObjective must not be given together" in refusal(definition=objective)
    assert "HyperParameterRanges must not be given together" in refusal(definition=ranges)
    assert "Exactly one of" in refusal(TrainingJobDefinitions=[entry])
    assert "Exactly one of" in refusal(TrainingJobDefinition=None)
    assert "DefinitionName of its own" in several(entry, entry)
    assert "ParameterRanges must not be given together" in several(entry, HyperParameterTuningJobConfig=CONFIG)
    other = {**entry, "DefinitionName": "two", "TuningObjective": {"Type": "Maximize", "MetricName": "loss"}}
    assert "same type of objective" in several(entry, other)
    assert "An objective is required" in several({k: v for k, v in entry.items() if k != "TuningObjective"})


def test_built_in_xgboost_knows_what_can_be_tuned() -> None:
    """A hyperparameter that cannot be searched, values that it does not accept, a kind that it is not."""
    assert "[num_parallel_tree] isn't tunable" in built_in("num_parallel_tree", "1", "3", "Integer")
    assert "reaches [2]" in built_in("eta", "0.1", "2")
    assert "[max_depth] takes integers" in built_in("max_depth", "1", "5")
    unknown = {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "train:logloss"}}
    assert "[train:logloss], that you specified isn't valid" in refusal(unknown, BUILT_IN)
    config = {"HyperParameterTuningJobObjective": LOSSES, "ParameterRanges": {"ContinuousParameterRanges": [ETA]}}
    (found,) = read(config, BUILT_IN)
    assert found.training_job("job", {"eta": 0.25}, [])["HyperParameters"] == {
        "eta": "0.25",
        "_tuning_objective_metric": "validation:logloss",
    }


def test_script_mode_tunes_what_the_script_knows() -> None:
    """A program of the user's in AWS's image has the user's hyperparameters and metrics."""
    script = {
        "AlgorithmSpecification": {**DEFINITION["AlgorithmSpecification"], "TrainingImage": XGBOOST},
        "StaticHyperParameters": {"sagemaker_program": '"train.py"'},
    }
    assert read(definition=script)[0].metric == "loss"


def test_autotune_chooses_ranges() -> None:
    """Recommended ranges of the algorithm, widened to hold the hint; without Autotune hints are refused."""
    hints = {"ParameterRanges": {"AutoParameters": [{"Name": "eta", "ValueHint": "0.05"}]}}
    assert "AutoParameters need Autotune" in refusal(hints)
    objective = {"HyperParameterTuningJobObjective": LOSSES}
    (found,) = read({**objective, **hints}, BUILT_IN, Autotune={"Mode": "Enabled"})
    assert found.space == (Continuous("eta", 0.05, 0.5),)
    static = {**BUILT_IN, "StaticHyperParameters": {"num_round": "50"}}
    (found,) = read({**objective, "ParameterRanges": {}}, static, Autotune={"Mode": "Enabled"})
    assert Integer("max_depth", 0, 10) in found.space
    assert "num_round" not in {each.name for each in found.space}
    own = {"ParameterRanges": {"AutoParameters": [{"Name": "units", "ValueHint": "many"}]}}
    assert "[many], must be a number" in refusal(own, Autotune={"Mode": "Enabled"})


def test_training_job_of_a_definition() -> None:
    """Checkpoints have a prefix a job; the tuning members are gone; resources may be given in either way."""
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    (found,) = read(
        definition={
            "HyperParameterTuningResourceConfig": resources,
            "CheckpointConfig": {"S3Uri": "s3://b/checkpoints/"},
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "EnableManagedSpotTraining": True,
            "RetryStrategy": {"MaximumRetryAttempts": 2},
            "StaticHyperParameters": {"k": "v"},
        }
    )
    request = found.training_job("job", {"x": 0.1}, [{"Key": "a", "Value": "b"}])
    assert request == {
        "TrainingJobName": "job",
        "AlgorithmSpecification": DEFINITION["AlgorithmSpecification"],
        "RoleArn": DEFINITION["RoleArn"],
        "OutputDataConfig": DEFINITION["OutputDataConfig"],
        "ResourceConfig": resources,
        "CheckpointConfig": {"S3Uri": "s3://b/checkpoints/job"},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "EnableManagedSpotTraining": True,
        "RetryStrategy": {"MaximumRetryAttempts": 2},
        "HyperParameters": {"k": "v", "x": "0.1", "_tuning_objective_metric": "loss"},
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    assert "must not be given together" in refusal(
        definition={"ResourceConfig": resources, "HyperParameterTuningResourceConfig": resources}
    )
