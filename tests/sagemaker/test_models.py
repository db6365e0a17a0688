"""Models and endpoint configurations over their API, with neighbours that the tests make up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.ports import Credentials, PortError
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint_config import EndpointConfigs
from stagemaker.sagemaker.hosting.model import Models
from stagemaker.sagemaker.service import SageMakerService
from stagemaker.store import Store

if TYPE_CHECKING:
    from tests.conftest import DirectClient
else:
    DirectClient = Any

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/model"
STRANGER = f"arn:aws:iam::{ACCOUNT}:role/nobody"
URL = "s3://models/m.tar.gz"


class Neighbours:
    """One role, one bucket with one archive and one folder; whatever is below `secret/` may not be read."""

    async def assume(self, role_arn: str, *, region: str, session_name: str) -> Credentials:
        """Keys for ROLE."""
        if role_arn != ROLE:
            raise PortError("NoSuchEntity", "no such role")
        return Credentials("key", "secret", "token", datetime.now(UTC))

    async def has_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bool:
        """Whether it is the archive."""
        if key.startswith("secret/"):
            raise PortError("403", "")
        return (bucket, key) == ("models", "m.tar.gz")

    async def any_object(self, bucket: str, prefix: str, *, region: str, credentials: Credentials) -> bool:
        """Whether it is the folder."""
        return (bucket, prefix) == ("models", "folder/")

    async def put_object(self, bucket: str, key: str, body: bytes, *, region: str, credentials: Credentials) -> None:
        """Nobody writes here."""
        raise PortError("AccessDenied", "")


@pytest.fixture
def sagemaker(store: Store, direct_client: DirectClient) -> Any:
    """A client of models and configurations."""
    documents, neighbours = Documents(store, ACCOUNT), Neighbours()
    service = SageMakerService(documents, [Models(documents, neighbours, neighbours), EndpointConfigs(documents)])
    return direct_client(service.api(), "sagemaker")


def create(sagemaker: Any, name: str = "Mine", role: str = ROLE, **container: Any) -> str:
    """The ARN of a model with one container."""
    given = {"Image": "server:1", "ModelDataUrl": URL, **container}
    arn: str = sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=given)["ModelArn"]
    return arn


def test_model_is_described_as_it_was_given(sagemaker: Any) -> None:
    """With what AWS adds: the mode, an environment, and where the data is in the newer words too. ARNs are small."""
    assert create(sagemaker, Environment={"A": "1"}) == f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/mine"
    model = sagemaker.describe_model(ModelName="Mine")
    assert model["PrimaryContainer"] == {
        "Image": "server:1",
        "Mode": "SingleModel",
        "ModelDataUrl": URL,
        "ModelDataSource": {
            "S3DataSource": {"S3Uri": URL, "S3DataType": "S3Object", "CompressionType": "Gzip"},
        },
        "Environment": {"A": "1"},
    }
    assert model["EnableNetworkIsolation"] is False
    sagemaker.delete_model(ModelName="Mine")
    missing = f'Could not find model "arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/mine".'
    for call in (sagemaker.describe_model, sagemaker.delete_model):
        with pytest.raises(ClientError) as caught:
            call(ModelName="Mine")
        assert caught.value.response["Error"] == {"Code": "ValidationException", "Message": missing}


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"ModelDataUrl": "s3://models/other.tar.gz"}, "Could not find model data at s3://models/other.tar.gz."),
        ({"ModelDataUrl": "s3://models/secret/m.tar.gz"}, "Could not access model data at s3://models/secret/m.tar.gz"),
        ({"role": STRANGER}, f'Could not access model data at {URL}. Please ensure that the role "{STRANGER}" exists'),
        ({"Mode": "MultiModel"}, "Stagemaker cannot honour PrimaryContainer.Mode = 'MultiModel'"),
    ],
)
def test_what_create_model_checks(sagemaker: Any, members: dict[str, Any], text: str) -> None:
    """Role and data at once, in AWS's sentences; the name stays free."""
    with pytest.raises(ClientError) as caught:
        create(sagemaker, **members)
    assert text in caught.value.response["Error"]["Message"]
    assert sagemaker.list_models()["Models"] == []


def test_folder_of_files_is_model_data(sagemaker: Any) -> None:
    """A prefix counts as there when anything lies below it."""
    source = {"S3Uri": "s3://models/folder/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "server:1", "ModelDataSource": {"S3DataSource": source}}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert "ModelDataUrl" not in sagemaker.describe_model(ModelName="m")["PrimaryContainer"]


def test_names_clash_whatever_their_case(sagemaker: Any) -> None:
    """Their ARNs would be the same. Tags go by the ARN."""
    arn = create(sagemaker, "Mine")
    with pytest.raises(ClientError, match=f'Cannot create already existing model "{arn}"'):
        create(sagemaker, "MINE")
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "a"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


def test_lists_show_the_newest_first(sagemaker: Any) -> None:
    """Unlike those of training jobs."""
    for name in ("b", "a", "c"):
        create(sagemaker, name)
    assert [each["ModelName"] for each in sagemaker.list_models()["Models"]] == ["c", "a", "b"]
    by_name = sagemaker.list_models(SortBy="Name", SortOrder="Ascending", NameContains="a")["Models"]
    assert [each["ModelName"] for each in by_name] == ["a"]


def test_pipelines_are_serial_unless_they_say_otherwise(sagemaker: Any) -> None:
    """As Describe shows it."""
    container = {"Image": "server:1"}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, Containers=[container, container])
    model = sagemaker.describe_model(ModelName="m")
    assert model["InferenceExecutionConfig"] == {"Mode": "Serial"}
    assert [each["Mode"] for each in model["Containers"]] == ["SingleModel", "SingleModel"]


def variant(**members: Any) -> dict[str, Any]:
    """A production variant of the model `mine`."""
    usual = {"VariantName": "V", "ModelName": "mine", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return {**usual, **members}


def test_configuration_is_described_with_its_defaults(sagemaker: Any) -> None:
    """A weight of 1; capture is on when it is configured. A model that is deleted later changes nothing."""
    create(sagemaker, "mine")
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://captured/here",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }
    arn = sagemaker.create_endpoint_config(
        EndpointConfigName="Cfg", ProductionVariants=[variant()], DataCaptureConfig=capture
    )["EndpointConfigArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint-config/cfg"
    sagemaker.delete_model(ModelName="mine")
    config = sagemaker.describe_endpoint_config(EndpointConfigName="Cfg")
    assert config["ProductionVariants"] == [{**variant(), "InitialVariantWeight": 1.0}]
    assert config["DataCaptureConfig"]["EnableCapture"] is True
    sagemaker.delete_endpoint_config(EndpointConfigName="Cfg")
    with pytest.raises(ClientError, match=f'Could not find endpoint configuration "{arn}"'):
        sagemaker.describe_endpoint_config(EndpointConfigName="Cfg")


@pytest.mark.parametrize(
    ("variants", "text"),
    [
        ([variant(ModelName="other")], "Could not find model"),
        ([variant(), variant()], "V is given twice"),
        ([{"VariantName": "V", "ModelName": "mine"}], "InstanceType is required for the production variant V"),
        ([variant(InitialVariantWeight=0)], "needs an InitialVariantWeight above 0"),
        ([variant(InstanceType="ml.huge")], "Member must satisfy enum value set"),
        (
            [
                {
                    "VariantName": "V",
                    "ModelName": "mine",
                    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
                }
            ],
            "Stagemaker cannot honour ProductionVariants.ServerlessConfig",
        ),
        ([variant(VariantName=f"V{number}") for number in range(11)], "Member must have length less than or equal to"),
    ],
)
def test_configuration_that_cannot_be_is_refused(sagemaker: Any, variants: list[dict[str, Any]], text: str) -> None:
    """With the model that is missing, the member that is, or the one that is not honoured."""
    create(sagemaker, "mine")
    with pytest.raises(ClientError) as caught:
        sagemaker.create_endpoint_config(EndpointConfigName="cfg", ProductionVariants=variants)
    assert text in caught.value.response["Error"]["Message"]
