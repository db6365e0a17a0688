"""What a web page cannot do, buckets of other regions, and shells behind a company's proxy."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stagemaker.settings import AuthMode
from stagemaker.testing import RunningStage, start_stage

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

FORGED = "/?Action=CreateUser&UserName=evil&Version=2010-05-08&X-Amz-Credential=x/20260101/us-east-1/iam/aws4_request"
HOME = "eu-west-1"


@pytest.fixture(scope="module")
def open_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStage]:
    """A stage that asks nobody for a signature."""
    stage = start_stage(tmp_path_factory.mktemp("open"), auth=AuthMode.OPEN)
    yield stage
    stage.stop()


def status_of(stage: RunningStage, method: str, target: str, headers: dict[str, str]) -> int:
    """Of an HTTP request as it stands."""
    address = urlsplit(stage.endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request(method, target, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Referer": "https://evil.example/"},
        {"User-Agent": "Mozilla/5.0"},
    ],
)
def test_a_web_page_cannot_change_an_open_account(open_stage: RunningStage, headers: dict[str, str]) -> None:
    """An image whose address is a call makes no user, even where no signature is asked for."""
    assert status_of(open_stage, "GET", FORGED, headers) == 403
    assert status_of(open_stage, "POST", "/_stagemaker/reset", headers) == 403
    assert "evil" not in {user["UserName"] for user in open_stage.client("iam").list_users()["Users"]}


@pytest.fixture
def far(account: Account) -> str:
    """A bucket in another region than the clients', with an object."""
    s3 = account.client("s3", region_name=HOME)
    s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket="far", Key="k", Body=b"there")
    return "far"


def test_clients_find_a_bucket_of_another_region(account: Account, far: str) -> None:
    """boto3 follows the redirect by itself, whatever it calls first; a bucket policy counts there too."""
    calls: dict[str, dict[str, Any]] = {
        "list_objects_v2": {},
        "head_bucket": {},
        "get_bucket_location": {},
        "put_object": {"Key": "new", "Body": b"x"},
        "head_object": {"Key": "k"},
        "get_object": {"Key": "k"},
        "get_bucket_versioning": {},
        "delete_object": {"Key": "new"},
    }
    for name, more in calls.items():
        answer = getattr(account.client("s3"), name)(Bucket=far, **more)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] in {200, 204}, name
    assert account.client("s3").get_bucket_location(Bucket=far)["LocationConstraint"] == HOME
    resource = f"arn:aws:s3:::{far}/*"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": resource}
    account.client("s3").put_bucket_policy(Bucket=far, Policy=json.dumps({"Statement": [deny]}))
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        account.client("s3").get_object(Bucket=far, Key="k")


def test_the_redirect_is_s3s_own(account: Account, far: str) -> None:
    """301 PermanentRedirect that names the bucket's region; a HEAD has the status and the header alone."""
    s3 = account.client("s3", config=Config(signature_version="s3v4"))
    for name in ("list_objects_v2", "head_bucket"):
        parts = urlsplit(s3.generate_presigned_url(name, Params={"Bucket": far}))
        method = "HEAD" if name == "head_bucket" else "GET"
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request(method, f"{parts.path}?{parts.query}")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert (answer.status, answer.headers["x-amz-bucket-region"]) == (301, HOME)
        assert body == b"" if method == "HEAD" else b"<Code>PermanentRedirect</Code>" in body


def test_a_proxy_of_the_shell_is_not_asked_for_the_stage(account: Account) -> None:
    """With HTTP_PROXY set, a client with the stage's variables still calls the loopback endpoint itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    dead = "http://127.0.0.1:9"
    proxies = {"HTTP_PROXY": dead, "http_proxy": dead, "HTTPS_PROXY": dead, "NO_PROXY": "", "no_proxy": ""}
    environment |= proxies | account.stage.environment()
    program = "import boto3; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, account.bucket), done.stderr
