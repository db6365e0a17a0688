"""A stage that is killed or stopped leaves no process behind, and its endpoints come back with the next one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError
from hosting import Hosting, wait_for

from stagemaker.state import StateFolder
from stagemaker.testing import RunningStage, start_stage

IMAGES = Path(__file__).parent / "images"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own. A stage that still runs on it is ended."""
    yield tmp_path / "state"
    if running := StateFolder(tmp_path / "state").running():
        os.kill(running["pid"], signal.SIGKILL)


def runners(state: Path) -> list[psutil.Process]:
    """The processes of endpoints of this state folder, and all below them."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(state / "endpoints") in word for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def instance(stage: RunningStage, endpoint: str) -> str:
    """The endpoint's one log stream, which has its instance's name."""
    logs = stage.client("logs")
    [stream] = logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}")["logStreams"]
    return str(stream["logStreamName"])


def answers(hosting: Hosting, endpoint: str) -> bytes | None:
    """The answer of an endpoint, or None as long as no instance is there to give one."""
    try:
        return hosting.invoke(endpoint, "files")
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ServiceUnavailable", "ModelError"}:
            raise
        return None


def test_endpoints_come_back_after_a_kill_and_after_a_stop(state: Path) -> None:
    """As they were: the instance, its data though it is gone from S3, weights and logs. What was under way goes on."""
    stage = start_stage(state, images=IMAGES)
    hosting = Hosting(stage)
    stage.client("s3").create_bucket(Bucket="data")
    hosting.put("model.tar.gz", {"w": b"1"})
    hosting.serve("steady", hosting.container(data="model.tar.gz"))
    before = instance(stage, "steady")
    [runner, _program] = runners(state)
    runner.kill()  # the stage starts another
    wait_for(lambda: answers(hosting, "steady") and runner not in runners(state))
    stage.client("s3").delete_object(Bucket="data", Key="model.tar.gz")
    hosting.sagemaker.delete_model(ModelName="steady")
    hosting.sagemaker.delete_endpoint_config(EndpointConfigName="steady")
    hosting.create("late", hosting.container(BOOT="600"))
    wait_for(lambda: len(runners(state)) == 4)
    hosting.serve("doomed", hosting.container())
    stage.process.kill()
    stage.process.wait()
    wait_for(lambda: not runners(state))

    stage = start_stage(state, images=IMAGES)
    hosting = Hosting(stage)
    assert wait_for(lambda: answers(hosting, "steady")) == b'{"w": "1"}'
    assert instance(stage, "steady") == before
    assert hosting.sagemaker.describe_endpoint(EndpointName="steady")["EndpointStatus"] == "InService"
    assert hosting.sagemaker.describe_endpoint(EndpointName="late")["EndpointStatus"] == "Creating"
    wait_for(lambda: len(runners(state)) == 6)
    hosting.sagemaker.delete_endpoint(EndpointName="doomed")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="doomed")
    stage.process.terminate()
    assert stage.process.wait(60) == 0
    assert not runners(state)

    stage = start_stage(state, images=IMAGES)
    hosting = Hosting(stage)
    assert wait_for(lambda: answers(hosting, "steady")) == b'{"w": "1"}'
    hosting.sagemaker.delete_endpoint(EndpointName="late")
    hosting.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="late")
    stage.stop()
    wait_for(lambda: not runners(state))


def test_update_is_taken_up_again(state: Path) -> None:
    """A stage that is killed while traffic shifts brings both fleets back, and what the update wanted."""
    stage = start_stage(state, images=IMAGES)
    hosting = Hosting(stage)
    hosting.serve("moving", hosting.container(MARK="a"))
    hosting.model("b", hosting.container(MARK="b"))
    hosting.config("b", {"VariantName": "AllTraffic", "ModelName": "b"})
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": 3600, "CanarySize": size}
    hosting.sagemaker.update_endpoint(
        EndpointName="moving",
        EndpointConfigName="b",
        DeploymentConfig={"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}},
    )
    wait_for(lambda: answers(hosting, "moving") == b"b{}")
    stage.process.kill()
    stage.process.wait()
    stage = start_stage(state, images=IMAGES)
    hosting = Hosting(stage)
    for mark in (b"a{}", b"b{}"):
        wait_for(lambda: answers(hosting, "moving") == mark)  # noqa: B023 - it is over before the next
    description = hosting.sagemaker.describe_endpoint(EndpointName="moving")
    assert description["EndpointStatus"] == "Updating"
    assert description["EndpointConfigName"] == "moving"
    assert description["PendingDeploymentSummary"]["EndpointConfigName"] == "b"
    stage.stop()
    wait_for(lambda: not runners(state))
