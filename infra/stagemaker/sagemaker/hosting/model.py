"""Models: what an endpoint or a transform job runs."""

from __future__ import annotations

import time
from typing import Any

from stagemaker.ports import Credentials, Objects, PortError, Roles
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.execution_role import cannot_assume
from stagemaker.sagemaker.family import Family, cannot_create_existing, could_not_find
from stagemaker.sagemaker.honoured import refuse_unhonoured
from stagemaker.sagemaker.hosting import model_request
from stagemaker.sagemaker.hosting.model_request import Definition, data_url, definitions, model_data
from stagemaker.sagemaker.part import Part, operation
from stagemaker.wire.errors import ValidationError
from stagemaker.wire.message import Context

MODEL = Family(
    noun="Model",
    arn_type="model",
    transitional=frozenset(),
    missing=could_not_find("model"),
    exists=cannot_create_existing("model"),
    sort_order="Descending",
    lower_case_arn=True,
)


class Models(Part):
    """The models of the account."""

    families = (MODEL,)

    def __init__(self, documents: Documents, roles: Roles, objects: Objects) -> None:
        self.documents = documents
        self._roles = roles
        self._objects = objects

    @operation("CreateModel")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateModel. The role and the model data must be there; the images are looked for when they are to run."""
        refuse_unhonoured(parameters, model_request.HONOURED_MEMBERS)
        model_request.check(parameters)
        name, region = parameters["ModelName"], context.region
        arn = MODEL.arn(region, self.documents.account, name)
        if self.documents.name_of(MODEL, region, arn) is not None:
            raise MODEL.exists(arn)
        tags = read_tags(parameters.get("Tags", []))
        await self._check_access(definitions(parameters), parameters["ExecutionRoleArn"], region)
        document = {member: value for member, value in parameters.items() if member != "Tags"}
        document |= {
            "ModelArn": arn,
            "CreationTime": round(time.time(), 3),
            "EnableNetworkIsolation": parameters.get("EnableNetworkIsolation", False),
        }
        if "PrimaryContainer" in document:
            document["PrimaryContainer"] = _completed(document["PrimaryContainer"])
        else:
            document["Containers"] = [_completed(each) for each in document["Containers"]]
            document.setdefault("InferenceExecutionConfig", {"Mode": "Serial"})
        self.documents.create(MODEL, region, name, document, tags)
        return {"ModelArn": arn}

    @operation("DeleteModel")
    async def delete(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteModel. Endpoints that run it go on, and its model data stays in S3."""
        self.documents.delete(MODEL, context.region, parameters["ModelName"])
        return {}

    async def _check_access(self, containers: list[Definition], role: str, region: str) -> None:
        url = next((found for each in containers if (found := data_url(each))), None)
        try:
            credentials = await self._roles.assume(role, region=region, session_name="SageMaker")
        except PortError as error:
            if url:
                raise _no_access(url, role, region) from error
            raise ValidationError(cannot_assume(role)) from error
        for each in containers:
            await self._check_data(each, role, region, credentials)

    async def _check_data(self, container: Definition, role: str, region: str, credentials: Credentials) -> None:
        data = model_data(container)
        if data is None:
            return
        look = self._objects.any_object if data.is_prefix else self._objects.has_object
        url = data_url(container) or ""
        try:
            found = await look(data.source.bucket, data.source.key, region=region, credentials=credentials)
        except PortError as error:
            raise _no_access(url, role, region) from error
        if not found:
            raise ValidationError(f"Could not find model data at {url}.")


def _no_access(url: str, role: str, region: str) -> ValidationError:
    return ValidationError(
        f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust '
        'relationship policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". '
        'Also ensure that the role has "s3:GetObject" permissions and that the object is located in '
        f"{region}."
    )


def _completed(definition: Definition) -> Document:
    """A container as Describe shows it: AWS says both where the data is and how, whichever of them was given."""
    shown: Document = {"Mode": "SingleModel", "Environment": {}, **definition}
    if "ModelDataUrl" in definition:
        source = {"S3Uri": definition["ModelDataUrl"], "S3DataType": "S3Object", "CompressionType": "Gzip"}
        shown["ModelDataSource"] = {"S3DataSource": source}
    return shown
