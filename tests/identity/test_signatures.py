"""Signatures made by botocore are verified; everything else is refused in the words of the service."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stagemaker.identity.keys import AccessKey
from stagemaker.identity.sigv4 import expected_signatures, find_signature
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

Signed = Callable[..., Request]
JSON = {"x-amz-target": "SageMaker.ListModels", "content-type": "application/x-amz-json-1.1"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def authenticate(room: Any, request: Request, service: str, **more: Any) -> Any:
    """What the room makes of the request."""
    return room.run(room.identity.authenticate(request, service_guess=service, **more))


def refusal(room: Any, request: Request, service: str) -> tuple[str, int, str]:
    """The code, status and text of the refusal."""
    with pytest.raises(AwsError) as refused:
        authenticate(room, request, service)
    return refused.value.code, refused.value.status, refused.value.message


def call(signed: Signed, key: AccessKey, service: str, **more: Any) -> Request:
    """A good call to a service of each family."""
    match service:
        case "s3":
            return signed(key, "s3", "GET", "/lake/raw/a.csv", **more)
        case "iam" | "sts":
            return signed(key, service, "POST", "/", b"Action=GetUser&Version=2010-05-08", FORM, **more)
        case "sagemaker-runtime":
            headers = {"content-type": "text/csv"}
            return signed(key, "sagemaker", "POST", "/endpoints/churn/invocations", b"1,2", headers, **more)
    return signed(key, service, "POST", "/", b"{}", JSON, **more)


FAMILIES = ["s3", "iam", "sagemaker", "sagemaker-runtime"]


def signing(service: str) -> str:
    """The signing name."""
    return service.removesuffix("-runtime")


@pytest.mark.parametrize("service", FAMILIES)
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2"])
def test_a_good_signature_names_its_user(service: str, region: str, room: Any, signed: Signed) -> None:
    """A call signed by botocore is the learner's, in the region that its scope names."""
    request = call(signed, room.keys.learner, service, region=region)
    found = authenticate(room, request, signing(service))
    assert found.principal.arn == "arn:aws:iam::123456789012:user/learner"
    assert found.principal.user_id == room.account.entities["User"]["learner"].unique_id
    assert (found.region, found.service) == (region, signing(service))
    assert found.credential_scope.endswith(f"/{region}/{signing(service)}/aws4_request")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(key=TEXT.filter(bool), query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4), presign=st.booleans())
@example(key="a//b/../c/./d e+f%20~é*'()!", query={"prefix": "a b+c/~é", "empty": ""}, presign=True)
def test_odd_keys_and_queries_of_s3(key: str, query: dict[str, str], presign: bool, room: Any, signed: Signed) -> None:
    """S3's path is signed as it stands, with dots and double slashes, and so is any query."""
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    path = f"/lake/{quote(key, safe='/~')}" + (f"?{pairs}" if pairs else "")
    request = signed(room.keys.learner, "s3", "GET", path, expires=60 if presign else None)
    assert authenticate(room, request, "s3").principal.name == "learner"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    segments=st.lists(TEXT, max_size=4), query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3), body=st.binary()
)
@example(segments=["a", "..", "", ".", "b c"], query={"x": "é &="}, body=b"\x00")
def test_odd_paths_of_other_services(
    segments: list[str], query: dict[str, str], body: bytes, room: Any, signed: Signed
) -> None:
    """All other services sign the path normalised and encoded twice, and the body itself."""
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    path = "/" + "/".join(quote(segment, safe="~") for segment in segments) + (f"?{pairs}" if pairs else "")
    request = signed(room.keys.learner, "lambda", "POST", path, body)
    assert authenticate(room, request, "lambda").principal.name == "learner"


def test_a_client_that_encodes_less_is_understood(room: Any, signed: Signed) -> None:
    """A client may send `(` where it signs `%28`: both name the same key, and AWS takes both."""
    request = signed(room.keys.learner, "s3", "GET", "/lake/a%281%29.csv")
    assert authenticate(room, replace(request, path="/lake/a(1).csv"), "s3").principal.name == "learner"


def test_the_vector_of_s3s_documentation() -> None:
    """The signature of the GET example in S3's API reference is the one that is computed here."""
    scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    value = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": "20130524T000000Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope},"
        f"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={value}",
    }
    request = Request("GET", "/test.txt", "", headers)
    signature = find_signature(request)
    assert signature is not None
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert value in expected_signatures(request, signature, secret, headers["x-amz-content-sha256"])


INVALID_TOKEN = "The security token included in the request is invalid."
NO_SUCH_KEY = "The AWS Access Key Id you provided does not exist in our records."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("s3", ("InvalidAccessKeyId", 403, NO_SUCH_KEY)),
        ("iam", ("InvalidClientTokenId", 403, INVALID_TOKEN)),
        ("sagemaker", ("UnrecognizedClientException", 400, INVALID_TOKEN)),
        ("sagemaker-runtime", ("UnrecognizedClientException", 403, INVALID_TOKEN)),
    ],
)
@pytest.mark.parametrize("key_id", ["AKIANOSUCHKEYNOSUCHK", "test", "123456789012", "ASIANOSUCHKEYNOSUCHK"])
def test_unknown_keys(service: str, expected: tuple[str, int, str], key_id: str, room: Any, signed: Signed) -> None:
    """No key works but those of the account: neither `test` nor a number of twelve digits."""
    request = call(signed, AccessKey(key_id, "test"), service)
    assert refusal(room, request, signing(service)) == expected


BAD_SIGNATURES = [
    ("s3", ("SignatureDoesNotMatch", 403, S3_MISMATCH)),
    ("iam", ("SignatureDoesNotMatch", 403, MISMATCH)),
    ("sagemaker", ("InvalidSignatureException", 400, MISMATCH)),
    ("sagemaker-runtime", ("InvalidSignatureException", 403, MISMATCH)),
]


@pytest.mark.parametrize(("service", "expected"), BAD_SIGNATURES)
def test_a_wrong_secret(service: str, expected: tuple[str, int, str], room: Any, signed: Signed) -> None:
    """A known key with another secret is refused."""
    forged = replace(room.keys.learner, secret_access_key="x" * 40)
    assert refusal(room, call(signed, forged, service), signing(service)) == expected


def tampered(request: Request, part: str) -> Request:
    """The request with one part changed after it was signed."""
    match part:
        case "method":
            return replace(request, method="DELETE")
        case "path":
            return replace(request, path=request.path + "x")
        case "query":
            return replace(request, query="versionId=1")
        case "host":
            return replace(request, headers={**request.headers, "host": "other.localhost:4566"})
        case "signature":
            changed = re.sub(r"Signature=\w{4}", "Signature=0000", request.headers["authorization"])
            return replace(request, headers={**request.headers, "authorization": changed})
        case "letters":
            changed = re.sub(r"Signature=\w{4}", "Signature=é", request.headers["authorization"])
            return replace(request, headers={**request.headers, "authorization": changed})
    raise AssertionError(part)


@pytest.mark.parametrize(("service", "expected"), BAD_SIGNATURES)
@pytest.mark.parametrize("part", ["method", "path", "query", "host", "signature", "letters"])
def test_a_request_that_was_changed(
    service: str, expected: tuple[str, int, str], part: str, room: Any, signed: Signed
) -> None:
    """Whatever is changed after the signing is noticed."""
    request = call(signed, room.keys.learner, service)
    assert refusal(room, tampered(request, part), signing(service)) == expected


@pytest.mark.parametrize(("service", "expected"), BAD_SIGNATURES[1:])
def test_another_body(service: str, expected: tuple[str, int, str], room: Any, signed: Signed) -> None:
    """A body that was not the signed one is refused."""
    request = replace(call(signed, room.keys.learner, service), body=b"Action=DeleteUser&UserName=admin")
    assert refusal(room, request, signing(service)) == expected


def test_another_body_of_s3(room: Any, signed: Signed) -> None:
    """S3 signs the body's hash in a header, and says so when the body is another one."""
    request = signed(room.keys.learner, "s3", "PUT", "/lake/a", b"one")
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    assert refusal(room, replace(request, body=b"two"), "s3") == ("XAmzContentSHA256Mismatch", 400, text)


def test_a_streamed_body_is_checked_as_it_passes(room: Any, signed: Signed) -> None:
    """A body that is not at hand is authenticated by its hash, and the stream fails at its end if it is another."""
    request = replace(signed(room.keys.learner, "s3", "PUT", "/lake/a", b"one"), body=b"")
    found = authenticate(room, request, "s3", body_is_whole=False)

    async def through(*pieces: bytes) -> bytes:
        async def body() -> Any:
            for piece in pieces:
                yield piece

        return b"".join([piece async for piece in found.payload.guard(body())])

    assert room.run(through(b"o", b"ne")) == b"one"
    with pytest.raises(AwsError, match="XAmzContentSHA256Mismatch"):
        room.run(through(b"o", b"en"))


def test_the_body_of_an_other_service_cannot_go_unsigned(room: Any, signed: Signed) -> None:
    """UNSIGNED-PAYLOAD is S3's: elsewhere the body itself must have been signed."""
    headers = {**JSON, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    request = signed(room.keys.learner, "sagemaker", "POST", "/", b"{}", headers)
    assert refusal(room, request, "sagemaker") == ("InvalidSignatureException", 400, MISMATCH)


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [("iam", "SignatureDoesNotMatch", 403), ("sagemaker", "InvalidSignatureException", 400)],
)
@pytest.mark.parametrize("ahead", [16, -16])
def test_a_clock_that_is_off(service: str, code: str, status: int, ahead: int, room: Any, signed: Signed) -> None:
    """A call signed more than 15 minutes ago, or ahead, is refused with both times."""
    request = call(signed, room.keys.learner, service)
    room.clock.ahead = timedelta(minutes=ahead)
    stamp = request.headers["x-amz-date"]
    found = refusal(room, request, service)
    start = f"Signature expired: {stamp} is now earlier than" if ahead > 0 else f"Signature not yet current: {stamp}"
    assert found[:2] == (code, status)
    assert found[2].startswith(start)
    assert found[2].endswith(" 15 min.)")


@pytest.mark.parametrize("ahead", [16, -16])
def test_a_clock_that_is_off_for_s3(ahead: int, room: Any, signed: Signed) -> None:
    """S3 has a code of its own for it."""
    request = call(signed, room.keys.learner, "s3")
    room.clock.ahead = timedelta(minutes=ahead)
    text = "The difference between the request time and the current time is too large."
    assert refusal(room, request, "s3") == ("RequestTimeTooSkewed", 403, text)


@pytest.mark.parametrize("ahead", [14, -14])
def test_a_clock_that_is_a_little_off(ahead: int, room: Any, signed: Signed) -> None:
    """Within 15 minutes all is well."""
    request = call(signed, room.keys.learner, "s3")
    room.clock.ahead = timedelta(minutes=ahead)
    assert authenticate(room, request, "s3").principal.name == "learner"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("iam", ("MissingAuthenticationToken", 403, "Request is missing Authentication Token")),
        ("sagemaker", ("MissingAuthenticationTokenException", 403, "Missing Authentication Token")),
        ("sagemaker-runtime", ("MissingAuthenticationTokenException", 403, "Missing Authentication Token")),
    ],
)
def test_anonymous_calls(service: str, expected: tuple[str, int, str], room: Any, signed: Signed) -> None:
    """A call without a signature gets nowhere but to S3."""
    request = call(signed, room.keys.learner, service)
    bare = {name: value for name, value in request.headers.items() if name not in {"authorization", "x-amz-date"}}
    assert refusal(room, replace(request, headers=bare), signing(service)) == expected


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("AWS AKIA:c2lnbmF0dXJl", ("InvalidRequest", 400, "mechanism you have provided is not supported")),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", ("InvalidRequest", 400, "AWS4-ECDSA-P256-SHA256")),
        ("Bearer abc", ("InvalidRequest", 400, "'Bearer'")),
        ("AWS4-HMAC-SHA256 Signature=1", ("AuthorizationHeaderMalformed", 400, "requires 'Credential' parameter")),
        ("AWS4-HMAC-SHA256 Credential", ("AuthorizationHeaderMalformed", 400, "Invalid key=value pair")),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=1",
            ("AuthorizationHeaderMalformed", 400, "exactly 5 slash-delimited elements"),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws5, SignedHeaders=host, Signature=1",
            ("AuthorizationHeaderMalformed", 400, "valid terminator: 'aws4_request'"),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=1",
            ("AuthorizationHeaderMalformed", 400, 'incorrect service "iam"'),
        ),
    ],
)
def test_what_is_no_signature(authorization: str, expected: tuple[str, int, str], room: Any) -> None:
    """Other schemes are refused by name, broken ones with what they lack."""
    headers = {"host": "localhost", "authorization": authorization, "x-amz-date": "20200101T000000Z"}
    headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    code, status, text = refusal(room, Request("GET", "/lake", "", headers), "s3")
    assert (code, status) == expected[:2]
    assert expected[2] in text


def test_a_signature_for_another_service(room: Any, signed: Signed) -> None:
    """What was signed for SageMaker cannot be played to IAM."""
    request = call(signed, room.keys.learner, "sagemaker")
    code, status, text = refusal(room, request, "logs")
    assert (code, status) == ("InvalidSignatureException", 400)
    assert text == "Credential should be scoped to correct service: 'logs'. "


def test_a_scope_of_another_day(room: Any, signed: Signed) -> None:
    """The day in the scope must be the day of the signing."""
    request = call(signed, room.keys.learner, "sagemaker")
    header = re.sub(r"/\d{8}/", "/20200101/", request.headers["authorization"])
    request = replace(request, headers={**request.headers, "authorization": header})
    assert "Date in Credential scope does not match" in refusal(room, request, "sagemaker")[2]


def test_headers_that_are_not_signed(room: Any, signed: Signed) -> None:
    """An x-amz header that came after the signing is refused: it could change what the call does."""
    request = call(signed, room.keys.learner, "s3")
    request = replace(request, headers={**request.headers, "x-amz-acl": "public-read"})
    text = "There were headers present in the request which were not signed"
    assert refusal(room, request, "s3") == ("AccessDenied", 403, text)


def test_the_target_cannot_be_changed(room: Any, signed: Signed) -> None:
    """Nor can the operation of a JSON service, which stands in such a header."""
    request = call(signed, room.keys.learner, "sagemaker")
    request = replace(request, headers={**request.headers, "x-amz-target": "SageMaker.DeleteModel"})
    assert refusal(room, request, "sagemaker")[0] == "InvalidSignatureException"


class TestPresigned:
    """URLs that carry their signature."""

    def test_one_names_its_user(self, room: Any, signed: Signed) -> None:
        """Whoever holds the URL acts as the user that signed it."""
        found = authenticate(room, signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60), "s3")
        assert found.principal.name == "learner"
        assert found.presigned
        assert found.payload_hash == "UNSIGNED-PAYLOAD"

    def test_one_of_another_service(self, room: Any, signed: Signed) -> None:
        """Query services take them too, as clusters do to prove an identity to others."""
        path = "/?Action=GetCallerIdentity&Version=2011-06-15"
        found = authenticate(room, signed(room.keys.learner, "sts", "GET", path, expires=60), "sts")
        assert found.principal.name == "learner"

    def test_it_expires(self, room: Any, signed: Signed) -> None:
        """After its time it is worth nothing, even within the 15 minutes."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        room.clock.ahead = timedelta(seconds=61)
        assert refusal(room, request, "s3") == ("AccessDenied", 403, "Request has expired")

    def test_it_outlives_the_window(self, room: Any, signed: Signed) -> None:
        """Before that it is good, days later too."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=7 * 24 * 3600)
        room.clock.ahead = timedelta(days=6, hours=23)
        assert authenticate(room, request, "s3").principal.name == "learner"

    def test_it_is_not_good_yet(self, room: Any, signed: Signed) -> None:
        """Nor can one be made for later."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        room.clock.ahead = timedelta(minutes=-16)
        assert refusal(room, request, "s3") == ("AccessDenied", 403, "Request is not valid yet")

    @pytest.mark.parametrize(
        ("expires", "words"),
        [
            ("604801", "must be less than a week"),
            ("9" * 5000, "must be less than a week"),
            ("-1", "must be non-negative"),
            ("soon", "should be a number"),
            ("", "requires the X-Amz-Algorithm"),
        ],
    )
    def test_its_time_must_make_sense(self, expires: str, words: str, room: Any, signed: Signed) -> None:
        """At most seven days, and a number."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        query = request.query.replace("X-Amz-Expires=60", f"X-Amz-Expires={expires}")
        code, status, text = refusal(room, replace(request, query=query), "s3")
        assert (code, status) == ("AuthorizationQueryParametersError", 400)
        assert words in text

    def test_a_longer_time_is_noticed(self, room: Any, signed: Signed) -> None:
        """The time is part of what was signed."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        query = request.query.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
        assert refusal(room, replace(request, query=query), "s3")[0] == "SignatureDoesNotMatch"

    def test_another_method_is_noticed(self, room: Any, signed: Signed) -> None:
        """A URL to read does not write."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        assert refusal(room, replace(request, method="PUT"), "s3")[0] == "SignatureDoesNotMatch"

    def test_two_signatures_are_one_too_many(self, room: Any, signed: Signed) -> None:
        """A call that is signed in the URL and in a header is refused."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        request = replace(request, headers={**request.headers, "authorization": "AWS4-HMAC-SHA256 x"})
        code, status, text = refusal(room, request, "s3")
        assert (code, status) == ("InvalidArgument", 400)
        assert text.startswith("Only one auth mechanism allowed")

    @pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Credential"])
    def test_each_part_is_needed(self, name: str, room: Any, signed: Signed) -> None:
        """A URL that lacks a part is told which."""
        request = signed(room.keys.learner, "s3", "GET", "/lake/a", expires=60)
        query = "&".join(part for part in request.query.split("&") if not part.startswith(f"{name}="))
        code, status, text = refusal(room, replace(request, query=query), "s3")
        assert (code, status) == ("AuthorizationHeaderMalformed", 400)
        assert f"'{name}'" in text


class TestPresignedByVersion2:
    """The kind of URL that boto3 makes for S3 unless it is told otherwise."""

    def test_one_names_its_user(self, room: Any) -> None:
        """It acts as the user that signed it, in the default region."""
        found = authenticate(room, older_url(room.keys.learner, "GET", "/lake/a%20b?versionId=3&acl"), "s3")
        assert (found.principal.name, found.region, found.presigned) == ("learner", "us-east-1", True)

    def test_headers_are_signed(self, room: Any) -> None:
        """Content type and x-amz headers, which end up in the query, are part of it."""
        headers = {"Content-Type": "text/csv", "x-amz-acl": "private"}
        request = older_url(room.keys.learner, "PUT", "/lake/a", headers)
        assert "x-amz-acl=private" in request.query
        sent = replace(request, headers={**request.headers, "content-type": "text/csv"})
        assert authenticate(room, sent, "s3").principal.name == "learner"
        changed = replace(sent, query=sent.query.replace("private", "public-read"))
        assert refusal(room, changed, "s3") == ("SignatureDoesNotMatch", 403, S3_MISMATCH)
        added = replace(sent, headers={**sent.headers, "x-amz-tagging": "a=b"})
        assert refusal(room, added, "s3")[0] == "SignatureDoesNotMatch"

    def test_it_expires(self, room: Any) -> None:
        """At the second that it names."""
        request = older_url(room.keys.learner, "GET", "/lake/a")
        room.clock.ahead = timedelta(seconds=61)
        assert refusal(room, request, "s3") == ("AccessDenied", 403, "Request has expired")

    def test_a_forged_one(self, room: Any) -> None:
        """An unknown key, another secret and another path are refused."""
        unknown = older_url(AccessKey("test", "test"), "GET", "/lake/a")
        assert refusal(room, unknown, "s3") == ("InvalidAccessKeyId", 403, NO_SUCH_KEY)
        forged = older_url(replace(room.keys.learner, secret_access_key="x"), "GET", "/lake/a")
        assert refusal(room, forged, "s3") == ("SignatureDoesNotMatch", 403, S3_MISMATCH)
        moved = replace(older_url(room.keys.learner, "GET", "/lake/a"), path="/lake/b")
        assert refusal(room, moved, "s3") == ("SignatureDoesNotMatch", 403, S3_MISMATCH)

    @pytest.mark.parametrize("name", ["tagging", "versionId", "uploadId"])
    def test_a_subresource_is_signed(self, name: str, room: Any) -> None:
        """Who holds the URL of an object cannot make it one of its tags."""
        request = older_url(room.keys.learner, "GET", "/lake/a")
        assert refusal(room, replace(request, query=f"{name}=1&{request.query}"), "s3")[0] == "SignatureDoesNotMatch"

    @pytest.mark.parametrize("name", ["retention", "legal-hold", "attributes"])
    def test_a_subresource_that_it_does_not_cover(self, name: str, room: Any) -> None:
        """Nor, where the old signature leaves a parameter out, of something newer."""
        request = older_url(room.keys.learner, "GET", "/lake/a")
        code, status, text = refusal(room, replace(request, query=f"{name}&{request.query}"), "s3")
        assert (code, status) == ("InvalidRequest", 400)
        assert f"does not cover {name}" in text

    def test_another_service_does_not_take_it(self, room: Any) -> None:
        """Other services refuse this kind by name."""
        request = Request("GET", "/", "AWSAccessKeyId=a&Signature=b&Expires=9&Action=ListUsers", {"host": "localhost"})
        code, status, text = refusal(room, request, "iam")
        assert (code, status) == ("IncompleteSignature", 400)
        assert "Signature Version 2" in text

    def test_not_beside_another(self, room: Any) -> None:
        """Two kinds of signature in one call are one too many."""
        request = older_url(room.keys.learner, "GET", "/lake/a")
        request = replace(request, headers={**request.headers, "authorization": "AWS4-HMAC-SHA256 x"})
        assert refusal(room, request, "s3")[0] == "InvalidArgument"


def older_url(key: AccessKey, method: str, path: str, headers: dict[str, str] | None = None) -> Request:
    """A request to a URL that botocore has presigned in the older way for a minute."""
    asked = AWSRequest(method=method, url=f"http://localhost:4566{path}", headers=headers or {}, auth_path=None)
    HmacV1QueryAuth(Credentials(key.access_key_id, key.secret_access_key), expires=60).add_auth(asked)
    url = urlsplit(str(asked.url))
    return Request(method, url.path, url.query, {"host": url.netloc})


def test_a_date_header_instead_of_x_amz_date(room: Any) -> None:
    """An old client may sign the Date header; its time counts."""
    stamp = datetime.now(UTC).replace(microsecond=0)
    day = f"{stamp:%Y%m%d}"
    key = room.keys.learner
    headers = {
        "host": "localhost",
        "date": stamp.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "authorization": f"AWS4-HMAC-SHA256 Credential={key.access_key_id}/{day}/us-east-1/s3/aws4_request, "
        "SignedHeaders=date;host;x-amz-content-sha256, Signature=0",
    }
    request = Request("GET", "/lake", "", headers)
    signature = find_signature(request)
    assert signature is not None
    right = next(expected_signatures(request, signature, key.secret_access_key, "UNSIGNED-PAYLOAD"))
    headers["authorization"] = headers["authorization"].replace("Signature=0", f"Signature={right}")
    assert authenticate(room, Request("GET", "/lake", "", headers), "s3").principal.name == "learner"


def test_a_key_that_is_switched_off(room: Any, signed: Signed) -> None:
    """An inactive key is as good as none, until it is active again."""
    ann = room.user("ann")
    call_ = call(signed, ann, "iam")
    keyring = room.identity._keyring
    keyring.set_active(ann.access_key_id, active=False)
    assert refusal(room, call_, "iam")[0] == "InvalidClientTokenId"
    keyring.set_active(ann.access_key_id, active=True)
    assert authenticate(room, call_, "iam").principal.name == "ann"


def test_a_user_that_is_gone(room: Any, signed: Signed) -> None:
    """The key of a user that IAM does not have any more is refused."""
    ann = room.user("ann")
    del room.account.entities["User"]["ann"]
    room.identity.invalidate()
    assert refusal(room, call(signed, ann, "sagemaker"), "sagemaker")[0] == "UnrecognizedClientException"


def test_in_open_mode_any_key_is_root(open_room: Any, signed: Signed) -> None:
    """With enforcement off every call is root's, in the region that its scope names, however it is signed."""
    request = call(signed, AccessKey("test", "test"), "sagemaker", region="eu-west-1")
    found = authenticate(open_room, replace(request, body=b"other"), "sagemaker")
    assert (found.principal.arn, found.region) == ("arn:aws:iam::123456789012:root", "eu-west-1")
    for headers in ({}, {"authorization": "AWS test:x"}):
        bare = authenticate(open_room, Request("GET", "/lake", "", {"host": "localhost", **headers}), "s3")
        assert (bare.principal.arn, bare.region) == ("arn:aws:iam::123456789012:root", "us-east-1")
