"""The training job definitions of a tuning job: objective, ranges, and the request of a training job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stagemaker.jobs.spec import SCRIPT_MODE
from stagemaker.jobs.tunable import TuningRules
from stagemaker.sagemaker.training.spec import Images
from stagemaker.sagemaker.tuning import ranges as tuning_ranges
from stagemaker.sagemaker.tuning.ranges import OBJECTIVE_HYPERPARAMETER
from stagemaker.sagemaker.tuning.request import JOBS_QUOTA, MOST_JOBS, entries, exceeded
from stagemaker.search.ranges import Space, Value, combinations, texts
from stagemaker.wire.errors import ValidationError

_OWN_MEMBERS = frozenset(
    {
        "DefinitionName",
        "TuningObjective",
        "HyperParameterRanges",
        "StaticHyperParameters",
        "HyperParameterTuningResourceConfig",
        "CheckpointConfig",
    }
)
"""Members of a definition that a training job does not have, or has otherwise."""


class TuningImages(Images, Protocol):
    """The images of training jobs, and what may be tuned in them."""

    def tuning_rules(self, image: str) -> TuningRules | None:
        """The rules of an algorithm of AWS's; None for any other image."""
        ...


@dataclass(frozen=True, slots=True)
class Definition:
    """One of the definitions, which are searched each for itself. `index` counts from 0."""

    index: int
    name: str | None
    metric: str
    minimize: bool
    space: Space
    static: Mapping[str, str]
    entry: Mapping[str, Any]

    @property
    def objective_type(self) -> str:
        """Maximize or Minimize."""
        return "Minimize" if self.minimize else "Maximize"

    def training_job(self, name: str, values: Mapping[str, Value], tags: list[dict[str, str]]) -> dict[str, Any]:
        """The CreateTrainingJob request of the job that tries `values`."""
        request = {member: value for member, value in self.entry.items() if member not in _OWN_MEMBERS}
        request |= {
            "TrainingJobName": name,
            "HyperParameters": {**self.static, **texts(values), OBJECTIVE_HYPERPARAMETER: self.metric},
        }
        if resources := self.entry.get("HyperParameterTuningResourceConfig"):
            request["ResourceConfig"] = resources
        if checkpoints := self.entry.get("CheckpointConfig"):
            # A prefix of its own: jobs of one search must not find one another's checkpoints.
            request["CheckpointConfig"] = {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{name}"}
        if tags:
            request["Tags"] = tags
        return request


def read_definitions(parameters: Mapping[str, Any], images: TuningImages) -> list[Definition]:
    """The definitions of a request, or of the description of a job. Raises ValidationException."""
    config = parameters["HyperParameterTuningJobConfig"]
    found = [
        _read(index, entry, config, images, autotune="Autotune" in parameters)
        for index, entry in enumerate(entries(dict(parameters)))
    ]
    if len({definition.minimize for definition in found}) > 1:
        raise ValidationError("All training job definitions must have the same type of objective.")
    _check_combinations(found, config)
    return found


def jobs_wanted(config: Mapping[str, Any], definitions: list[Definition]) -> int:
    """How many training jobs there will be at most: given, all combinations of a grid, or Autotune's choice."""
    given = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if given is not None:
        return int(given)
    if config["Strategy"] == "Grid":
        return int(sum(combinations(definition.space) for definition in definitions))
    return min(10 * sum(len(definition.space) for definition in definitions), 100)


def _read(
    index: int, entry: Mapping[str, Any], config: Mapping[str, Any], images: TuningImages, *, autotune: bool
) -> Definition:
    if "ResourceConfig" in entry and "HyperParameterTuningResourceConfig" in entry:
        raise ValidationError("ResourceConfig and HyperParameterTuningResourceConfig must not be given together.")
    if "TrainingImage" not in entry["AlgorithmSpecification"]:
        raise ValidationError(
            "AlgorithmSpecification must name exactly one of TrainingImage and AlgorithmName, and neither is given."
        )
    image = entry["AlgorithmSpecification"]["TrainingImage"]
    static = entry.get("StaticHyperParameters", {})
    rules = None if SCRIPT_MODE in static else images.tuning_rules(image)
    objective = entry.get("TuningObjective") or config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise ValidationError("An objective is required: a metric's name, and whether to Maximize or Minimize it.")
    minimize = objective["Type"] == "Minimize"
    _check_objective(entry, objective, minimize, rules)
    given = entry.get("HyperParameterRanges") or config.get("ParameterRanges") or {}
    space = tuning_ranges.read_space(given, static, rules, image, autotune=autotune)
    if config["Strategy"] == "Grid" and len(given.get("CategoricalParameterRanges", [])) < len(space):
        raise ValidationError("Only categorical parameter ranges are supported for the strategy Grid.")
    return Definition(index, entry.get("DefinitionName"), objective["MetricName"], minimize, space, static, entry)


def _check_objective(
    entry: Mapping[str, Any], objective: Mapping[str, str], minimize: bool, rules: TuningRules | None
) -> None:
    metric, image = objective["MetricName"], entry["AlgorithmSpecification"]["TrainingImage"]
    if rules is None:
        defined = {each["Name"] for each in entry["AlgorithmSpecification"].get("MetricDefinitions", [])}
        if metric not in defined:
            raise ValidationError(
                "A metric is required for this hyperparameter tuning job objective. "
                "Provide a metric in the metric definitions."
            )
    elif metric not in rules.objectives:
        raise ValidationError(
            f"The objective metric, [{metric}], that you specified isn't valid for the [{image}] algorithm. "
            f"Choose a valid objective metric: [{', '.join(rules.objectives)}]."
        )
    elif rules.objectives[metric] is not minimize:
        raise ValidationError(
            f"The objective metric type, [{objective['Type']}], that you specified for objective metric, [{metric}], "
            f"isn't valid for the [{image}] algorithm. Choose a valid objective metric type."
        )


def _check_combinations(definitions: list[Definition], config: Mapping[str, Any]) -> None:
    total = sum(combinations(definition.space) for definition in definitions)
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid" and total > MOST_JOBS:
        raise exceeded(JOBS_QUOTA, MOST_JOBS, int(total))  # a grid needs no MaxNumberOfTrainingJobs that says so
    if jobs is None or math.isinf(total):
        return
    if total < jobs:
        raise ValidationError(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{total}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{jobs}]. Provide additional ranges."
        )
    if config["Strategy"] == "Grid" and total != jobs:
        raise ValidationError(
            f"For the strategy Grid, MaxNumberOfTrainingJobs, [{jobs}], must be absent or equal to the number of "
            f"combinations of the categorical values, [{int(total)}]."
        )
