"""Warm start: what a tuning job may take from earlier ones, and what its search learns of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.tuning.definition import Definition, TuningImages, read_definitions
from stagemaker.sagemaker.tuning.trials import Trials
from stagemaker.search.ranges import read, texts
from stagemaker.search.trial import NO_PARENTS, Parents, Trial
from stagemaker.wire.errors import ValidationError

IDENTICAL = "IdenticalDataAndAlgorithm"
_FREE = (
    "DefinitionName",
    "StaticHyperParameters",
    "HyperParameterRanges",
    "RoleArn",
    "ResourceConfig",
    "HyperParameterTuningResourceConfig",
    "StoppingCondition",
    "VpcConfig",
    "OutputDataConfig",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
)
"""Members of a definition that may differ from those of a parent with identical data and algorithm."""


class WarmStart:
    """Finds the parents of tuning jobs."""

    def __init__(self, documents: Documents, family: Family, trials: Trials, images: TuningImages) -> None:
        self._documents = documents
        self._family = family
        self._trials = trials
        self._images = images

    def check(self, region: str, parameters: Mapping[str, Any], definitions: Sequence[Definition]) -> None:
        """Raise ValidationException when a parent does not fit."""
        config = parameters.get("WarmStartConfig", {})
        for parent in config.get("ParentHyperParameterTuningJobs", []):
            name = parent.get("HyperParameterTuningJobName")
            if name is None:
                raise ValidationError("HyperParameterTuningJobName is required for each parent tuning job.")
            document = self._documents.find(self._family, region, name)
            if document is None:
                raise ValidationError(f"Could not find the parent hyperparameter tuning job [{name}].")
            status = document["HyperParameterTuningJobStatus"]
            if status in self._family.transitional:
                raise ValidationError(
                    f"The parent hyperparameter tuning job [{name}] is in status {status}. "
                    "Parent tuning jobs must be Completed, Stopped or Failed."
                )
            theirs = read_definitions(document, self._images)
            if len(theirs) != len(definitions):
                raise ValidationError(
                    f"The parent hyperparameter tuning job [{name}] has {len(theirs)} training job definitions, "
                    f"and this one has {len(definitions)}."
                )
            for ours, parents in zip(definitions, theirs, strict=True):
                _check_pair(ours, parents, name, identical=config["WarmStartType"] == IDENTICAL)

    def parents(self, region: str, document: Document, definition: Definition) -> Parents:
        """What the search of a definition may learn from. A parent that has been deleted teaches nothing."""
        config = document.get("WarmStartConfig")
        if config is None:
            return NO_PARENTS
        tasks = (self._trials_of(region, parent, definition) for parent in config["ParentHyperParameterTuningJobs"])
        return Parents(tuple(task for task in tasks if task), same_task=config["WarmStartType"] == IDENTICAL)

    def overall_best(self, region: str, document: Document, own: dict[str, Any] | None) -> dict[str, Any] | None:
        """The best of the job and its parents, where their objectives compare."""
        config = document.get("WarmStartConfig", {})
        if config.get("WarmStartType") != IDENTICAL:
            return None
        found = [{**own, "TuningJobName": document["HyperParameterTuningJobName"]}] if own else []
        for parent in config["ParentHyperParameterTuningJobs"]:
            name = parent["HyperParameterTuningJobName"]
            theirs = self._documents.find(self._family, region, name) or {}
            if best := theirs.get("OverallBestTrainingJob") or theirs.get("BestTrainingJob"):
                found.append({"TuningJobName": name, **best})
        if not found:
            return None
        metric = "FinalHyperParameterTuningJobObjectiveMetric"
        pick = min if found[0][metric]["Type"] == "Minimize" else max
        return pick(found, key=lambda job: job[metric]["Value"])

    def _trials_of(self, region: str, parent: Mapping[str, str], definition: Definition) -> tuple[Trial, ...]:
        """Those whose values lie within our ranges; what was static there has its value in all of them."""
        document = self._documents.find(self._family, region, parent["HyperParameterTuningJobName"])
        if document is None:
            return ()
        static = read_definitions(document, self._images)[definition.index].static
        found = []
        for row in self._trials.of(document["HyperParameterTuningJobArn"]):
            if row.definition == definition.index and row.is_over:
                values = read(definition.space, {**static, **texts(row.tried)})
                if values is not None:
                    found.append(Trial(values, row.objective))
        return tuple(found)


def _check_pair(ours: Definition, parent: Definition, name: str, *, identical: bool) -> None:
    if (ours.metric, ours.minimize) != (parent.metric, parent.minimize):
        raise ValidationError(
            f"The objective, [{ours.objective_type} {ours.metric}], must be that of the parent hyperparameter tuning "
            f"job [{name}], [{parent.objective_type} {parent.metric}]."
        )
    if _names(ours) != _names(parent):
        # AWS's words, as quoted in issue 861 of aws/amazon-sagemaker-examples.
        raise ValidationError(
            "The set of tunable plus static HyperParameter names is not the same across current and parent tuning "
            "jobs. Please ensure this set is constant when warm starting. Note that previously static HyperParameters "
            "can be tuned in warm start jobs and vice versa."
        )
    fixed = ("AlgorithmSpecification", "InputDataConfig") if identical else ()
    if any(ours.entry.get(member) != parent.entry.get(member) for member in fixed):
        raise ValidationError(
            f"Only the following fields in TrainingJobDefinition are allowed to change: [{', '.join(_FREE)}]"
        )


def _names(definition: Definition) -> set[str]:
    return {*definition.static, *(each.name for each in definition.space)}
