"""Models, configurations, deployments and plans without a server: what is refused, what is made of the rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.images import ProcessImages
from stagemaker.jobs.serving.instance import Fault
from stagemaker.jobs.serving.model_server import FaultKind
from stagemaker.jobs.serving.spec import ContainerSpec, InstanceSpec, ModelData
from stagemaker.jobs.spec import Program, S3Uri
from stagemaker.sagemaker.hosting import (
    endpoint_document,
    endpoint_failures,
    endpoint_sizes,
    endpoint_traffic,
    model_request,
)
from stagemaker.sagemaker.hosting.fleet_deployed import Fleet, VariantFaultError
from stagemaker.sagemaker.hosting.fleet_plan import FleetPlan, VariantPlan
from stagemaker.sagemaker.hosting.model_spec import instance_spec
from stagemaker.sagemaker.runtime.route import Capture, ExecutionMode
from stagemaker.wire.errors import AwsError

ROLE = "arn:aws:iam::123456789012:role/r"
IMAGE = {"Image": "server:1"}


class Images:
    """Every image is a program of its own name."""

    def program(self, image: str, word: str = "train") -> Program:
        """The name and the word."""
        return Program((image, word))


def request(**members: Any) -> dict[str, Any]:
    """A CreateModel request."""
    return {"ModelName": "m", "ExecutionRoleArn": ROLE, **members}


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({}, "Exactly one of PrimaryContainer and Containers"),
        ({"PrimaryContainer": IMAGE, "Containers": [IMAGE]}, "Exactly one of PrimaryContainer and Containers"),
        ({"PrimaryContainer": {}}, "Exactly one"),
        ({"PrimaryContainer": {"ContainerHostname": "a"}}, "needs an Image"),
        ({"Containers": [{**IMAGE, "ContainerHostname": "a"}] * 2}, "a is given twice"),
        ({"Containers": [IMAGE, IMAGE], "InferenceExecutionConfig": {"Mode": "Direct"}}, "needs a ContainerHostname"),
        ({"PrimaryContainer": IMAGE, "InferenceExecutionConfig": {"Mode": "Serial"}}, "models with Containers"),
        ({"PrimaryContainer": {**IMAGE, "ModelDataUrl": "s3://bucket"}}, "must name a bucket and a key"),
        ({"PrimaryContainer": {**IMAGE, "ModelDataUrl": "https://example.com/a"}}, "address in Amazon S3"),
        ({"PrimaryContainer": {**IMAGE, "Environment": {"A": "x" * 17_000}}}, "must not be larger"),
    ],
)
def test_model_that_cannot_be_is_refused(members: dict[str, Any], text: str) -> None:
    """At CreateModel, before anybody is asked."""
    with pytest.raises(AwsError, match=text):
        model_request.check(request(**members))


def source(**members: str) -> dict[str, Any]:
    """A container with a ModelDataSource."""
    return {**IMAGE, "ModelDataSource": {"S3DataSource": members}}


@pytest.mark.parametrize(
    ("container", "data"),
    [
        ({**IMAGE, "ModelDataUrl": "s3://b/k/m.tar.gz"}, ModelData(S3Uri("b", "k/m.tar.gz"))),
        ({**IMAGE, "ModelDataUrl": "s3://b/odd?name#1"}, ModelData(S3Uri("b", "odd?name#1"))),
        ({**IMAGE, "ModelDataUrl": "https://s3.us-east-1.amazonaws.com/b/k"}, ModelData(S3Uri("b", "k"))),
        ({**IMAGE, "ModelDataUrl": "https://b.x.s3.eu-west-1.amazonaws.com/k/l"}, ModelData(S3Uri("b.x", "k/l"))),
        (
            source(S3Uri="s3://b/p/", S3DataType="S3Prefix", CompressionType="None"),
            ModelData(S3Uri("b", "p/"), is_prefix=True, is_archive=False),
        ),
        (
            source(S3Uri="s3://b/f", S3DataType="S3Object", CompressionType="None"),
            ModelData(S3Uri("b", "f"), is_archive=False),
        ),
        (IMAGE, None),
    ],
)
def test_model_data_in_all_its_forms(container: dict[str, Any], data: ModelData | None) -> None:
    """The address as it stands, in each of S3's styles."""
    model_request.check(request(PrimaryContainer=container))
    assert model_request.model_data(container) == data


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"S3Uri": "s3://b/p/", "S3DataType": "S3Prefix", "CompressionType": "Gzip"}, "needs the S3DataType S3Object"),
        ({"S3Uri": "s3://b/p", "S3DataType": "S3Prefix", "CompressionType": "None"}, "must end with a slash"),
    ],
)
def test_prefixes_are_folders_of_plain_files(members: dict[str, str], text: str) -> None:
    """A prefix cannot be one archive."""
    with pytest.raises(AwsError, match=text):
        model_request.check(request(PrimaryContainer=source(**members)))


def test_containers_have_the_names_of_the_texts() -> None:
    """`primary`, or numbered, or as their hostname says; the caller's variables win over the model's."""
    assert model_request.names(request(PrimaryContainer=IMAGE)) == ["primary"]
    model = request(Containers=[{**IMAGE, "Environment": {"A": "1", "B": "1"}}, {**IMAGE, "ContainerHostname": "x"}])
    spec = instance_spec(
        model, Images(), region="r", stage_file=Path("s"), instance_type="ml.m5.large", variables={"B": "2"}
    )
    assert [each.name for each in spec.containers] == ["container-1", "x"]
    assert spec.containers[0].environment == {"A": "1", "B": "2"}
    assert spec.containers[0].program.command == ("server:1", "serve")
    assert spec.memory_bytes == 8 << 30


def routing(kind: str, **members: Any) -> dict[str, Any]:
    """A DeploymentConfig."""
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": 7, **members},
            "TerminationWaitInSeconds": 3,
        }
    }


def share(value: int, kind: str = "CAPACITY_PERCENT") -> dict[str, Any]:
    """A size of a step."""
    return {"Type": kind, "Value": value}


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (routing("ALL_AT_ONCE"), ()),
        (routing("CANARY", CanarySize=share(10)), (0.1,)),
        (routing("CANARY", CanarySize=share(1, "INSTANCE_COUNT")), (0.25,)),
        (routing("CANARY", CanarySize=share(9, "INSTANCE_COUNT")), ()),
        (routing("LINEAR", LinearStepSize=share(50)), (0.5,)),
        (routing("LINEAR", LinearStepSize=share(30)), (0.3, 0.6, 0.9)),
    ],
)
def test_steps_of_a_deployment(config: dict[str, Any], steps: tuple[float, ...]) -> None:
    """The shares of the new fleet of four instances, before it has all of the traffic."""
    endpoint_traffic.check(config)
    found = endpoint_traffic.traffic(config, 4)
    assert found.steps == pytest.approx(steps)
    assert (found.wait, found.termination_wait) == (7.0, 3.0)


@pytest.mark.parametrize(
    "config",
    [
        {},
        routing("CANARY"),
        routing("ALL_AT_ONCE", CanarySize=share(10)),
        routing("LINEAR", CanarySize=share(10)),
        routing("CANARY", CanarySize=share(51)),
        routing("LINEAR", LinearStepSize=share(9)),
    ],
)
def test_deployments_that_make_no_sense_are_refused(config: dict[str, Any]) -> None:
    """A size belongs to its type, within AWS's bounds."""
    with pytest.raises(AwsError):
        endpoint_traffic.check(config)


def plan() -> FleetPlan:
    """Two variants, one of them captured."""
    spec = InstanceSpec("r", (ContainerSpec("primary", Program(("p",)), {}),), Path("s"), 1, namespaced=False)
    first = VariantPlan("A", 1.0, "ml.m5.large", spec, ROLE, ("image",), ("s3://b/k",)).sized(2)
    second = VariantPlan("B", 0.5, "ml.m5.large", spec, ROLE, ("image",), (None,), ExecutionMode.DIRECT).sized(1)
    capture = Capture(50, "b", "p", ROLE, request=True, response=False)
    return FleetPlan("config", (first, second), capture, {"EnableCapture": True}, {"BlueGreenUpdatePolicy": {}})


def test_plan_survives_the_store() -> None:
    """What a stage reads after a restart is what the last one wrote."""
    original = plan()
    assert FleetPlan.from_json(original.to_json()) == original


def test_size_keeps_the_first_instances() -> None:
    """Growing adds behind, shrinking takes away from there."""
    variant = plan().variants[0]
    grown = variant.sized(4)
    assert grown.instances[:2] == variant.instances
    assert len(set(grown.instances)) == 4
    assert variant.sized(1).instances == variant.instances[:1]
    assert plan().containers == 3


def test_some_variant_keeps_a_weight() -> None:
    """An endpoint without any would answer no request; a variant alone may have none."""
    without = endpoint_sizes.resized(plan(), [{"VariantName": "A", "DesiredWeight": 0.0}])
    endpoint_sizes.check_weights(without)
    nothing = endpoint_sizes.resized(without, [{"VariantName": "B", "DesiredWeight": 0.0}])
    with pytest.raises(AwsError, match="needs a weight above 0"):
        endpoint_sizes.check_weights(nothing)
    # What an update retains may be just the variant that had none.
    only = replace(plan(), variants=plan().variants[:1])
    with pytest.raises(AwsError, match="needs a weight above 0"):
        endpoint_sizes.check_weights(endpoint_sizes.retaining(only, without, set()))
    endpoint_sizes.check_weights(endpoint_sizes.retaining(only, without, {"DesiredWeight"}))


def test_share_of_a_fleet_is_one_of_all_traffic(tmp_path: Path) -> None:
    """While traffic shifts, whatever the weights of the two configurations add up to; alone, weights are as given."""

    async def story() -> None:
        fleet = Fleet(plan(), tmp_path, asyncio.Semaphore(1), lambda: None, lambda _variant, _event: None)
        assert [route.weight for route in fleet.routes()] == [1.0, 0.5]
        assert [route.weight for route in fleet.routes(0.3)] == pytest.approx([0.2, 0.1])
        fleet.plan = endpoint_sizes.resized(plan(), [{"VariantName": name, "DesiredWeight": 0.0} for name in "AB"])
        assert [route.weight for route in fleet.routes(0.3)] == [0.0, 0.0]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "shown"), [("InService", "IN_SERVICE"), ("RollingBack", "ROLLING_BACK"), ("Failed", "FAILED")]
)
def test_statuses_of_events_are_in_capitals(status: str, shown: str) -> None:
    """As AWS's guide has them."""
    assert endpoint_document.event_detail({"EndpointStatus": status})["EndpointStatus"] == shown


def test_capture_follows_its_configuration() -> None:
    """Options, types and the default of EnableCapture; nothing when it is switched off."""
    config = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/some/where",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/x"]},
    }
    assert endpoint_document.capture(config, ROLE) == Capture(
        20, "b", "some/where", ROLE, request=True, response=True, csv_types=frozenset({"text/x"})
    )
    assert endpoint_document.capture({**config, "EnableCapture": False}, ROLE) is None
    summary = endpoint_document.capture_summary(config)
    assert summary is not None
    assert (summary["CaptureStatus"], summary["CurrentSamplingPercentage"]) == ("Started", 20)


def test_fault_of_the_stage_is_no_fault_of_the_model() -> None:
    """AWS's sentence for faults of its own, and ours behind it."""
    reason = endpoint_failures.reason(VariantFaultError(plan().variants[0], Fault(None, detail="no more processes")))
    assert reason.startswith("Request to service failed. If failure persists after retry, contact customer support.")
    assert reason.endswith("(Stagemaker: no more processes)")


def test_reason_names_what_is_ours_once() -> None:
    """The problem of an image is a training job's whole sentence; of that only our own words stay."""
    problem = ProcessImages((), None).program("nobody/has-this:1", "serve").problem
    assert problem is not None
    reason = endpoint_failures.reason(
        VariantFaultError(plan().variants[0], Fault(FaultKind.IMAGE, "primary", 1, problem))
    )
    assert reason.startswith("The image 'image' does not exist. Please make sure all images included in the model")
    assert reason.count("(Stagemaker: ") == 1
    assert "no program for nobody/has-this:1" in reason
    assert "Cannot pull" not in reason
