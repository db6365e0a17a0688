"""Endpoints over the wire: from CreateModel to DeleteEndpoint, updates, failures, what is seen from inside."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from hosting import SERVER, Hosting, wait_for

from stagemaker.jobs import namespace

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def hosting(account: Account) -> Hosting:
    """An account without models."""
    return Hosting(account.stage, account.bucket)


def failed(hosting: Hosting, name: str) -> str:
    """The FailureReason of an endpoint that must fail."""
    description = hosting.settle(name)
    assert description["EndpointStatus"] == "Failed"
    reason: str = description["FailureReason"]
    return reason


def test_endpoint_from_its_data_to_its_end(hosting: Hosting) -> None:
    """The program is started with `serve`, finds its data, port and keys, answers, and is gone after DeleteEndpoint."""
    hosting.put("model.tar.gz", {"weights/w.txt": b"0.5"})
    hosting.create("Shop", hosting.container(data="model.tar.gz", GREETING="/opt/ml/model"))
    hosting.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="Shop")
    assert hosting.ask("Shop", "files") == {"weights/w.txt": "0.5"}
    seen = hosting.ask("Shop", "environment")
    assert seen["argv"] == ["serve"]
    assert seen["GREETING"] == f"{seen['SAGEMAKER_BASE_DIR']}/model"
    assert seen["SAGEMAKER_BIND_TO_PORT"].isdigit()
    assert seen["AWS_REGION"] == "us-east-1"
    assert seen["AWS_SESSION_TOKEN"]
    description = hosting.sagemaker.describe_endpoint(EndpointName="Shop")
    assert description["EndpointArn"] == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"
    [variant] = description["ProductionVariants"]
    assert variant["DeployedImages"][0]["SpecifiedImage"] == SERVER
    counts = [variant[f"{when}{what}"] for what in ("Weight", "InstanceCount") for when in ("Current", "Desired")]
    assert counts == [1.0, 1.0, 1, 1]
    hosting.sagemaker.delete_endpoint(EndpointName="Shop")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="Shop")
    with pytest.raises(ClientError, match=f'Could not find endpoint "{description["EndpointArn"]}"'):
        hosting.sagemaker.describe_endpoint(EndpointName="Shop")
    with pytest.raises(ClientError, match="Endpoint Shop of account 123456789012 not found"):
        hosting.invoke("Shop")
    logs = hosting.stage.client("logs")
    group = "/aws/sagemaker/Endpoints/Shop"
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("AllTraffic/i-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert events[0]["message"] == "starting"
    metrics = hosting.stage.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/Endpoints")["Metrics"]
    assert {metric["MetricName"] for metric in metrics} == {"CPUUtilization", "MemoryUtilization", "DiskUtilization"}
    dimensions = [{"Name": "EndpointName", "Value": "Shop"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    assert all(metric["Dimensions"] == dimensions for metric in metrics)


def test_what_fails_later_is_said_in_the_failure_reason(hosting: Hosting) -> None:
    """Programs that end, data that has gone, archives that are none, images that are not there: AWS's sentences."""
    s3 = hosting.stage.client("s3")
    hosting.put("gone.tar.gz", {"a": b""})
    s3.put_object(Bucket="data", Key="plain.tar.gz", Body=b"a plain file")
    hosting.model("dies", hosting.container(DIES="1"))
    hosting.model("second-dies", hosting.container(), hosting.container(DIES="1"))
    hosting.model("gone", hosting.container(data="gone.tar.gz"))
    hosting.model("plain", hosting.container(data="plain.tar.gz"))
    hosting.model("nobody", hosting.container("nobody/has-this:1"))
    iam = hosting.stage.client("iam")
    role = iam.create_role(RoleName="short-lived", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    hosting.sagemaker.create_model(ModelName="unowned", ExecutionRoleArn=role, PrimaryContainer=hosting.container())
    iam.delete_role(RoleName="short-lived")
    s3.delete_object(Bucket="data", Key="gone.tar.gz")
    names = ("dies", "second-dies", "gone", "plain", "nobody", "unowned")
    for name in names:
        hosting.config(name, {"VariantName": "V", "ModelName": name})
        hosting.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    reasons = {name: failed(hosting, name) for name in names}
    health = "container for production variant V did not pass the ping health check. Please check CloudWatch logs"
    assert reasons["dies"].startswith(f"The primary {health}")
    assert reasons["second-dies"].startswith(f"The container-2 {health}")
    assert reasons["gone"].startswith(
        'Failed to download model data for container "container_1" from URL: "s3://data/gone.tar.gz". Please ensure'
    )
    assert reasons["plain"].startswith(
        'Failed to extract model data archive for container "container_1" from URL "s3://data/plain.tar.gz". Please'
    )
    assert "Please make sure all images included in the model for the production variant V exist" in reasons["nobody"]
    assert reasons["unowned"].startswith(f"Could not assume role {role}.")
    with pytest.raises(WaiterError, match="terminal failure state"):
        hosting.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="dies")
    with pytest.raises(ClientError, match="It can only be deleted"):
        hosting.sagemaker.update_endpoint(EndpointName="dies", EndpointConfigName="gone")
    with pytest.raises(ClientError, match="Endpoint dies of account 123456789012 not found"):
        hosting.invoke("dies")
    hosting.sagemaker.delete_endpoint(EndpointName="dies")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="dies")


def test_update_loses_no_request_and_a_failed_one_changes_nothing(hosting: Hosting) -> None:
    """Under load only the old and the new model answer, never an error; a fleet that fails leaves the old one be."""
    hosting.serve("live", hosting.container(MARK="0"))
    for number in (1, 2, 3):
        hosting.model(f"m{number}", hosting.container(MARK=str(number)))
        hosting.config(f"m{number}", {"VariantName": "AllTraffic", "ModelName": f"m{number}"})
    hosting.model("sick", hosting.container(DIES="1"))
    hosting.config("sick", {"VariantName": "AllTraffic", "ModelName": "sick"})
    with load(hosting, "live") as answers:
        for number in (1, 2, 3):
            hosting.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=f"m{number}")
            with contextlib.suppress(ClientError):  # it may be quicker than this call
                hosting.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=f"m{number}")
            description = hosting.settle("live")
            assert description["EndpointStatus"] == "InService"
            assert description["EndpointConfigName"] == f"m{number}"
            assert "FailureReason" not in description
            assert hosting.invoke("live") == f"{number}x".encode()
        hosting.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName="sick")
        description = hosting.settle("live")
    assert description["EndpointStatus"] == "InService"
    assert description["EndpointConfigName"] == "m3"
    assert "did not pass the ping health check" in description["FailureReason"]
    assert hosting.invoke("live") == b"3x"
    assert set(answers) <= {b"0x", b"1x", b"2x", b"3x"}
    assert answers == sorted(answers)


def test_instances_that_go_answer_what_they_have(hosting: Hosting, tmp_path: Path) -> None:
    """A request that an instance has is answered by it, though an update and a resize have passed it by."""
    hosting.serve("e", hosting.container(MARK="old "))
    hosting.model("new", hosting.container(MARK="new "))
    hosting.config("new", {"VariantName": "AllTraffic", "ModelName": "new", "InitialInstanceCount": 2})
    with ThreadPoolExecutor(3) as threads:
        try:
            first = threads.submit(hosting.invoke, "e", f"await {tmp_path}/go")
            wait_for(lambda: hosting.logged("e", "invoked", 1))
            hosting.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="new")
            assert hosting.settle("e")["EndpointConfigName"] == "new"
            assert hosting.invoke("e") == b"new x"
            others = [threads.submit(hosting.invoke, "e", f"await {tmp_path}/go") for _ in range(2)]
            wait_for(lambda: hosting.logged("e", "invoked", 4))
            hosting.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
            )
            assert hosting.settle("e")["ProductionVariants"][0]["CurrentInstanceCount"] == 1
            assert not any(request.done() for request in (first, *others))
        finally:
            (tmp_path / "go").touch()
    assert first.result().startswith(b"old ")
    assert all(request.result().startswith(b"new ") for request in others)


def canary(seconds: int) -> dict[str, Any]:
    """Half of the traffic for so long, then all of it."""
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": seconds, "CanarySize": size}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


def test_canary_takes_its_share_first(hosting: Hosting) -> None:
    """While the canary bakes both fleets answer, and the endpoint can be deleted; after the waits only the new one."""
    for name in ("long", "short"):
        hosting.serve(name, hosting.container(MARK="a"))
    hosting.model("b", hosting.container(MARK="b"))
    hosting.config("b", {"VariantName": "AllTraffic", "ModelName": "b"})
    for name, seconds in (("long", 3600), ("short", 0)):
        hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="b", DeploymentConfig=canary(seconds))
    seen = set()

    def both() -> bool:
        seen.add(hosting.invoke("long"))
        return len(seen) == 2

    wait_for(both)
    description = hosting.sagemaker.describe_endpoint(EndpointName="long")
    assert description["EndpointStatus"] == "Updating"
    assert description["EndpointConfigName"] == "long"
    [variant] = description["PendingDeploymentSummary"]["ProductionVariants"]
    assert variant["VariantStatus"][0]["Status"] == "Baking"
    hosting.sagemaker.delete_endpoint(EndpointName="long")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="long")
    description = hosting.settle("short")
    assert description["EndpointConfigName"] == "b"
    assert description["LastDeploymentConfig"] == canary(0)
    assert "PendingDeploymentSummary" not in description
    assert {hosting.invoke("short") for _ in range(6)} == {b"bx"}


@contextlib.contextmanager
def load(hosting: Hosting, name: str) -> Iterator[list[bytes]]:
    """Requests one after the other for as long as the block lasts; the answers, and what was raised at the end."""
    answers: list[bytes] = []
    errors: list[Exception] = []
    over = threading.Event()
    runtime = hosting.stage.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))

    def invoke() -> None:
        while not over.is_set():
            try:
                answers.append(runtime.invoke_endpoint(EndpointName=name, Body=b"x")["Body"].read())
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must hear of it
                errors.append(error)

    thread = threading.Thread(target=invoke)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(60)
    assert not errors
    assert answers


def test_weights_and_capacities_change_in_place(hosting: Hosting) -> None:
    """Instances come and go in the fleet that serves; weights move the traffic; unknown variants are refused."""
    hosting.model("a", hosting.container(MARK="a"))
    hosting.model("b", hosting.container(MARK="b"))
    hosting.config("ab", {"VariantName": "A", "ModelName": "a"}, {"VariantName": "B", "ModelName": "b"})
    hosting.sagemaker.create_endpoint(EndpointName="ab", EndpointConfigName="ab")
    assert hosting.settle("ab")["EndpointStatus"] == "InService"
    pid = hosting.invoke("ab", "pid", TargetVariant="A")
    change = hosting.sagemaker.update_endpoint_weights_and_capacities
    change(
        EndpointName="ab",
        DesiredWeightsAndCapacities=[
            {"VariantName": "A", "DesiredInstanceCount": 2},
            {"VariantName": "B", "DesiredWeight": 0},
        ],
    )
    variants = {each["VariantName"]: each for each in hosting.settle("ab")["ProductionVariants"]}
    assert (variants["A"]["CurrentInstanceCount"], variants["B"]["CurrentWeight"]) == (2, 0.0)
    pids = {hosting.invoke("ab", "pid") for _ in range(6)}
    assert len(pids) == 2
    assert pid in pids
    assert all(each.startswith(b"a") for each in pids)
    # An update that retains what the endpoint has keeps both.
    hosting.sagemaker.update_endpoint(EndpointName="ab", EndpointConfigName="ab", RetainAllVariantProperties=True)
    variants = {each["VariantName"]: each for each in hosting.settle("ab")["ProductionVariants"]}
    assert (variants["A"]["CurrentInstanceCount"], variants["B"]["DesiredWeight"]) == (2, 0.0)
    change(EndpointName="ab", DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredInstanceCount": 1}])
    assert hosting.settle("ab")["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert len({hosting.invoke("ab", "pid") for _ in range(4)}) == 1
    with pytest.raises(ClientError, match="no production variant C"):
        change(EndpointName="ab", DesiredWeightsAndCapacities=[{"VariantName": "C", "DesiredWeight": 1}])


def test_pipeline_and_direct_containers(hosting: Hosting) -> None:
    """Containers have ports and logs of their own; in series each gets the answer of the one before it."""
    first, second = hosting.container(MARK="1"), hosting.container(MARK="2")
    hosting.create("serial", first, second)
    named = [{**each, "ContainerHostname": name} for each, name in ((first, "left"), (second, "right"))]
    hosting.create("direct", *named, InferenceExecutionConfig={"Mode": "Direct"})
    assert hosting.settle("serial")["EndpointStatus"] == "InService"
    assert hosting.invoke("serial") == b"21x"
    streams = hosting.stage.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/serial")
    names = [each["logStreamName"].split("/") for each in streams["logStreams"]]
    assert [(name[0], name[2]) for name in names] == [("AllTraffic", "container-1"), ("AllTraffic", "container-2")]
    assert hosting.settle("direct")["EndpointStatus"] == "InService"
    assert hosting.invoke("direct", TargetContainerHostname="right") == b"2x"
    seen = json.loads(hosting.invoke("direct", "environment", TargetContainerHostname="left")[1:])
    low, high = map(int, seen["SAGEMAKER_SAFE_PORT_RANGE"].split("-"))
    assert int(seen["SAGEMAKER_BIND_TO_PORT"]) < low < high


def test_endpoint_can_be_deleted_while_it_is_created(hosting: Hosting) -> None:
    """Nobody waits for a program that is about to be ended; an endpoint in progress cannot be updated."""
    hosting.create("slow", hosting.container(BOOT="600"))
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        hosting.sagemaker.update_endpoint(EndpointName="slow", EndpointConfigName="slow")
    with pytest.raises(ClientError, match="Endpoint slow of account 123456789012 not found"):
        hosting.invoke("slow")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        hosting.sagemaker.create_endpoint(EndpointName="SLOW", EndpointConfigName="slow")
    hosting.sagemaker.delete_endpoint(EndpointName="slow")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="slow")
    assert hosting.sagemaker.list_endpoints()["Endpoints"] == []


def test_container_that_dies_is_started_again(hosting: Hosting) -> None:
    """Requests are told the truth meanwhile, and the same instance answers again with a new process."""
    hosting.serve("mortal", hosting.container())
    before = hosting.invoke("mortal", "pid")
    with pytest.raises(ClientError) as caught:
        hosting.invoke("mortal", "die")
    assert caught.value.response["Error"]["Code"] == "ModelError"

    codes = set()

    def answered() -> bytes | None:
        try:
            return hosting.invoke("mortal", "pid")
        except ClientError as error:
            codes.add(error.response["Error"]["Code"])
            return None

    assert wait_for(answered) != before
    assert codes <= {"ServiceUnavailable", "ModelError"}
    assert hosting.sagemaker.describe_endpoint(EndpointName="mortal")["EndpointStatus"] == "InService"


@pytest.mark.skipif(not namespace.available(), reason="this machine has no namespaces")
def test_isolated_container_answers_and_has_no_keys(hosting: Hosting) -> None:
    """A container without network is reached all the same, and finds nothing that leads out."""
    hosting.serve("alone", hosting.container(), EnableNetworkIsolation=True)
    seen = hosting.ask("alone", "environment")
    assert not {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"} & seen.keys()
    assert hosting.invoke("alone", b"y" * 1_000_000) == b"y" * 1_000_000


def test_state_changes_reach_eventbridge(hosting: Hosting) -> None:
    """One event for each status, with the status in capitals, as the guide shows it."""
    sqs, events = hosting.stage.client("sqs"), hosting.stage.client("events")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Endpoint State Change"]}
    events.put_rule(Name="endpoints", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="endpoints", Targets=[{"Id": "queue", "Arn": arn}])
    hosting.serve("told", hosting.container())
    hosting.sagemaker.delete_endpoint(EndpointName="told")
    seen: list[dict[str, Any]] = []

    def complete() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            seen.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return len(seen) >= 3

    wait_for(complete)
    assert sorted(event["detail"]["EndpointStatus"] for event in seen) == ["CREATING", "DELETING", "IN_SERVICE"]
    assert seen[0]["resources"] == ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/told"]
    assert seen[0]["detail"]["EndpointName"] == "told"
