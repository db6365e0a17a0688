"""Calls on endpoints that are refused before anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.jobs.spec import Program
from stagemaker.ports import Credentials, Datum
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint import Endpoints, Ground
from stagemaker.sagemaker.hosting.endpoint_config import ENDPOINT_CONFIG, EndpointConfigs
from stagemaker.sagemaker.hosting.endpoint_document import ENDPOINT
from stagemaker.sagemaker.hosting.fleet import Fleets
from stagemaker.sagemaker.hosting.model import MODEL
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.service import SageMakerService
from stagemaker.store import Store
from stagemaker.wire.message import Caller, Context

if TYPE_CHECKING:
    from tests.conftest import DirectClient
else:
    DirectClient = Any

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/model"


class Neighbours:
    """Neighbours that nobody gets to."""

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Any role."""
        return Credentials("key", "secret", "token", datetime.now(UTC))

    def attach(self, group: str, stream: str, file: Path, *, region: str) -> None:
        """No logs."""

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """No metrics."""

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """No events."""

    def program(self, image: str, word: str = "train") -> Program:
        """No program."""
        return Program(())


@pytest.fixture
def documents(store: Store) -> Documents:
    """A model and a configuration."""
    documents = Documents(store, ACCOUNT)
    now = time.time()
    model = {"PrimaryContainer": {"Image": "x"}, "ExecutionRoleArn": ROLE, "CreationTime": now}
    documents.create(MODEL, "us-east-1", "m", model, {})
    configure(documents, "cfg")
    return documents


def configure(documents: Documents, name: str, **members: Any) -> None:
    """A configuration of one variant."""
    variant = {
        "VariantName": "V",
        "ModelName": "m",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1.0,
        **members,
    }
    document = {"ProductionVariants": [variant], "CreationTime": time.time()}
    documents.create(ENDPOINT_CONFIG, "us-east-1", name, document, {})


@pytest.fixture
def sagemaker(documents: Documents, direct_client: DirectClient, tmp_path: Path) -> Any:
    """A client; a quota of two ml.m5.xlarge."""
    (tmp_path / "quotas.json").write_text(json.dumps({"ml.m5.xlarge for endpoint usage": 2}))
    neighbours = Neighbours()
    fleets = Fleets(tmp_path / "endpoints", neighbours, neighbours, neighbours, lambda _container: 0)
    ground = Ground(neighbours, tmp_path / "stage.json", Quotas(tmp_path / "quotas.json"), threads=1)
    endpoints = Endpoints(documents, fleets, neighbours, ground)
    return direct_client(SageMakerService(documents, [endpoints, EndpointConfigs(documents)]).api(), "sagemaker")


@pytest.mark.parametrize(
    ("variant", "code", "text"),
    [
        ({"ModelName": "other"}, "ValidationException", f"Could not find model .*{ACCOUNT}:model/other"),
        (
            {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 3},
            "ResourceLimitExceeded",
            "'ml.m5.xlarge for endpoint usage' is 2 Instances, .* and a request delta of 3 Instances",
        ),
        ({"InstanceType": "ml.g5.xlarge"}, "ResourceLimitExceeded", "a CPU never stands in for one"),
        ({"InitialInstanceCount": 41}, "ResourceLimitExceeded", "may be 40, with current utilization of 0 containers"),
    ],
)
def test_endpoint_that_cannot_be(
    sagemaker: Any, documents: Documents, variant: Mapping[str, Any], code: str, text: str
) -> None:
    """A model that is gone, quotas, accelerators, too much for this machine; nothing is left of the call."""
    configure(documents, "special", **variant)
    with pytest.raises(ClientError, match=text) as caught:
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="special")
    assert caught.value.response["Error"]["Code"] == code
    assert sagemaker.list_endpoints()["Endpoints"] == []


def test_configuration_must_be_there(sagemaker: Any) -> None:
    """The sentence names the configuration."""
    with pytest.raises(ClientError, match=f'Could not find endpoint configuration .*{ACCOUNT}:endpoint-config/none"'):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="None")


def test_endpoint_must_be_there(sagemaker: Any) -> None:
    """For every call on one."""
    calls: list[tuple[Any, dict[str, Any]]] = [
        (sagemaker.describe_endpoint, {}),
        (sagemaker.delete_endpoint, {}),
        (sagemaker.update_endpoint, {"EndpointConfigName": "cfg"}),
        (
            sagemaker.update_endpoint_weights_and_capacities,
            {"DesiredWeightsAndCapacities": [{"VariantName": "V", "DesiredWeight": 1}]},
        ),
    ]
    for call, members in calls:
        with pytest.raises(ClientError, match=f'Could not find endpoint "arn:aws:sagemaker:us-east-1:{ACCOUNT}:endp'):
            call(EndpointName="e", **members)


@pytest.mark.parametrize("status", sorted(ENDPOINT.transitional))
def test_endpoint_in_progress_cannot_be_changed(sagemaker: Any, documents: Documents, status: str) -> None:
    """Whatever is under way with it."""
    arn = ENDPOINT.arn("us-east-1", ACCOUNT, "e")
    now = time.time()
    document = {
        "EndpointName": "e",
        "EndpointArn": arn,
        "EndpointStatus": status,
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    documents.create(ENDPOINT, "us-east-1", "e", document, {})
    with pytest.raises(ClientError, match=f'Cannot update in-progress endpoint "{arn}"'):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="cfg")
    listed = sagemaker.list_endpoints(StatusEquals=status)["Endpoints"]
    assert [each["EndpointName"] for each in listed] == ["e"]


@pytest.mark.parametrize(
    ("deployment", "text"),
    [
        (
            {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}},
            "Stagemaker cannot honour DeploymentConfig.AutoRollbackConfiguration",
        ),
        (
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
                    "WaitIntervalInSeconds": 1,
                }
            },
            "Stagemaker cannot honour DeploymentConfig.RollingUpdatePolicy",
        ),
    ],
)
def test_deployments_that_are_not_there(sagemaker: Any, deployment: dict[str, Any], text: str) -> None:
    """By name, whatever else the deployment says."""
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    config = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}, **deployment}
    with pytest.raises(ClientError, match=text):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="cfg", DeploymentConfig=config)


@pytest.mark.parametrize(
    ("operation", "resources"),
    [
        ("CreateEndpoint", ["endpoint/shop", "endpoint-config/cfg"]),
        ("UpdateEndpoint", ["endpoint/shop", "endpoint-config/cfg"]),
        ("CreateEndpointConfig", ["endpoint-config/cfg"]),
    ],
)
def test_policies_judge_endpoint_and_configuration(documents: Documents, operation: str, resources: list[str]) -> None:
    """With names in lower case, as AWS writes their ARNs; a configuration that is made is judged alone."""
    context = Context(ACCOUNT, "us-east-1", Caller("arn"), "request")
    names = {"EndpointName": "Shop", "EndpointConfigName": "Cfg"}
    api = SageMakerService(documents, []).api()
    judged = api.resources(operation, names, context)
    assert list(judged) == [f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{name}" for name in resources]
