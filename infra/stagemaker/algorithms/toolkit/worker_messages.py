"""What the server and its workers tell one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from stagemaker.algorithms.toolkit.conventions import Conventions
from stagemaker.algorithms.toolkit.handlers import Defaults
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.algorithms.toolkit.user_model import ExecutionParameters
from stagemaker.contract.layout import Layout


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is started with. Functions travel by name, so they are those of modules."""

    layout: Layout
    defaults: Defaults
    conventions: Conventions
    execution_parameters: ExecutionParameters | None
    path: Sequence[str]
    """The import path of the server."""


class Order(Enum):
    """Messages without content."""

    LOAD = auto()
    EXECUTION_PARAMETERS = auto()


Message = Call | Order


@dataclass(frozen=True, slots=True)
class Reply:
    """`loaded` says whether the worker has its model; the first reply says that the module is imported."""

    loaded: bool
    answer: Answer | None = None
