"""A part of SageMaker: families that belong together, and the operations that have a meaning of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from stagemaker.sagemaker.family import Family
from stagemaker.wire.api import Handler

_Method = TypeVar("_Method", bound=Callable[..., Any])


def operation(name: str) -> Callable[[_Method], _Method]:
    """Mark a method of a part as the handler of the operation `name`."""

    def mark(method: _Method) -> _Method:
        method.operation = name  # type: ignore[attr-defined]  # a mark on a function
        return method

    return mark


class Part:
    """What `SageMakerService` puts together. Describe and List come from the families unless a part has its own."""

    families: ClassVar[tuple[Family, ...]] = ()

    @classmethod
    def operations(cls) -> dict[str, str]:
        """The operations that the part has handlers for, and the names of those methods."""
        return {
            method.operation: attribute
            for parent in reversed(cls.__mro__)
            for attribute, method in vars(parent).items()
            if hasattr(method, "operation")
        }

    def handlers(self) -> dict[str, Handler]:
        """The handlers by operation."""
        return {name: getattr(self, attribute) for name, attribute in self.operations().items()}

    async def start(self) -> None:
        """Take up what was under way when the stage last stopped."""

    async def stop(self) -> None:
        """Let go of it."""

    def reset(self) -> None:
        """End and forget everything; the documents are forgotten by the service."""
