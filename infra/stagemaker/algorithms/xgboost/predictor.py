"""The loaded model, or several as an ensemble. Safe to use from several threads at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import xgboost
from scipy import sparse

from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.model_file import load_model

LOG = logging.getLogger(__name__)

ENSEMBLE_VARIABLE = "SAGEMAKER_INFERENCE_ENSEMBLE"
_CLASS_OBJECTIVES = ("multi:softmax", "binary:hinge")  # they predict a class, so an ensemble votes


@dataclass(frozen=True, slots=True)
class Model:
    """One booster, set up for prediction on one thread a call, with what its configuration says."""

    booster: xgboost.Booster
    pickled: bool
    objective: str
    num_class: int
    kind: str
    rounds: tuple[int, int]
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def load(cls, file: Path) -> Model:
        """Read a model file. Raises RuntimeError when it is none."""
        LOG.info("Loading the model from %s", file)
        booster, pickled = load_model(file)
        booster.set_param({"nthread": 1})  # requests run beside one another instead
        learner = json.loads(booster.save_config())["learner"]
        best = booster.attr("best_iteration")
        kind = learner["gradient_booster"]["name"]
        return cls(
            booster=booster,
            pickled=pickled,
            objective=learner["objective"]["name"],
            num_class=int(learner["learner_model_param"].get("num_class", 0)),
            kind=kind,
            rounds=(0, int(best) + 1) if best is not None and kind != "gblinear" else (0, 0),
        )

    def predict(self, features: Any) -> Any:
        """Predictions of shape (n,) or (n, classes), float32. Fewer columns than trained on count as missing."""
        missing_columns = self.booster.num_features() - features.shape[1]
        if self.kind == "gbtree" and missing_columns >= 0:
            # In place is quicker and thread-safe, but wants every column. For dart it rounds otherwise.
            return self.booster.inplace_predict(
                _widened(features, missing_columns), iteration_range=self.rounds, validate_features=False
            )
        with self.lock:
            matrix = xgboost.DMatrix(features, nthread=1)
            return self.booster.predict(matrix, iteration_range=self.rounds, validate_features=False)


class Predictor:
    """The models of a model folder, loaded once."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._is_ensemble = environment.get(ENSEMBLE_VARIABLE, "true").lower() == "true"
        self._models: Sequence[Model] = ()
        self._lock = Lock()

    def models(self) -> Sequence[Model]:
        """The models, read from the folder at the first call. Raises RuntimeError when there is none."""
        with self._lock:
            if not self._models:
                files = sorted(file for file in self._folder.glob("[!.]*") if file.is_file())
                if not files:
                    raise RuntimeError(f"No model file in {self._folder}")
                self._models = [Model.load(file) for file in (files if self._is_ensemble else files[:1])]
        return self._models

    def predict(self, features: Any, content_type: ContentType) -> Any:
        """Predictions for n records: the mean of the models, or the most frequent class.

        Raises ValueError when the number of features does not fit a pickled model, XGBoostError when
        there are more than any model was trained on.
        """
        models = self.models()
        if models[0].pickled:
            _check_width(features.shape[1], models[0].booster.num_features(), content_type)
        predictions = [model.predict(features) for model in models]
        if len(predictions) == 1:
            return predictions[0]
        if models[0].objective in _CLASS_OBJECTIVES:
            votes = np.stack(predictions).astype(np.int64)
            return np.array([np.bincount(column).argmax() for column in votes.T], dtype=np.float32)
        return np.mean(predictions, axis=0)


def _widened(features: Any, columns: int) -> Any:
    """The features with as many empty columns more."""
    if columns == 0:
        return features
    if sparse.issparse(features):
        wider = sparse.csr_matrix(features)
        wider.resize(features.shape[0], features.shape[1] + columns)
        return wider
    return np.pad(features, ((0, 0), (0, columns)), constant_values=np.nan)


def _check_width(given: int, trained: int, content_type: ContentType) -> None:
    """The container's own check, which it makes for pickled models only."""
    if content_type is ContentType.LIBSVM:
        if given > trained + 1:
            raise ValueError(
                f"Feature size of libsvm inference data {given} is larger than feature size of trained model {trained}."
            )
    elif given not in {trained, trained - 1}:
        raise ValueError(
            f"Feature size of {content_type} inference data {given} is not consistent with feature size of "
            f"trained model {trained}."
        )
