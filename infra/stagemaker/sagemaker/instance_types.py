"""Instance types: cores, memory and price, from `datasets/instance-prices`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_DATASETS = (_HERE.parents[2] / "datasets", _HERE.parents[1] / "stagemaker_labs" / "course_files" / "datasets")
"""In a clone, and beside the installed packages."""
_GIB = 1 << 30
_ACCELERATED = frozenset({"p", "g", "trn", "inf"})


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A type in us-east-1. `usd_per_hour` is third-party; see the data card."""

    name: str
    vcpus: int
    memory_bytes: int
    gpus: int
    usd_per_hour: float


@cache
def instance_types() -> Mapping[str, InstanceType]:
    """The types whose price is known, by name. Raises FileNotFoundError when the table is not installed."""
    file = next(
        (found for folder in _DATASETS if (found := folder / "instance-prices" / "us-east-1.csv").is_file()), None
    )
    if file is None:
        raise FileNotFoundError("instance-prices/us-east-1.csv is missing from this installation")
    with file.open(newline="") as rows:
        return {row["instance_type"]: _read(row) for row in csv.DictReader(rows)}


def needs_accelerator(instance_type: str) -> bool:
    """Whether the type stands for a GPU or another accelerator: ml.p3..., ml.g5..., ml.trn1..., ml.inf2...

    A type is its family's letters, then the generation: `ml.p3.2xlarge`, `ml.g4dn.xlarge`.
    """
    family = instance_type.removeprefix("ml.")
    letters = family[: next((i for i, character in enumerate(family) if not character.isalpha()), len(family))]
    return letters in _ACCELERATED


def _read(row: Mapping[str, str]) -> InstanceType:
    return InstanceType(
        row["instance_type"],
        int(row["vcpus"]),
        int(float(row["memory_gib"]) * _GIB),
        int(row["gpus"]),
        float(row["usd_per_hour"]),
    )
