"""SageMaker's API: the table of operations, most of it made from the families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stagemaker.sagemaker.documents import Documents, read_tags
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.listing import list_resources
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.training_job import TRAINING_JOB, Neighbours, TrainingJobs
from stagemaker.store import Store
from stagemaker.wire.api import Api, Handler, Held
from stagemaker.wire.codec import JsonCodec
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context
from stagemaker.wire.model import load_service_model

FAMILIES = (TRAINING_JOB,)
_OWN_OPERATIONS = ("CreateTrainingJob", "StopTrainingJob", "AddTags", "ListTags", "DeleteTags")


def operation_names() -> list[str]:
    """The operations that are there, for the docs."""
    return sorted([*_OWN_OPERATIONS, *(name for family in FAMILIES for name in (family.describe, family.list))])


class SageMakerService:
    """The control plane of the account."""

    def __init__(
        self,
        store: Store,
        account: str,
        neighbours: Neighbours,
        jobs_folder: Path,
        stage_file: Path,
        quotas: Path,
        *,
        slots: int,
        threads: int,
        stop_grace: float,
    ) -> None:
        self.account = account
        self.documents = Documents(store, account)
        self.training_jobs = TrainingJobs(
            self.documents,
            neighbours,
            jobs_folder,
            stage_file,
            Quotas(quotas),
            slots=slots,
            threads=threads,
            stop_grace=stop_grace,
        )
        self._model = load_service_model("sagemaker")

    async def start(self) -> None:
        """Take up what was under way."""
        await self.training_jobs.start()

    async def stop(self) -> None:
        """Let go of it; it goes on."""
        await self.training_jobs.stop()

    def reset(self) -> None:
        """End and forget everything."""
        self.training_jobs.reset()
        self.documents.reset()

    def api(self) -> Api:
        """The operations that are there."""
        own = (
            self.training_jobs.create,
            self.training_jobs.stop_job,
            self._add_tags,
            self._list_tags,
            self._delete_tags,
        )
        handlers: dict[str, Handler] = dict(zip(_OWN_OPERATIONS, own, strict=True))
        for family in FAMILIES:
            handlers[family.describe] = self._describer(family)
            handlers[family.list] = self._lister(family)
        return Api(self._model, [JsonCodec(self._model)], handlers, prefix="sagemaker", resources=self._resources)

    def _describer(self, family: Family) -> Handler:
        async def describe(context: Context, parameters: dict[str, Any]) -> dict[str, Any] | Held:
            region, name = context.region, parameters[family.name_member]
            document = self.documents.get(family, region, name)
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
        for family in FAMILIES:
            name = parameters.get(family.name_member)
            if isinstance(name, str) and family.noun in operation:
                return [family.arn(context.region, context.account, name)]
        arn = parameters.get("ResourceArn")
        return [arn] if isinstance(arn, str) else ["*"]

    async def _add_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        arn = self._existing(context, parameters["ResourceArn"])
        self.documents.put_tags(arn, read_tags(parameters["Tags"]))
        return {"Tags": self._tag_list(arn)}

    async def _list_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        # A resource has at most 50 tags and a page at least 50, so there is never a second page.
        return {"Tags": self._tag_list(self._existing(context, parameters["ResourceArn"]))}

    async def _delete_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        self.documents.delete_tags(self._existing(context, parameters["ResourceArn"]), parameters["TagKeys"])
        return {}

    def _existing(self, context: Context, arn: str) -> str:
        """`arn` when it names a resource of this account and region that exists."""
        for family in FAMILIES:
            prefix = family.arn(context.region, self.account, "")
            if arn.startswith(prefix) and self.documents.find(family, context.region, arn.removeprefix(prefix)):
                return arn
        raise AwsError("ResourceNotFound", f"Resource {arn} not found")

    def _tag_list(self, arn: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.documents.tags(arn).items()]
