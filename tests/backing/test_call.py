from __future__ import annotations

from typing import Any

import pytest

from stagemaker.backing.call import bucket_of_host, read_call, service_of

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA/20261123/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=abc"


def _scope(path: str = "/b/k", query: str = "", said: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"stagemaker": said or {}},
    }


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("data.s3.eu-west-1.amazonaws.com", "data"),
        ("my.data.s3.amazonaws.com:443", "my.data"),
        ("data.s3.dualstack.us-east-1.amazonaws.com", "data"),
        ("data.s3-us-west-2.amazonaws.com", "data"),
        ("Data.s3.localhost:4566", "data"),
        ("data.s3.localhost.localstack.cloud", "data"),
        ("data.localhost:4566", "data"),
        ("s3.us-east-1.amazonaws.com", None),
        ("s3.localhost", None),
        ("sqs.localhost:4566", None),
        ("127.0.0.1:4566", None),
        ("localhost", None),
        ("sqs.us-east-1.amazonaws.com", None),
    ],
)
def test_buckets_in_hosts(host: str, bucket: str | None) -> None:
    """AWS's virtual-hosted addresses name a bucket, and the same on localhost."""
    assert bucket_of_host(host) == bucket


def test_the_signature_tells_region_and_service() -> None:
    """Without other word, a call goes where it was signed for."""
    call = read_call(_scope(authorization=SIGNED.format("sqs")), "us-east-1")
    assert (call.service, call.region) == ("sqs", "eu-west-1")


def test_the_gateway_has_the_last_word() -> None:
    """What the gateway says of a call counts, also when no signature is left on it."""
    call = read_call(_scope(said={"service": "iam", "region": "eu-west-1"}), "us-east-1")
    assert (call.service, call.region) == ("iam", "eu-west-1")
    assert "/eu-west-1/iam/" in call.headers["authorization"]


def test_a_presigned_call_loses_its_signature() -> None:
    """Nothing is left for ministack to check: it does not have the secrets. Other parameters stay."""
    query = "X-Amz-Credential=AKIA%2F20261123%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=0&versionId=7"
    call = read_call(_scope(query=query), "us-east-1")
    assert call.query == {"versionId": ["7"]}
    assert call.region == "eu-west-1"
    assert "/eu-west-1/s3/" in call.headers["authorization"]


def test_anonymous_calls_stay_anonymous() -> None:
    """A call that nobody signed is not made to look signed."""
    assert "authorization" not in read_call(_scope(), "us-east-1").headers
    said = {"service": "s3", "anonymous": True}
    assert "authorization" not in read_call(_scope(said=said), "us-east-1").headers


@pytest.mark.parametrize(("said", "expected"), [({}, "https"), ({"secure_transport": False}, "http")])
def test_transport_is_what_we_say(said: dict[str, Any], expected: str) -> None:
    """Loopback counts as secure transport; a client's word on it does not count."""
    scope = _scope(said=said, x_forwarded_proto="ftp", x_forwarded_for="8.8.8.8")
    headers = read_call(scope, "us-east-1").headers
    assert headers["x-forwarded-proto"] == expected
    assert "x-forwarded-for" not in headers


@pytest.mark.parametrize(
    ("headers", "query", "body", "service"),
    [
        ({"host": "iam.amazonaws.com"}, "", b"", "iam"),
        ({"x-amz-target": "TrentService.CreateKey"}, "", b"", "kms"),
        ({"x-amz-target": "AmazonSSM.GetParameter"}, "", b"", "ssm"),
        ({}, "", b"Action=CreateRole&Version=2010-05-08", "iam"),
        ({}, "Action=Publish&Version=2010-03-31", b"", "sns"),
        ({"host": "s3.amazonaws.com"}, "list-type=2", b"", "s3"),
        ({"authorization": SIGNED.format("events")}, "", b"", "events"),
    ],
)
def test_the_service_of_our_own_calls(headers: dict[str, str], query: str, body: bytes, service: str) -> None:
    """A call that names no service shows it in its host, its target or its API version."""
    assert service_of(headers, query, body) == service
