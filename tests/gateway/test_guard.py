"""The guard and the target: what gets in, and where it goes."""

from __future__ import annotations

import pytest

from stagemaker.gateway import guard
from stagemaker.gateway.render import render_error
from stagemaker.gateway.target import find_target
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

PRIVATE = ("/_ministack/", "/health")


def request(path: str = "/", query: str = "", **headers: str) -> Request:
    """A GET with headers whose underscores are dashes."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, query, {"host": "127.0.0.1:4566", **given})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:4566",
        "localhost:4566",
        "bucket.localhost:4566",
        "bucket.s3.localhost",
        "[::1]:4566",
        "s3.us-east-1.amazonaws.com",
        "bucket.s3.amazonaws.com",
    ],
)
def test_names_of_this_machine_and_of_aws_get_in(host: str) -> None:
    """Loopback by any of its names, and AWS's hosts, which only a proxy can bring here."""
    guard.check(request(host=host), PRIVATE)


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5"])
def test_foreign_hosts_are_refused(host: str) -> None:
    """A name that resolves to loopback by trickery (DNS rebinding) does not get in."""
    with pytest.raises(AwsError, match="Host header") as refused:
        guard.check(request(host=host), PRIVATE)
    assert refused.value.status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8888"])
def test_web_pages_are_refused(origin: str) -> None:
    """A page of any other origin, another port of this machine included, cannot touch the account."""
    with pytest.raises(AwsError, match="web page"):
        guard.check(request(origin=origin), PRIVATE)


def test_a_page_of_the_stage_itself_gets_in() -> None:
    """Same origin is no foreign page."""
    guard.check(request(origin="http://127.0.0.1:4566"), PRIVATE)
    guard.check(request(referer="http://127.0.0.1:4566/data/page.html", sec_fetch_site="same-origin"), PRIVATE)


FORGED = "Action=CreateUser&UserName=evil&Version=2010-05-08&X-Amz-Credential=x/20260101/us-east-1/iam/aws4_request"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/60.0"


@pytest.mark.parametrize("path", ["/", "/data/k", "/_stagemaker/reset"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "unheard-of"},
        {"sec_fetch_site": ""},
        {"referer": "https://evil.example/page"},
        {"referer": "http://localhost:8888/notebook"},
        {"referer": "no address"},
    ],
)
def test_images_of_web_pages_are_refused(path: str, headers: dict[str, str]) -> None:
    """What `<img src>` sends has no Origin; Sec-Fetch-Site or Referer tell, for the control paths too."""
    with pytest.raises(AwsError, match="web page") as refused:
        guard.check(request(path, FORGED, user_agent=BROWSER, **headers), PRIVATE)
    assert refused.value.status == 403


def test_an_address_that_the_user_types_gets_in() -> None:
    """Such as a presigned URL that is opened in a browser."""
    guard.check(request("/data/k", "X-Amz-Signature=0", sec_fetch_site="none", user_agent=BROWSER), PRIVATE)


@pytest.mark.parametrize("query", [FORGED, FORGED.replace("Action", "%41ction")])
def test_old_browsers_may_only_read_objects(query: str) -> None:
    """Without Sec-Fetch-Site nobody knows whose page asks: no queries, no writes."""
    guard.check(request("/data/k", user_agent=BROWSER), PRIVATE)
    guard.check(request("/", query, user_agent="aws-cli/1.46.3"), PRIVATE)
    writing = Request("POST", "/", "", {"host": "127.0.0.1:4566", "user-agent": BROWSER})
    for call in (request("/", query, user_agent=BROWSER), writing):
        with pytest.raises(AwsError, match="may only read objects"):
            guard.check(call, PRIVATE)


@pytest.mark.parametrize("path", ["/_ministack/reset", "/%5Fministack/reset", "/health", "/_ministack"])
def test_private_paths_are_refused(path: str) -> None:
    """However they are encoded."""
    with pytest.raises(AwsError, match="not part of AWS's API"):
        guard.check(request(path), PRIVATE)


def test_absolute_targets_are_refused() -> None:
    """`GET http://other/ HTTP/1.1` is a proxy's business."""
    with pytest.raises(AwsError, match="must be a path"):
        guard.check(request("http://other/"), PRIVATE)


SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize("service", ["sagemaker", "s3", "logs", "monitoring", "iam"])
def test_signed_calls_go_by_their_scope(service: str) -> None:
    """The credential scope names the service and the region, whatever the host says."""
    target = find_target(request(authorization=SCOPE.format(service)), "us-east-1")
    assert (target.service, target.region, target.signed) == (service, "eu-west-1", True)


def test_presigned_urls_go_by_their_query() -> None:
    """The scope of a presigned URL is percent-encoded in its query."""
    query = "X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=0"
    target = find_target(request("/b/k", query), "us-east-1")
    assert (target.service, target.region) == ("s3", "eu-west-1")


def test_unsigned_calls_are_s3s_unless_they_say_otherwise() -> None:
    """A public object is read without a signature; a JSON service names itself in X-Amz-Target.

    The path of an invocation is one that S3 would not take a POST on.
    """
    assert find_target(request("/b/k"), "us-east-1").service == "s3"
    assert find_target(request(x_amz_target="SageMaker.ListModels"), "us-east-1").service == "sagemaker"
    path = "/endpoints/shop/invocations"
    assert find_target(Request("POST", path, "", {}), "us-east-1").service == "sagemaker"
    assert find_target(Request("GET", path, "", {}), "us-east-1").service == "s3"
    assert find_target(Request("POST", path, "uploads", {}), "us-east-1").service == "s3"


def test_errors_are_rendered_in_the_services_form() -> None:
    """S3 and query services speak XML, the others JSON; a HEAD has no body."""
    error = AwsError("AccessDenied", "no <way>", 403)
    assert b"<Error><Code>AccessDenied</Code><Message>no &lt;way&gt;" in _body(error, "s3", request())
    assert _body(error, "s3", Request("HEAD", "/", "", {})) == b""
    assert b"<ErrorResponse>" in _body(error, "iam", request())
    json_call = request(x_amz_target="SageMaker.X", content_type="application/x-amz-json-1.1")
    assert b'"__type": "AccessDenied"' in _body(error, "sagemaker", json_call)
    assert b'"__type": "AccessDenied"' in _body(error, "lambda", request("/2015-03-31/functions"))


def _body(error: AwsError, service: str, call: Request) -> bytes:
    reply = render_error(error, service, call, "id")
    assert reply.status == 403
    assert isinstance(reply.body, bytes)
    return reply.body
