"""Models and endpoints on a stage, in few words."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stagemaker.testing import RunningStage

SERVER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/server:1"
"""`tests/stage/images/server`."""


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What `condition` gives as soon as that is true. Fails after a generous while."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


@dataclass(frozen=True, slots=True)
class Hosting:
    """An account with the bucket `data`, and short ways to host models in it."""

    stage: RunningStage
    bucket: str = "data"

    @property
    def sagemaker(self) -> Any:
        """The administrator's client."""
        return self.stage.client("sagemaker")

    def container(self, image: str = SERVER, data: str | None = None, **variables: str) -> dict[str, Any]:
        """A ContainerDefinition; `data` is a key in the bucket."""
        place = {"ModelDataUrl": f"s3://{self.bucket}/{data}"} if data else {}
        return {"Image": image, "Environment": variables, **place}

    def put(self, key: str, files: Mapping[str, bytes]) -> None:
        """An archive in the bucket."""
        self.stage.client("s3").put_object(Bucket=self.bucket, Key=key, Body=archive(files))

    def model(self, name: str, *containers: dict[str, Any], **members: Any) -> None:
        """A model of one container, or of several."""
        given = {"PrimaryContainer": containers[0]} if len(containers) == 1 else {"Containers": list(containers)}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.stage.role_arn, **given, **members)

    def config(self, name: str, *variants: dict[str, Any], **members: Any) -> None:
        """A configuration. A variant needs VariantName and ModelName; one instance of ml.m5.large is the default."""
        usual = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**usual, **each} for each in variants], **members
        )

    def create(self, name: str, *containers: dict[str, Any], **members: Any) -> None:
        """A model, a configuration and an endpoint of one name, with the variant AllTraffic."""
        self.model(name, *containers, **members)
        self.config(name, {"VariantName": "AllTraffic", "ModelName": name})
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settle(self, name: str) -> dict[str, Any]:
        """The description of an endpoint as soon as nothing is under way with it."""

        def settled() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            return None if description["EndpointStatus"].endswith("ing") else description

        found: dict[str, Any] = wait_for(settled)
        return found

    def serve(self, name: str, *containers: dict[str, Any], **members: Any) -> dict[str, Any]:
        """An endpoint that is in service; its description."""
        self.create(name, *containers, **members)
        description = self.settle(name)
        assert description["EndpointStatus"] == "InService", description
        return description

    def invoke(self, name: str, body: str | bytes = b"x", **members: Any) -> bytes:
        """The answer's body."""
        runtime = self.stage.client("sagemaker-runtime")
        answer: bytes = runtime.invoke_endpoint(EndpointName=name, Body=body, **members)["Body"].read()
        return answer

    def ask(self, name: str, word: str, **members: Any) -> Any:
        """The answer as JSON."""
        return json.loads(self.invoke(name, word, **members))

    def logged(self, endpoint: str, word: str, times: int) -> bool:
        """Whether the logs of an endpoint hold so many events with this word."""
        logs = self.stage.client("logs")
        found = logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}", filterPattern=word)
        return len(found["events"]) >= times
