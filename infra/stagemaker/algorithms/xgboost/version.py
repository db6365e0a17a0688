"""Which release of the image is emulated, and what differs between releases.

The library underneath is always the installed one; only the container's own rules follow the tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stagemaker.algorithms.xgboost.definition import TAGS
from stagemaker.algorithms.xgboost.errors import AlgorithmError

TAG_VARIABLE = "STAGEMAKER_IMAGE_TAG"
"""Baked into the image; in a process without an image the launcher sets it."""

DEFAULT_TAG = "3.2-0"

_LEGACY = (0, 72)

# Defaults of the library of that time, where the installed library has another one. Release 1.3
# replaced error, merror and auc by the log losses; 2.0 renamed the default of gamma regression and
# cut ranking metrics at 32.
_DEFAULTS_UNTIL_1_2: Mapping[str, str] = {
    "binary:logistic": "error",
    "binary:logitraw": "auc",
    "multi:softmax": "merror",
    "multi:softprob": "merror",
}
_DEFAULTS_UNTIL_1_7: Mapping[str, str] = {
    "reg:gamma": "gamma-nloglik",
    "rank:pairwise": "map",
    "rank:ndcg": "map",
    "rank:map": "map",
}


@dataclass(frozen=True, slots=True)
class Version:
    """The rules of one image tag."""

    tag: str
    number: tuple[int, int]

    @classmethod
    def of_tag(cls, tag: str) -> Version:
        """The release that `tag` names. AlgorithmError for a tag that AWS does not have."""
        if not any(tag in tags for tags in TAGS.values()):
            raise AlgorithmError(f"XGBoost image tag '{tag}' is not known; known tags: {_known_tags()}")
        if tag in TAGS["xgboost"]:
            return cls(tag, _LEGACY)
        major, minor = tag.split("-", 1)[0].split(".")
        return cls(tag, (int(major), int(minor)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Version:
        """The release that STAGEMAKER_IMAGE_TAG names, the newest without it."""
        return cls.of_tag(environment.get(TAG_VARIABLE) or DEFAULT_TAG)

    @property
    def is_legacy(self) -> bool:
        """The image `xgboost:1`, from before the open container."""
        return self.number == _LEGACY

    @property
    def pickles_model(self) -> bool:
        """Up to 1.2 the model file is a Python pickle of the Booster."""
        return self.number <= (1, 2)

    @property
    def joins_csv_response(self) -> bool:
        """The oldest images answer text/csv as one line joined by commas, 1.2-2 and later line by line."""
        return self.number <= (1, 0) or self.tag == "1.2-1"

    @property
    def selects_inference_output(self) -> bool:
        """SAGEMAKER_INFERENCE_OUTPUT counts from 1.3 on."""
        return self.number >= (1, 3)

    @property
    def has_pipe_mode(self) -> bool:
        """Images before 3.0, but for the legacy one, read CSV, Parquet and RecordIO from a pipe."""
        return _LEGACY < self.number < (3, 0)

    def checkpoint_name(self, iteration: int) -> str:
        """The name of the checkpoint written after round `iteration` (from 0)."""
        if self.number >= (3, 0):
            return f"xgboost-checkpoint_{iteration}.ubj"
        return f"xgboost-checkpoint.{iteration}"

    def default_metric(self, objective: str | None) -> str | None:
        """The metric logged when the user names none; None where the installed library's own is right."""
        if objective is None:
            return None
        if self.number <= (1, 2) and objective in _DEFAULTS_UNTIL_1_2:
            return _DEFAULTS_UNTIL_1_2[objective]
        if self.number <= (1, 7) and objective in _DEFAULTS_UNTIL_1_7:
            return _DEFAULTS_UNTIL_1_7[objective]
        return None


def _known_tags() -> str:
    return ", ".join(tag for tags in TAGS.values() for tag in tags)
