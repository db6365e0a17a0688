"""What the service knows of tuning an algorithm of AWS's: its objectives, and which hyperparameters may be searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tunable:
    """A hyperparameter that may be searched, between `low` and `high`; `advised` is AWS's recommended range."""

    integer: bool
    low: float
    high: float
    advised: tuple[float, float]


@dataclass(frozen=True, slots=True)
class TuningRules:
    """The rules of one algorithm. `objectives` tells of each metric whether less is better."""

    objectives: Mapping[str, bool]
    tunables: Mapping[str, Tunable]
