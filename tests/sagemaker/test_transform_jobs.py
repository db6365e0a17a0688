"""The control plane of transform jobs, without a server; no runner is started."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.jobs import supervisor
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.record import EndEvent, Entry, Event, LogEvent, StatusEvent, UsageEvent
from stagemaker.jobs.spec import Program, S3Uri
from stagemaker.jobs.transform.runner import STARTED, STOPPING
from stagemaker.jobs.transform.spec import Split, Strategy, TransformSpec
from stagemaker.ports import Credentials, Datum, PortError
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.model import MODEL
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.service import SageMakerService
from stagemaker.sagemaker.transform.job import TRANSFORM_JOB, TransformJobs, TransformNeighbours
from stagemaker.sagemaker.transform.request import HONOURED_MEMBERS
from stagemaker.store import Store
from stagemaker.wire.model import load_service_model

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"


class Neighbours:
    """The other services, as far as transform jobs need them."""

    def __init__(self) -> None:
        self.streams: dict[str, Path] = {}
        self.data: list[Datum] = []

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Any role but the one called `gone`."""
        if role_arn.endswith("gone"):
            raise PortError("NoSuchEntity", "gone")
        return Credentials("key", "secret", "token")

    def attach(self, group: str, stream: str, file: Path, *, region: str) -> None:
        """Keep the stream."""
        assert group == "/aws/sagemaker/TransformJobs"
        self.streams[stream] = file

    def put(self, namespace: str, data: Sequence[Datum], *, region: str) -> None:
        """Keep the data."""
        assert namespace == "/aws/sagemaker/TransformJobs"
        self.data += data

    async def put_event(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""

    def program(self, image: str, word: str = "train") -> Program:
        """Every image has one."""
        assert word == "serve"
        return Program(("/bin/serve",), {"FROM": image})


class Control:
    """The control plane, a client of it, and ways to look behind it."""

    def __init__(self, store: Store, folder: Path, direct_client: Any) -> None:
        self.documents = Documents(store, ACCOUNT)
        self.neighbours = Neighbours()
        self.folder = folder
        everyone = self.neighbours
        self.jobs = TransformJobs(
            self.documents,
            TransformNeighbours(everyone, everyone, everyone, everyone, everyone),
            folder / "jobs",
            folder / "stage.json",
            Quotas(folder / "quotas.json"),
            slots=0,
            threads=1,
            stop_grace=1.0,
        )
        self.client = direct_client(SageMakerService(self.documents, [self.jobs]).api(), "sagemaker")
        self.add_model("model")

    def add_model(self, name: str, role: str = ROLE, **members: Any) -> None:
        """A model of one container, unless `members` says otherwise."""
        container = {"Image": "image:1", "ModelDataUrl": "s3://b/model.tar.gz", "Environment": {"A": "model", "B": "b"}}
        document = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": role, "CreationTime": 1.0}
        self.documents.create(MODEL, REGION, name, {**document, **members}, {})

    def request(self, name: str = "job", **members: Any) -> dict[str, Any]:
        """A CreateTransformJob request; `members` replace or add members."""
        return {
            "TransformJobName": name,
            "ModelName": "model",
            "TransformInput": given(),
            "TransformOutput": {"S3OutputPath": "s3://b/out"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **members,
        }

    def create(self, name: str = "job", **members: Any) -> Any:
        """Create a job."""
        return self.client.create_transform_job(**self.request(name, **members))

    def refusal(self, **members: Any) -> tuple[str, str]:
        """Code and message with which a job is refused; nothing of it stays."""
        with pytest.raises(ClientError) as caught:
            self.create("refused", **members)
        assert not (self.folder / "jobs" / REGION / "refused").exists()
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    def spec(self, name: str = "job") -> TransformSpec:
        """What the runner would be told."""
        return TransformSpec.load(self.directory(name).spec)

    def directory(self, name: str = "job") -> JobDirectory:
        """The job's folder."""
        return JobDirectory(self.folder / "jobs" / REGION / name)

    def fold(self, *events: Event) -> dict[str, Any]:
        """Let events of job's record take effect; its description."""
        import asyncio

        async def fold() -> None:
            entries = [Entry(event, offset) for offset, event in enumerate(events, start=1)]
            self.jobs._fold(self.directory(), entries)

        asyncio.run(fold())
        description: dict[str, Any] = self.client.describe_transform_job(TransformJobName="job")
        return description

    def changes(self) -> list[dict[str, Any]]:
        """The state changes that wait for the event bus."""
        rows = self.documents.store.connection.execute("SELECT * FROM sagemaker_state_changes ORDER BY id").fetchall()
        assert {row["detail_type"] for row in rows} <= {"SageMaker Transform Job State Change"}
        return [json.loads(row["detail"]) for row in rows]


def given(source: str = "s3://b/in/", data_type: str = "S3Prefix", **members: Any) -> dict[str, Any]:
    """A TransformInput."""
    return {"DataSource": {"S3DataSource": {"S3DataType": data_type, "S3Uri": source}}, **members}


@pytest.fixture
def control(store: Store, tmp_path: Path, direct_client: Any, monkeypatch: pytest.MonkeyPatch) -> Control:
    """A control plane with one model, on a machine that can start no process now."""

    def refuse(*_: object) -> None:
        raise OSError("no process")

    monkeypatch.setattr(supervisor, "_spawn", refuse)
    return Control(store, tmp_path, direct_client)


def test_job_is_described_with_its_defaults(control: Control) -> None:
    """The request, and what AWS shows of what it does not say."""
    answer = control.create(Environment={"X": "y"}, Tags=[{"Key": "k", "Value": "v"}])
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:transform-job/job"
    assert answer["TransformJobArn"] == arn
    job = control.client.describe_transform_job(TransformJobName="job")
    del job["ResponseMetadata"]
    assert isinstance(job.pop("CreationTime"), datetime)
    assert job == {
        "TransformJobName": "job",
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "ModelName": "model",
        "Environment": {"X": "y"},
        "TransformInput": {**given(), "CompressionType": "None", "SplitType": "None"},
        "TransformOutput": {"S3OutputPath": "s3://b/out", "AssembleWith": "None", "KmsKeyId": ""},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
    }
    assert control.client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_runner_is_told_the_defaults(control: Control) -> None:
    """600 s, 3 retries; what is left to the container is left open; SAGEMAKER_BATCH and no other such variable."""
    control.create(Environment={"A": "job"}, MaxConcurrentTransforms=0)
    spec = control.spec()
    assert (spec.invocation_timeout, spec.invocation_retries) == (600, 3)
    assert (spec.strategy, spec.max_payload_mb, spec.max_concurrent) == (None, None, None)
    assert (spec.input.split, spec.input.gzip, spec.input.content_type) == (Split.NONE, False, "")
    assert not spec.processing.is_needed
    (container,) = spec.instance.containers
    assert container.name == "primary"
    assert container.data is not None
    assert container.data.source == S3Uri("b", "model.tar.gz")
    assert dict(container.environment) == {
        "A": "job",
        "B": "b",
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0",
    }


def test_runner_is_told_what_the_request_says(control: Control) -> None:
    """Every member that has an effect, and the variables of those that the user sets."""
    control.add_model(
        "chain",
        PrimaryContainer=None,
        Containers=[{"Image": "one:1", "ContainerHostname": "first"}, {"Image": "two:1"}],
    )
    control.create(
        ModelName="chain",
        MaxConcurrentTransforms=4,
        MaxPayloadInMB=2,
        BatchStrategy="SingleRecord",
        ModelClientConfig={"InvocationsTimeoutInSeconds": 7, "InvocationsMaxRetries": 0},
        TransformInput=given(
            "s3://b/m.json", "ManifestFile", ContentType="text/csv", CompressionType="Gzip", SplitType="Line"
        ),
        TransformOutput={"S3OutputPath": "s3://b/out/", "Accept": "text/csv", "AssembleWith": "Line"},
        DataProcessing={"InputFilter": "$[1:]", "OutputFilter": "$[0,-1]", "JoinSource": "Input"},
        DataCaptureConfig={"DestinationS3Uri": "s3://b/capture"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 3},
    )
    spec = control.spec()
    assert (spec.max_concurrent, spec.max_payload_mb, spec.strategy) == (4, 2, Strategy.SINGLE)
    assert (spec.invocation_timeout, spec.invocation_retries, spec.instance_count) == (7, 0, 3)
    assert (spec.input.data_type, spec.input.gzip, spec.input.split) == ("ManifestFile", True, Split.LINE)
    assert (spec.output.accept, spec.output.by_line) == ("text/csv", True)
    assert (spec.processing.input_filter, spec.processing.output_filter, spec.processing.join) == (
        "$[1:]",
        "$[0,-1]",
        True,
    )
    assert spec.capture == S3Uri("b", "capture")
    assert [each.name for each in spec.instance.containers] == ["first", "container-2"]
    assert dict(spec.instance.containers[1].environment) == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "2",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "4",
    }


CSV = {"ContentType": "text/csv", "SplitType": "Line"}
LINES = {"S3OutputPath": "s3://b/out", "AssembleWith": "Line"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB must be less than or equal to 100"),
        ({"MaxPayloadInMB": 6, "MaxConcurrentTransforms": 17}, "must be less than or equal to 100, and is 17 * 6"),
        ({"MaxPayloadInMB": 0, "TransformInput": given(**CSV)}, "SplitType must be None"),
        ({"DataProcessing": {"InputFilter": "id"}}, "Invalid JSONPath in DataProcessing.InputFilter"),
        ({"DataProcessing": {"OutputFilter": "$..id"}}, "Invalid JSONPath in DataProcessing.OutputFilter"),
        ({"DataProcessing": {"InputFilter": "$[1:]"}}, "needs the ContentType text/csv"),
        (
            {
                "DataProcessing": {"InputFilter": "$[1:]"},
                "TransformInput": given(ContentType="text/csv", SplitType="RecordIO"),
            },
            "needs SplitType Line",
        ),
        ({"DataProcessing": {"JoinSource": "Input"}, "TransformInput": given(**CSV)}, "needs AssembleWith Line"),
        (
            {
                "DataProcessing": {"JoinSource": "Input"},
                "TransformInput": given(**CSV),
                "TransformOutput": {**LINES, "Accept": "application/json"},
            },
            "joins records of one format",
        ),
        (
            {
                "DataProcessing": {"JoinSource": "Input"},
                "TransformInput": given(ContentType="application/json"),
                "MaxPayloadInMB": 0,
            },
            "must not be 0",
        ),
        ({"TransformInput": given("https://b/in")}, "Invalid S3 URI in TransformInput"),
        ({"TransformInput": given(data_type="AugmentedManifestFile")}, "S3DataType = 'AugmentedManifestFile'"),
        ({"TransformOutput": {"S3OutputPath": "s3://b/o", "KmsKeyId": "key"}}, "KmsKeyId = 'key'"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/c", "GenerateInferenceId": True}}, "GenerateInferenceId"),
        ({"ExperimentConfig": {"TrialName": "t"}}, "ExperimentConfig"),
        ({"ModelName": "none"}, f'Could not find model "arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/none".'),
        ({"ModelName": "direct"}, "Direct"),
        ({"ModelName": "roleless"}, "Could not assume role"),
        ({"BatchStrategy": "Some"}, "Member must satisfy enum value set"),
    ],
)
def test_request_that_cannot_be_carried_out(control: Control, members: dict[str, Any], words: str) -> None:
    """It is refused when it is made, and leaves nothing behind."""
    control.add_model("direct", InferenceExecutionConfig={"Mode": "Direct"})
    control.add_model("roleless", role=f"arn:aws:iam::{ACCOUNT}:role/gone")
    code, message = control.refusal(**members)
    assert code == "ValidationException"
    assert words in message


def test_filters_and_joins_that_are_allowed(control: Control) -> None:
    """CSV and JSON lines; a JSON document that is not split."""
    control.create("csv", DataProcessing={"JoinSource": "Input"}, TransformInput=given(**CSV), TransformOutput=LINES)
    control.create("json", DataProcessing={"JoinSource": "Input"}, TransformInput=given(ContentType="application/json"))
    control.create(
        "lines",
        DataProcessing={"InputFilter": "$.features"},
        TransformInput=given(ContentType="application/jsonlines; charset=utf-8", SplitType="Line"),
    )


def test_names_are_taken_for_good(control: Control) -> None:
    """Unlike models, jobs cannot be made anew."""
    control.create()
    with pytest.raises(ClientError, match="Job name must be unique within an AWS account and region") as caught:
        control.create()
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_quotas(control: Control) -> None:
    """AWS's names for them; instances of jobs that are not over count; no accelerators, at most 20 a job."""
    gpu = {"TransformResources": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1}}
    code, message = control.refusal(**gpu)
    assert code == "ResourceLimitExceeded"
    assert "'ml.p3.2xlarge for transform job usage' is 0 Instances" in message
    many = {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 21}}
    assert control.refusal(**many)[0] == "ResourceLimitExceeded"
    (control.folder / "quotas.json").write_text('{"ml.m5.large for transform job usage": 2}')
    control.create(TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2})
    assert "with current utilization of 2 Instances" in control.refusal()[1]
    control.fold(EndEvent(2.0, "Completed", "Completed", ""))
    control.create("next")


def test_record_becomes_the_description(control: Control) -> None:
    """Start and end times, the reason of a failure, an event for each change of the status."""
    control.create()
    running = control.fold(StatusEvent(1.0, STARTED, ""))
    assert running["TransformJobStatus"] == "InProgress"
    assert running["TransformStartTime"].timestamp() == 1.0
    assert "TransformEndTime" not in running
    over = control.fold(EndEvent(3.0, "Failed", "Failed", "", "ClientError: why"))
    assert (over["TransformJobStatus"], over["FailureReason"]) == ("Failed", "ClientError: why")
    assert over["TransformEndTime"].timestamp() == 3.0
    assert [change["TransformJobStatus"] for change in control.changes()] == ["InProgress", "Failed"]
    assert control.changes()[1]["TransformEndTime"] == 3000


def test_logs_and_metrics_of_an_instance(control: Control) -> None:
    """Streams below the job's name; CPU and memory in percent, by `<job>/<instance>`."""
    control.create()
    control.fold(
        LogEvent(1.0, "i-1-1", "i-1/primary.log"),
        LogEvent(1.0, "i-1-1/data-log", "i-1/data-log.log"),
        UsageEvent(2.0, "i-1", cpu=50.0, memory=10.0, disk=1.0),
    )
    root = control.directory().root
    assert control.neighbours.streams == {
        "job/i-1-1": root / "i-1/primary.log",
        "job/i-1-1/data-log": root / "i-1/data-log.log",
    }
    found = [(each.name, each.value, each.unit, dict(each.dimensions)) for each in control.neighbours.data]
    assert found == [
        ("CPUUtilization", 50.0, "Percent", {"Host": "job/i-1"}),
        ("MemoryUtilization", 10.0, "Percent", {"Host": "job/i-1"}),
    ]


def test_stop(control: Control) -> None:
    """It asks the runner, shows Stopping once, and a job that is over refuses."""
    control.create()
    for _ in range(2):
        control.client.stop_transform_job(TransformJobName="job")
        assert control.directory().stop_request.exists()
    assert [change["TransformJobStatus"] for change in control.changes()] == ["InProgress", "Stopping"]
    assert control.fold(StatusEvent(1.0, STOPPING, ""))["TransformJobStatus"] == "Stopping"
    control.fold(EndEvent(2.0, "Stopped", "Stopped", ""))
    with pytest.raises(ClientError, match="rejected because the transform job is in status Stopped"):
        control.client.stop_transform_job(TransformJobName="job")


@pytest.mark.parametrize("call", ["describe_transform_job", "stop_transform_job"])
def test_job_that_is_not_there(control: Control, call: str) -> None:
    """As AWS words it for jobs of this kind."""
    with pytest.raises(ClientError, match="Could not find requested job with name: none"):
        getattr(control.client, call)(TransformJobName="none")


def test_list(control: Control) -> None:
    """The newest first unless asked otherwise; filters and pages as in all lists."""
    for number, name in enumerate(("a", "b", "c")):
        document = {"TransformJobName": name, "TransformJobStatus": "Completed", "CreationTime": float(number)}
        document["TransformJobArn"] = TRANSFORM_JOB.arn(REGION, ACCOUNT, name)
        control.documents.create(TRANSFORM_JOB, REGION, name, document, {})

    def names(**parameters: Any) -> list[str]:
        page = control.client.list_transform_jobs(**parameters)
        return [each["TransformJobName"] for each in page["TransformJobSummaries"]]

    assert names() == ["c", "b", "a"]
    assert names(SortOrder="Ascending", MaxResults=2) == ["a", "b"]
    assert names(StatusEquals="Failed") == []
    assert names(NameContains="b") == ["b"]


def test_every_member_of_the_request_has_an_entry() -> None:
    """No member of the table is misspelt, and none of the API is forgotten."""
    shape = load_service_model("sagemaker").operation_model("CreateTransformJob").input_shape
    assert shape is not None
    assert set(HONOURED_MEMBERS) == set(shape.members)


def test_reset_forgets_jobs_and_offsets(control: Control) -> None:
    """A job of the same name begins anew."""
    control.create()
    control.fold(StatusEvent(1.0, STARTED, ""))
    control.jobs.reset()
    assert not (control.folder / "jobs").exists()
    left = control.documents.store.connection.execute("SELECT count(*) AS n FROM sagemaker_job_offsets").fetchone()
    assert left["n"] == 0
