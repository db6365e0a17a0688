"""CreateHyperParameterTuningJob: what of it is honoured, and what its members allow one another.

Where AWS's words are known they are used (reference: public threads); the other sentences are ours.
"""

from __future__ import annotations

from typing import Any

from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Recorded, Refused
from stagemaker.sagemaker.training.request import HONOURED_MEMBERS as TRAINING
from stagemaker.wire.errors import AwsError, NotHonouredError, ValidationError

_RANGE: dict[str, Entry] = {
    "Name": HONOURED,
    "MinValue": HONOURED,
    "MaxValue": HONOURED,
    "ScalingType": HONOURED,
}
_RANGES: dict[str, Entry] = {
    "IntegerParameterRanges": _RANGE,
    "ContinuousParameterRanges": _RANGE,
    "CategoricalParameterRanges": {"Name": HONOURED, "Values": HONOURED},
    "AutoParameters": {"Name": HONOURED, "ValueHint": HONOURED},
}
_OBJECTIVE: dict[str, Entry] = {"Type": HONOURED, "MetricName": HONOURED}
_DEFINITION: dict[str, Entry] = {
    "DefinitionName": HONOURED,
    "TuningObjective": _OBJECTIVE,
    "HyperParameterRanges": _RANGES,
    "StaticHyperParameters": HONOURED,
    "AlgorithmSpecification": {
        "TrainingImage": HONOURED,
        "TrainingInputMode": HONOURED,
        "MetricDefinitions": HONOURED,
        "AlgorithmName": Refused("there is no algorithm resource or Marketplace here; give TrainingImage"),
    },
    "ResourceConfig": TRAINING["ResourceConfig"],
    "HyperParameterTuningResourceConfig": {
        "InstanceType": HONOURED,
        "InstanceCount": HONOURED,
        "VolumeSizeInGB": HONOURED,
        "VolumeKmsKeyId": Recorded("the volume is a folder of this machine, encrypted only if its disk is"),
        "AllocationStrategy": Refused("one type of instance serves all jobs; give InstanceType"),
        "InstanceConfigs": Refused("one type of instance serves all jobs; give InstanceType"),
    },
    **{
        name: TRAINING[name]
        for name in (
            "RoleArn",
            "InputDataConfig",
            "VpcConfig",
            "OutputDataConfig",
            "StoppingCondition",
            "EnableNetworkIsolation",
            "EnableInterContainerTrafficEncryption",
            "EnableManagedSpotTraining",
            "CheckpointConfig",
            "RetryStrategy",
            "Environment",
        )
    },
}
HONOURED_MEMBERS: dict[str, Entry] = {
    "HyperParameterTuningJobName": HONOURED,
    "HyperParameterTuningJobConfig": {
        "Strategy": HONOURED,
        "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": HONOURED, "MaxResource": HONOURED}},
        "HyperParameterTuningJobObjective": _OBJECTIVE,
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": HONOURED,
            "MaxParallelTrainingJobs": HONOURED,
            "MaxRuntimeInSeconds": HONOURED,
        },
        "ParameterRanges": _RANGES,
        "TrainingJobEarlyStoppingType": HONOURED,
        "TuningJobCompletionCriteria": HONOURED,
        "RandomSeed": HONOURED,
    },
    "TrainingJobDefinition": _DEFINITION,
    "TrainingJobDefinitions": _DEFINITION,
    "WarmStartConfig": HONOURED,
    "Autotune": {
        "Mode": Only(("Enabled",), "it chooses ranges, the number of jobs and stopping by the stage's own rules")
    },
    "Tags": HONOURED,
}

MOST_TUNING_JOBS = 100
MOST_PARALLEL = 100
MOST_JOBS = 750
MOST_RANDOM_JOBS = 10_000
MOST_RANGES = 30
"""AWS's quotas of one account and of one tuning job."""
JOBS_QUOTA = "Number of training jobs per hyperparameter tuning job"
_OF_DEFINITIONS = (("ParameterRanges", "HyperParameterRanges"), ("HyperParameterTuningJobObjective", "TuningObjective"))
"""Members of the configuration, and what a definition has in their place."""

EPOCH_KEYS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyperparameters that MaxResource is taken from when it is not given; the API reference lists them."""


def check(parameters: dict[str, Any]) -> None:
    """The rules between members that need neither ranges nor images. Raises ValidationException."""
    if ("TrainingJobDefinition" in parameters) == ("TrainingJobDefinitions" in parameters):
        raise ValidationError("Exactly one of TrainingJobDefinition and TrainingJobDefinitions must be given.")
    config = parameters["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinitions" in parameters:
        _check_definitions(parameters["TrainingJobDefinitions"], config)
    for member, instead in _OF_DEFINITIONS:
        if member in config and instead in parameters.get("TrainingJobDefinition", {}):
            raise ValidationError(f"{member} and the definition's {instead} must not be given together.")
    _check_limits(config, autotune="Autotune" in parameters)
    _check_strategy(config, parameters)


def entries(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The training job definitions of a request or a description, one or several."""
    if single := parameters.get("TrainingJobDefinition"):
        return [single]
    found: list[dict[str, Any]] = parameters["TrainingJobDefinitions"]
    return found


def max_resource(config: dict[str, Any], static: dict[str, str]) -> int | None:
    """Hyperband's MaxResource, given or taken from the number of epochs."""
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MaxResource")
    if given is not None:
        return int(given)
    return next((int(static[key]) for key in EPOCH_KEYS if static.get(key, "").isdecimal()), None)


def min_resource(config: dict[str, Any]) -> int:
    """Hyperband's MinResource."""
    return int(config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MinResource", 1))


def _check_definitions(definitions: list[dict[str, Any]], config: dict[str, Any]) -> None:
    names = [definition.get("DefinitionName") for definition in definitions]
    if None in names or len(set(names)) < len(names):
        raise ValidationError("Each of the TrainingJobDefinitions must have a DefinitionName of its own.")
    for member, instead in _OF_DEFINITIONS:
        if member in config:
            raise ValidationError(
                f"{member} must not be given together with TrainingJobDefinitions: each definition has {instead}."
            )


def _check_limits(config: dict[str, Any], *, autotune: bool) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    jobs = limits.get("MaxNumberOfTrainingJobs")
    if jobs is None and strategy != "Grid" and not autotune:
        raise ValidationError(f"MaxNumberOfTrainingJobs is required for the strategy {strategy}.")
    most = MOST_RANDOM_JOBS if strategy == "Random" else MOST_JOBS
    if jobs is not None and jobs > most:
        raise exceeded(JOBS_QUOTA, most, jobs)
    if limits["MaxParallelTrainingJobs"] > MOST_PARALLEL:
        quota = "Number of parallel training jobs per hyperparameter tuning job"
        raise exceeded(quota, MOST_PARALLEL, limits["MaxParallelTrainingJobs"])


def _check_strategy(config: dict[str, Any], parameters: dict[str, Any]) -> None:
    strategy = config["Strategy"]
    if strategy != "Hyperband":
        if "StrategyConfig" in config:
            raise ValidationError(f"HyperbandStrategyConfig is not supported for the strategy {strategy}.")
    else:
        if config.get("TrainingJobEarlyStoppingType") == "Auto":
            raise ValidationError(
                "TrainingJobEarlyStoppingType must be OFF when the strategy is Hyperband, "
                "which stops training jobs by itself."
            )
        for definition in entries(parameters):
            most = max_resource(config, definition.get("StaticHyperParameters", {}))
            if most is None:
                raise ValidationError(
                    "MaxResource is required for the strategy Hyperband. It could not be taken from the static "
                    f"hyperparameters, which hold none of [{', '.join(EPOCH_KEYS)}]."
                )
            if min_resource(config) >= most:
                raise ValidationError(
                    f"MinResource, [{min_resource(config)}], must be less than MaxResource, [{most}]."
                )
    if "WarmStartConfig" in parameters and strategy in {"Grid", "Hyperband"}:
        raise NotHonouredError("WarmStartConfig", f"the strategy {strategy} takes nothing from earlier jobs")


def exceeded(quota: str, limit: int, wanted: int, used: int = 0) -> AwsError:
    """The error of a quota that counts jobs."""
    return AwsError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{quota}' is {limit}, with current utilization of {used} and a request delta "
        f"of {wanted}. Please contact AWS support to request an increase for this limit.",
    )
