"""Invocations over the wire: who may, by which way, what is counted, what is captured, what an update costs."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hosting import Hosting, wait_for

from stagemaker.gateway.authority import BUNDLE_NAME

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

ONCE = Config(retries={"total_max_attempts": 1})
UPDATES = 20


@pytest.fixture
def hosting(account: Account) -> Hosting:
    """An account without models."""
    return Hosting(account.stage, account.bucket)


class Caller:
    """A user and its runtime client."""

    def __init__(self, hosting: Hosting) -> None:
        self._iam = hosting.stage.client("iam")
        self._iam.create_user(UserName="caller")
        key = self._iam.create_access_key(UserName="caller")["AccessKey"]
        self.client = hosting.stage.client(
            "sagemaker-runtime",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            config=ONCE,
        )

    def may(self, *statements: dict[str, Any]) -> None:
        """This and nothing else."""
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        self._iam.put_user_policy(UserName="caller", PolicyName="invoke", PolicyDocument=json.dumps(policy))


def refusal(client: Any, name: str, **members: Any) -> tuple[str, int, str]:
    """Code, status and message of an InvokeEndpoint that is refused."""
    with pytest.raises(ClientError) as refused:
        client.invoke_endpoint(EndpointName=name, Body=b"x", **members)
    response: Any = refused.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_policies_name_the_endpoint_in_small_letters(hosting: Hosting) -> None:
    """A user may invoke the endpoint that the policy names and no other; a refusal is a 403, whatever the body is."""
    hosting.serve("Shop", hosting.container())
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"
    allow = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": arn}
    caller = Caller(hosting)
    caller.may(allow)
    # The content type is the user's business: elsewhere this one is that of the query services.
    form = "application/x-www-form-urlencoded"
    answer = caller.client.invoke_endpoint(EndpointName="Shop", Body=b"a=b", ContentType=form)
    assert answer["Body"].read() == b"a=b"
    for content_type in (form, "application/x-amz-json-1.1"):
        code, status, message = refusal(caller.client, "other", ContentType=content_type)
        assert (code, status) == ("AccessDeniedException", 403)
        assert message == (
            "User: arn:aws:iam::123456789012:user/caller is not authorized to perform: sagemaker:InvokeEndpoint on "
            f"resource: {arn.replace('shop', 'other')} because no identity-based policy allows the "
            "sagemaker:InvokeEndpoint action"
        )
    unless = {"StringNotEqualsIfExists": {"sagemaker:TargetModel": "a.tar.gz"}}
    caller.may(allow, {**allow, "Effect": "Deny", "Condition": unless})
    code, _, message = refusal(caller.client, "Shop", TargetModel="b.tar.gz")
    assert (code, "with an explicit deny" in message) == ("AccessDeniedException", True)
    assert refusal(caller.client, "Shop", TargetModel="a.tar.gz")[0] == "ValidationError"
    stranger = hosting.stage.client(
        "sagemaker-runtime", aws_access_key_id="AKIANOBODY", aws_secret_access_key="x", config=ONCE
    )
    assert refusal(stranger, "Shop")[:2] == ("UnrecognizedClientException", 403)


def test_a_call_without_a_signature_is_refused_in_the_runtimes_words(hosting: Hosting) -> None:
    """JSON and a 403, not S3's XML."""
    address = urlsplit(hosting.stage.endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request("POST", "/endpoints/shop/invocations", body=b"1,2")
        response = connection.getresponse()
        assert (response.status, response.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
        assert json.loads(response.read()) == {"Message": "Missing Authentication Token"}
    finally:
        connection.close()


def test_the_runtimes_own_host_leads_here(hosting: Hosting) -> None:
    """A client with AWS's host, through the proxy, gets the same answer."""
    hosting.serve("shop", hosting.container())
    running = hosting.stage.folder.running()
    assert running is not None
    client = hosting.stage.client(
        "sagemaker-runtime",
        endpoint_url="https://runtime.sagemaker.us-east-1.amazonaws.com",
        verify=str(hosting.stage.folder.client / BUNDLE_NAME),
        config=Config(proxies={"https": running["proxy"]}),
    )
    try:
        assert client.invoke_endpoint(EndpointName="shop", Body=b"1,2")["Body"].read() == b"1,2"
    finally:
        client.close()


def test_bodies_up_to_the_limit_come_back(hosting: Hosting) -> None:
    """6 MB go through and come back; one byte more is refused, and the connection is good for the next request."""
    hosting.serve("shop", hosting.container())
    runtime = hosting.stage.client("sagemaker-runtime", config=ONCE)
    body = bytes(range(256)) * (6 * 4096)
    assert runtime.invoke_endpoint(EndpointName="shop", Body=body)["Body"].read() == body
    with pytest.raises(ClientError, match="length less than or equal to 6291456") as refused:
        runtime.invoke_endpoint(EndpointName="shop", Body=body + b"x")
    response: Any = refused.value.response
    assert response["Error"]["Code"] == "ValidationError"
    assert runtime.invoke_endpoint(EndpointName="shop", Body=b"small")["Body"].read() == b"small"


def test_invocations_are_counted(hosting: Hosting) -> None:
    """GetMetricStatistics knows how many there were, how many failed, how long the model took."""
    hosting.serve("shop", hosting.container())
    for _ in range(8):
        hosting.invoke("shop")
    for status in (400, 500):
        with pytest.raises(ClientError, match=f"error \\({status}\\) from primary"):
            hosting.invoke("shop", f"status {status}")
    cloudwatch = hosting.stage.client("cloudwatch")
    now = datetime.now(UTC)
    dimensions = [{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def statistics(name: str, unit: str) -> dict[str, Any]:
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=dimensions,
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum", "SampleCount", "Average", "Maximum"],
            Unit=unit,
        )["Datapoints"]
        found: dict[str, Any] = points[0] if points else {"Sum": 0}
        return found

    wait_for(lambda: statistics("Invocations", "None")["Sum"] == 10)
    assert statistics("Invocation4XXErrors", "None")["Average"] == 0.1
    assert statistics("Invocation5XXErrors", "None")["Sum"] == 1
    assert statistics("InvocationModelErrors", "None")["Sum"] == 2
    assert statistics("InvocationsPerInstance", "None")["Sum"] == 10
    for name in ("ModelLatency", "OverheadLatency"):
        latency = statistics(name, "Microseconds")
        assert latency["SampleCount"] == 10
        assert 0 < latency["Average"] <= latency["Maximum"] < 60_000_000


def test_what_goes_in_and_out_is_captured(hosting: Hosting) -> None:
    """Lines of JSON under the destination, written with the rights of the model's role."""
    hosting.model("shop", hosting.container())
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://data/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    hosting.config("shop", {"VariantName": "AllTraffic", "ModelName": "shop"}, DataCaptureConfig=capture)
    hosting.sagemaker.create_endpoint(EndpointName="shop", EndpointConfigName="shop")
    assert hosting.settle("shop")["EndpointStatus"] == "InService"
    for number in range(5):
        hosting.invoke("shop", f"{number},2", ContentType="text/csv", InferenceId=f"id-{number}")
    s3 = hosting.stage.client("s3")

    def lines() -> list[dict[str, Any]]:
        found = s3.list_objects_v2(Bucket="data", Prefix="captured/shop/AllTraffic/").get("Contents", [])
        bodies = (s3.get_object(Bucket="data", Key=each["Key"])["Body"].read() for each in found)
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    wait_for(lambda: len(lines()) == 5)
    seen = {line["eventMetadata"]["inferenceId"]: line["captureData"] for line in lines()}
    assert set(seen) == {f"id-{number}" for number in range(5)}
    assert seen["id-3"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "3,2",
        "encoding": "CSV",
    }
    assert seen["id-3"]["endpointOutput"]["data"] == "3,2"


@contextlib.contextmanager
def load(hosting: Hosting, name: str) -> Iterator[Counter[bytes]]:
    """Two clients that ask all the time, without retries; the answers, counted. Fails if one did not come."""
    over, answers, errors = threading.Event(), Counter[bytes](), list[Exception]()
    runtime = hosting.stage.client("sagemaker-runtime", config=ONCE)

    def ask() -> None:
        while not over.wait(0.005):  # without a pause the clients would leave no machine to those they ask
            try:
                answers[runtime.invoke_endpoint(EndpointName=name, Body=b"")["Body"].read()] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the request has failed
                errors.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert not errors


def more_than(answers: Counter[bytes], answer: bytes, number: int) -> bool:
    """Whether `answer` has come more often than `number` times."""
    return answers[answer] > number


def test_no_request_fails_in_twenty_updates_under_load(hosting: Hosting) -> None:
    """Blue/green: while an update goes on every request is answered, by the old fleet or by the new one."""
    for mark in ("a", "b"):
        hosting.model(mark, hosting.container(MARK=mark))
        hosting.config(mark, {"VariantName": "AllTraffic", "ModelName": mark})
    hosting.sagemaker.create_endpoint(EndpointName="shop", EndpointConfigName="b")
    assert hosting.settle("shop")["EndpointStatus"] == "InService"
    sagemaker = hosting.sagemaker
    in_service = sagemaker.get_waiter("endpoint_in_service")
    with load(hosting, "shop") as answers:
        for number in range(UPDATES):
            config = "ab"[number % 2]
            sagemaker.update_endpoint(EndpointName="shop", EndpointConfigName=config)
            in_service.wait(EndpointName="shop")
            assert sagemaker.describe_endpoint(EndpointName="shop")["EndpointConfigName"] == config
            wait_for(partial(more_than, answers, config.encode(), answers[config.encode()]))
    assert set(answers) == {b"a", b"b"}
