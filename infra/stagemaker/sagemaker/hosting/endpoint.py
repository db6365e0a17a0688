"""Endpoints: Create, Update, Delete, and the plans that they make for the fleets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagemaker.jobs.serving.spec import DEFAULT_DOWNLOAD_SECONDS, DEFAULT_STARTUP_SECONDS
from stagemaker.ports import Events
from stagemaker.sagemaker.documents import Document, Documents, read_tags
from stagemaker.sagemaker.honoured import HONOURED, Entry, Refused, refuse_unhonoured
from stagemaker.sagemaker.hosting import endpoint_document, endpoint_sizes, endpoint_traffic
from stagemaker.sagemaker.hosting.endpoint_changes import EndpointChanges
from stagemaker.sagemaker.hosting.endpoint_config import ENDPOINT_CONFIG
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT, STATE_CHANGE
from stagemaker.sagemaker.hosting.fleet import MOST_CONTAINERS, Fleets
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.hosting.fleet_plans import FleetPlans, PlanRole
from stagemaker.sagemaker.hosting.model import MODEL
from stagemaker.sagemaker.hosting.model_request import data_url, definitions, mode
from stagemaker.sagemaker.hosting.model_spec import DEFAULT_VOLUME_GB, ServingImages, instance_spec
from stagemaker.sagemaker.part import Part, operation
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.message import Context

_DEPLOYMENT: dict[str, Entry] = endpoint_traffic.HONOURED_MEMBERS
CREATE_MEMBERS: dict[str, Entry] = {
    "EndpointName": HONOURED,
    "EndpointConfigName": HONOURED,
    "Tags": HONOURED,
    "DeploymentConfig": _DEPLOYMENT,
}
UPDATE_MEMBERS: dict[str, Entry] = {
    "EndpointName": HONOURED,
    "EndpointConfigName": HONOURED,
    "RetainAllVariantProperties": HONOURED,
    "ExcludeRetainedVariantProperties": {"VariantPropertyType": HONOURED},
    "DeploymentConfig": _DEPLOYMENT,
    "RetainDeploymentConfig": HONOURED,
}
RESIZE_MEMBERS: dict[str, Entry] = {
    "EndpointName": HONOURED,
    "DesiredWeightsAndCapacities": {
        "VariantName": HONOURED,
        "DesiredWeight": HONOURED,
        "DesiredInstanceCount": HONOURED,
        "ServerlessUpdateConfig": Refused("serverless endpoints are not there"),
    },
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What instances stand on."""

    images: ServingImages
    stage_file: Path
    quotas: Quotas
    threads: int


class Endpoints(Part):
    """The endpoints of the account."""

    families = (ENDPOINT,)

    def __init__(self, documents: Documents, fleets: Fleets, events: Events, ground: Ground) -> None:
        self.documents = documents
        self.fleets = fleets
        self.plans = FleetPlans(documents.store)
        self.state_changes = StateChanges(documents.store, events, STATE_CHANGE)
        self.changes = EndpointChanges(documents, self.plans, fleets, self.state_changes)
        self._ground = ground

    async def start(self) -> None:
        """Let the endpoints come back."""
        await self.state_changes.start()
        self.changes.resume()

    async def stop(self) -> None:
        """End their instances, which come back with the next stage."""
        await self.changes.stop()
        await self.state_changes.stop()

    def reset(self) -> None:
        """End and forget every endpoint."""
        self.changes.reset()
        self.state_changes.reset()

    @operation("CreateEndpoint")
    async def create(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint. The configuration and its models must be there; the rest shows while it is Creating."""
        refuse_unhonoured(parameters, CREATE_MEMBERS)
        name, region = parameters["EndpointName"], context.region
        arn = ENDPOINT.arn(region, self.documents.account, name)
        if self.documents.name_of(ENDPOINT, region, arn) is not None:
            raise ENDPOINT.exists(arn)
        if deployment := parameters.get("DeploymentConfig"):
            endpoint_traffic.check(deployment)
        plan = replace(self._plan(region, parameters["EndpointConfigName"]), deployment=deployment)
        self._check_room(region, plan.variants)
        now = round(time.time(), 3)
        document: Document = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": plan.config,
            "ProductionVariants": endpoint_document.variants(plan, now, current=None, status="Creating"),
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self.documents.store.transaction():
            self.documents.create(ENDPOINT, region, name, document, read_tags(parameters.get("Tags", [])))
            self.plans.put(region, name, PlanRole.SERVING, plan)
            self.changes.announce(region, document)
        self.changes.create((region, name))
        return {"EndpointArn": arn}

    @operation("UpdateEndpoint")
    async def update(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint, blue/green: what serves goes on until its successor is in service."""
        refuse_unhonoured(parameters, UPDATE_MEMBERS)
        name, region = parameters["EndpointName"], context.region
        document, serving = self._in_service(region, name)
        deployment = parameters.get("DeploymentConfig")
        if deployment:
            endpoint_traffic.check(deployment)
        elif parameters.get("RetainDeploymentConfig"):
            deployment = document.get("LastDeploymentConfig")
        plan = replace(self._plan(region, parameters["EndpointConfigName"]), deployment=deployment)
        excluded = {each["VariantPropertyType"] for each in parameters.get("ExcludeRetainedVariantProperties", [])}
        if parameters.get("RetainAllVariantProperties"):
            plan = endpoint_sizes.retaining(plan, serving, excluded)
        elif excluded:
            raise ValidationError("ExcludeRetainedVariantProperties needs RetainAllVariantProperties.")
        endpoint_sizes.check_weights(plan)
        self._check_room(region, plan.variants)
        now = time.time()
        document["PendingDeploymentSummary"] = {
            "EndpointConfigName": plan.config,
            "ProductionVariants": endpoint_document.variants(plan, now, current=None, status="Creating"),
            "StartTime": now,
        }
        self._enter_updating(region, name, document, PlanRole.SUCCESSOR, plan)
        self.changes.update((region, name))
        return {"EndpointArn": document["EndpointArn"]}

    @operation("UpdateEndpointWeightsAndCapacities")
    async def resize(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities: the same fleet with other weights or other numbers of instances."""
        refuse_unhonoured(parameters, RESIZE_MEMBERS)
        name, region = parameters["EndpointName"], context.region
        document, serving = self._in_service(region, name)
        plan = endpoint_sizes.resized(serving, parameters["DesiredWeightsAndCapacities"])
        endpoint_sizes.check_weights(plan)
        new = [
            replace(variant, instances=tuple(set(variant.instances) - set(before.instances)))
            for variant, before in zip(plan.variants, serving.variants, strict=True)
        ]
        self._check_room(region, new)
        document["ProductionVariants"] = endpoint_document.variants(
            plan, time.time(), current=serving, status="Updating"
        )
        self._enter_updating(region, name, document, PlanRole.RESIZED, plan)
        self.changes.resize((region, name))
        return {"EndpointArn": document["EndpointArn"]}

    @operation("DeleteEndpoint")
    async def delete(self, context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint, in any state. It takes no more requests when this returns; its logs stay."""
        name, region = parameters["EndpointName"], context.region
        document = self.documents.get(ENDPOINT, region, name)
        if document["EndpointStatus"] != "Deleting":
            document["EndpointStatus"] = "Deleting"
            with self.documents.store.transaction():
                self.documents.save(ENDPOINT, region, name, document)
                self.changes.announce(region, document)
            self.changes.delete((region, name))
        return {}

    def _in_service(self, region: str, name: str) -> tuple[Document, FleetPlan]:
        """An endpoint that can be changed. Raises ValidationException for any other."""
        document = self.documents.get(ENDPOINT, region, name)
        status, arn = document["EndpointStatus"], document["EndpointArn"]
        if status in ENDPOINT.transitional:
            raise ValidationError(f'Cannot update in-progress endpoint "{arn}".')
        plan = self.plans.get(region, name, PlanRole.SERVING)
        if status != "InService" or plan is None:
            raise ValidationError(f'Cannot update endpoint "{arn}", which is {status}. It can only be deleted.')
        return document, plan

    def _enter_updating(self, region: str, name: str, document: Document, role: PlanRole, plan: FleetPlan) -> None:
        document["EndpointStatus"] = "Updating"
        with self.documents.store.transaction():
            self.plans.put(region, name, role, plan)
            self.documents.save(ENDPOINT, region, name, document)
            self.changes.announce(region, document)

    def _plan(self, region: str, config_name: str) -> FleetPlan:
        """What a configuration asks for. Raises the `missing` error of the configuration or of a model."""
        config = self.documents.get(ENDPOINT_CONFIG, region, config_name)
        variants = tuple(self._variant(region, each) for each in config["ProductionVariants"])
        capture = config.get("DataCaptureConfig")
        return FleetPlan(
            config_name,
            variants,
            # One role writes for all variants: that of the first.
            endpoint_document.capture(capture, variants[0].role_arn),
            endpoint_document.capture_summary(capture),
        )

    def _variant(self, region: str, variant: Mapping[str, Any]) -> VariantPlan:
        model = self.documents.get(MODEL, region, variant["ModelName"])
        spec = instance_spec(
            model,
            self._ground.images,
            region=region,
            stage_file=self._ground.stage_file,
            instance_type=variant["InstanceType"],
            volume_gb=variant.get("VolumeSizeInGB", DEFAULT_VOLUME_GB),
            threads=self._ground.threads,
            startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_SECONDS),
            download_seconds=variant.get("ModelDataDownloadTimeoutInSeconds", DEFAULT_DOWNLOAD_SECONDS),
        )
        plan = VariantPlan(
            variant["VariantName"],
            variant["InitialVariantWeight"],
            variant["InstanceType"],
            spec,
            model["ExecutionRoleArn"],
            tuple(each["Image"] for each in definitions(model)),
            tuple(data_url(each) for each in definitions(model)),
            mode(model),
        )
        return plan.sized(variant["InitialInstanceCount"])

    def _check_room(self, region: str, variants: Iterable[VariantPlan]) -> None:
        """Raise ResourceLimitExceeded for instances that are too many for the quotas or for this machine."""
        used: Counter[str] = Counter()
        planned = 0
        for where, _, plan in self.plans.all_serving():
            planned += plan.containers
            if where == region:
                for each in plan.variants:
                    used[each.instance_type] += len(each.instances)
        wanted: Counter[str] = Counter()
        containers = 0
        for each in variants:
            wanted[each.instance_type] += len(each.instances)
            containers += len(each.instances) * len(each.spec.containers)
        for instance_type, count in wanted.items():
            self._ground.quotas.check_endpoint(instance_type, used=used[instance_type], wanted=count)
        running = max(planned, self.fleets.containers)  # some are on their way, others are still going
        if containers and running + containers > MOST_CONTAINERS:
            raise AwsError(
                "ResourceLimitExceeded",
                f"The containers of all endpoints of this stage may be {MOST_CONTAINERS}, with current utilization of "
                f"{running} containers and a request delta of {containers} containers. "
                "Delete endpoints that nobody needs.",
            )
