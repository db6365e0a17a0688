"""SageMaker's API: the table of operations, made from the parts and their families."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.hosting.endpoint import Endpoints
from stagemaker.sagemaker.hosting.endpoint_config import EndpointConfigs
from stagemaker.sagemaker.hosting.model import Models
from stagemaker.sagemaker.listing import list_resources
from stagemaker.sagemaker.part import Part
from stagemaker.sagemaker.tags import Tags
from stagemaker.sagemaker.training.job import TrainingJobs
from stagemaker.sagemaker.transform.job import TransformJobs
from stagemaker.sagemaker.tuning.job import TuningJobs
from stagemaker.wire.api import Api, Handler, Held
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.message import Context
from stagemaker.wire.model import load_service_model

VANISHING_SECONDS = 20.0
"""How long a waiter is kept without an answer: less than the read time-out of clients, which is 60 s by default."""

PARTS: tuple[type[Part], ...] = (TrainingJobs, TuningJobs, Models, EndpointConfigs, Endpoints, TransformJobs)
FAMILIES: tuple[Family, ...] = tuple(family for part in PARTS for family in part.families)


def operation_names() -> list[str]:
    """The operations that are there, for the docs."""
    generic = {name for family in FAMILIES for name in (family.describe, family.list)}
    return sorted(generic.union(Tags.operations(), *(part.operations() for part in PARTS)))


class SageMakerService:
    """The control plane of the account, of one object for each of `PARTS`."""

    def __init__(self, documents: Documents, parts: Sequence[Part]) -> None:
        self.documents = documents
        self._parts = (*parts, Tags(documents, FAMILIES))
        self._model = load_service_model("sagemaker")

    async def start(self) -> None:
        """Take up what was under way."""
        for part in self._parts:
            await part.start()

    async def stop(self) -> None:
        """Let go of it, the last part first."""
        for part in reversed(self._parts):
            await part.stop()

    def reset(self) -> None:
        """End and forget everything."""
        for part in reversed(self._parts):
            part.reset()
        self.documents.reset()

    def api(self) -> Api:
        """The operations that are there."""
        handlers: dict[str, Handler] = {}
        for family in FAMILIES:
            handlers[family.describe] = self._describer(family)
            handlers[family.list] = self._lister(family)
        for part in self._parts:
            handlers.update(part.handlers())
        return Api(self._model, [JsonCodec(self._model)], handlers, prefix="sagemaker", resources=self._resources)

    def _describer(self, family: Family) -> Handler:
        async def describe(context: Context, parameters: dict[str, Any]) -> dict[str, Any] | Held:
            region, name = context.region, parameters[family.name_member]
            document = self.documents.get(family, region, name)
            if context.is_waiter and document.get(family.status_member) in family.vanishing:
                # This wait is for an error, so the head of an answer must not be on its way.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.documents.gone(family, region, name), VANISHING_SECONDS)
                return self.documents.get(family, region, name)
            if context.is_waiter and document.get(family.status_member) in family.transitional:
                # botocore's waiters look every 30 to 120 s: answer this one when there is something to see.
                return Held(lambda: self.documents.settled(family, region, name))
            return document

        return describe

    def _lister(self, family: Family) -> Handler:
        operation = self._model.operation_model(family.list)

        async def list_family(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
            return list_resources(self.documents, family, operation, context, parameters)

        return list_family

    def _resources(self, operation: str, parameters: dict[str, Any], context: Context) -> Sequence[str]:
        """The ARNs that a policy would name for a call."""
        named = {
            family: family.arn(context.region, context.account, name)
            for family in FAMILIES
            if isinstance(name := parameters.get(family.name_member), str)
        }
        # The longest noun first: CreateEndpointConfig is about an endpoint configuration, not an endpoint.
        for family in sorted(named, key=lambda family: -len(family.noun)):
            if family.noun in operation:
                return [named[family], *(arn for other, arn in named.items() if operation in other.judged_with)]
        arn = parameters.get("ResourceArn")
        return [arn] if isinstance(arn, str) else ["*"]
