"""AddTags, ListTags, DeleteTags, for the resources of every family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stagemaker.sagemaker.documents import Documents, read_tags
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.part import Part, operation
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Context


class Tags(Part):
    """The tags of all that exists."""

    def __init__(self, documents: Documents, families: Sequence[Family]) -> None:
        self._documents = documents
        self._families = families

    @operation("AddTags")
    async def add_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """Add tags or replace their values."""
        arn = self._existing(context, parameters["ResourceArn"])
        self._documents.put_tags(arn, read_tags(parameters["Tags"]))
        return {"Tags": self._tag_list(arn)}

    @operation("ListTags")
    async def list_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """All of them: a resource has at most 50 tags and a page at least 50, so there is never a second page."""
        return {"Tags": self._tag_list(self._existing(context, parameters["ResourceArn"]))}

    @operation("DeleteTags")
    async def delete_tags(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """Remove tags; a key that is not there is no error."""
        self._documents.delete_tags(self._existing(context, parameters["ResourceArn"]), parameters["TagKeys"])
        return {}

    def _existing(self, context: Context, arn: str) -> str:
        """`arn` when it names a resource of this account and region that exists."""
        for family in self._families:
            if self._documents.name_of(family, context.region, arn) is not None:
                return arn
        raise AwsError("ResourceNotFound", f"Resource {arn} not found")

    def _tag_list(self, arn: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self._documents.tags(arn).items()]
