"""Every protocol, in both directions, against botocore's own serialisers and parsers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.wire.cbor import CborCodec
from stagemaker.wire.codec import Codec, JsonCodec
from stagemaker.wire.errors import AwsError, UnsupportedError, ValidationError
from stagemaker.wire.message import Reply, Request
from stagemaker.wire.query import QueryCodec

PROTOCOLS: dict[str, Callable[[ServiceModel], Codec]] = {
    "json": JsonCodec,
    "query": QueryCodec,
    "smithy-rpc-v2-cbor": CborCodec,
}

# XML has no control characters, and parsers turn \r\n into \n; the rest of Unicode must survive.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
names = st.text("abcXYZ019_-./ ", min_size=1)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - hypothesis wants naive limits
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
items = st.fixed_dictionaries({"Name": texts}, optional={"Parts": st.lists(texts, max_size=3)})
everything = st.fixed_dictionaries(
    {},
    optional={
        "Text": texts,
        "Whole": st.integers(-(2**31), 2**31 - 1),
        "Long": st.integers(-(2**63), 2**63 - 1),
        "Real": st.floats(allow_nan=False, allow_infinity=False),
        "Flag": st.booleans(),
        "Moment": moments,
        "Bytes": st.binary(max_size=20),
        "List": st.lists(texts, max_size=3),
        "Items": st.lists(items, max_size=3),
        "Map": st.dictionaries(names, items, max_size=3),
        "Flat": st.lists(texts, min_size=1, max_size=3),
        "FlatNamed": st.lists(texts, min_size=1, max_size=3),
        "FlatMap": st.dictionaries(names, texts, min_size=1, max_size=3),
        "Renamed": texts,
    },
)


def sent(model: ServiceModel, protocol: str, operation: str, parameters: dict[str, Any]) -> Request:
    """The request that botocore makes."""
    serialized = create_serializer(protocol, include_validation=False).serialize_to_request(
        parameters, model.operation_model(operation)
    )
    body = serialized["body"]
    if isinstance(body, dict):
        body = urlencode(body, doseq=True).encode()
    headers = {name.lower(): value for name, value in serialized["headers"].items()}
    return Request(serialized["method"], serialized["url_path"], "", headers, body)


def parsed(model: ServiceModel, protocol: str, operation: str, reply: Reply) -> Any:
    """What botocore understands."""
    response = {"body": reply.body, "headers": reply.headers, "status_code": reply.status, "context": {}}
    shape = model.operation_model(operation).output_shape
    assert shape is not None
    return create_parser(protocol).parse(response, shape)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Each protocol in turn."""
    return str(request.param)


@pytest.fixture
def codec(protocol: str, echo_model: ServiceModel) -> Codec:
    """Our side of the protocol."""
    return PROTOCOLS[protocol](echo_model)


@given(value=everything)
@pytest.mark.parametrize("spoken", PROTOCOLS)
def test_what_botocore_sends_is_read(spoken: str, value: dict[str, Any], echo_model: ServiceModel) -> None:
    """Any value of any shape that botocore serialises is read back as it was."""
    if spoken != "query":
        value.pop("Renamed", None)  # no model of ours that speaks JSON or CBOR renames members
    if spoken == "query" and not value.get("Map"):
        value.pop("Map", None)  # botocore sends nothing for an empty map
    request = sent(echo_model, spoken, "Echo", {"Everything": value} if value else {})
    codec = PROTOCOLS[spoken](echo_model)
    assert codec.operation_name(request) == "Echo"
    assert codec.read(echo_model.operation_model("Echo"), request) == ({"Everything": value} if value else {})


@given(value=everything)
@pytest.mark.parametrize("spoken", PROTOCOLS)
def test_what_we_answer_botocore_reads(spoken: str, value: dict[str, Any], echo_model: ServiceModel) -> None:
    """Any value of any shape that we answer reaches the caller as it was."""
    if spoken != "query":
        value.pop("Renamed", None)
    reply = PROTOCOLS[spoken](echo_model).write(echo_model.operation_model("Echo"), {"Everything": value}, "id-1")
    answer = parsed(echo_model, spoken, "Echo", reply)
    assert answer["ResponseMetadata"]["RequestId"] == "id-1"
    assert answer["Everything"] == value


def test_an_operation_without_output(protocol: str, codec: Codec, echo_model: ServiceModel) -> None:
    """Nothing to say is said in each protocol's way, and the request's id still arrives."""
    request = sent(echo_model, protocol, "Quiet", {})
    assert codec.operation_name(request) == "Quiet"
    assert codec.read(echo_model.operation_model("Quiet"), request) == {}
    reply = codec.write(echo_model.operation_model("Quiet"), {}, "id-2")
    assert reply.status == 200
    if protocol == "query":
        assert b"<QuietResponse xmlns=" in reply.body  # type: ignore[operator]  # bytes: only Held replies stream
    else:
        assert reply.body == b""
    assert reply.headers["x-amzn-requestid"] == "id-2"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AwsError("BadThing", 'no <good> & "that"'), "BadThing"),
        (AwsError("BadThingException", "no"), "BadThing"),
        (ValidationError("1 validation error"), "ValidationError"),
        (UnsupportedError("what?"), "InvalidAction"),
        (AwsError("AccessDeniedException", "no", 403), "AccessDenied"),
        (AwsError("InternalFailure", "disk", 500), "InternalFailure"),
    ],
)
def test_errors_have_the_query_code_in_every_protocol(
    error: AwsError, code: str, protocol: str, codec: Codec, echo_model: ServiceModel
) -> None:
    """A client of a query-compatible service sees one code, one message and one status in all protocols."""
    reply = codec.write_error(error, "id-3")
    answer = parsed(echo_model, protocol, "Echo", reply)
    assert answer["Error"]["Code"] == code
    assert answer["Error"]["Message"] == error.message
    assert answer["Error"]["Type"] == ("Receiver" if error.status >= 500 else "Sender")
    assert answer["ResponseMetadata"] == {
        "RequestId": "id-3",
        "HTTPStatusCode": error.status,
        "HTTPHeaders": reply.headers,
    }


def test_a_service_that_never_spoke_query_keeps_its_codes() -> None:
    """SageMaker's errors are what they are called: no other name, no extra header."""
    from stagemaker.wire.model import load_service_model

    reply = JsonCodec(load_service_model("sagemaker")).write_error(ValidationError("no"), "id-4")
    assert b'"__type": "ValidationException"' in reply.body  # type: ignore[operator]  # bytes: errors never stream
    assert "x-amzn-query-error" not in reply.headers


def test_a_codec_claims_its_own_requests_only(echo_model: ServiceModel) -> None:
    """Of three codecs exactly one knows the operation of a request."""
    for spoken in PROTOCOLS:
        request = sent(echo_model, spoken, "Quiet", {})
        claims = {name for name, kind in PROTOCOLS.items() if kind(echo_model).operation_name(request)}
        assert claims == {spoken}


@pytest.mark.parametrize(
    ("spoken", "headers", "path", "body"),
    [
        ("json", {"x-amz-target": "EchoService.Echo"}, "/", b"{"),
        ("json", {"x-amz-target": "EchoService.Echo"}, "/", b"\xff\xfe"),
        ("json", {"x-amz-target": "EchoService.Echo"}, "/", b"[" * 100_000),
        ("json", {"x-amz-target": "EchoService.Echo"}, "/", b"[]"),
        ("smithy-rpc-v2-cbor", {"smithy-protocol": "rpc-v2-cbor"}, "/service/Echo/operation/Echo", b"\xff"),
        ("smithy-rpc-v2-cbor", {"smithy-protocol": "rpc-v2-cbor"}, "/service/Echo/operation/Echo", b"\x81" * 10_000),
        ("smithy-rpc-v2-cbor", {"smithy-protocol": "rpc-v2-cbor"}, "/service/Echo/operation/Echo", b"\x01"),
    ],
)
def test_a_broken_body(spoken: str, headers: dict[str, str], path: str, body: bytes, echo_model: ServiceModel) -> None:
    """A body that is not what the protocol says is the caller's error, never the server's."""
    codec = PROTOCOLS[spoken](echo_model)
    with pytest.raises(AwsError) as caught:
        codec.read(echo_model.operation_model("Echo"), Request("POST", path, "", headers, body))
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"Action=Echo&Everything.List=x", "MalformedQueryString"),
        (b"Action=Echo&Everything.List.member.one=x", "MalformedQueryString"),
        (b"Action=Echo&Everything=x&Everything.Text=y", "MalformedQueryString"),
        (b"Action=Echo&Everything.Text=x&Everything.Text=y", "MalformedQueryString"),
        (b"Action=Echo&Everything.Map.entry.1.value.Name=x", "MalformedQueryString"),
        (b"Action=Echo&Everything.Text=%FF", "MalformedQueryString"),
        (b"Action=Echo&Everything.Text=\xff", "MalformedQueryString"),
        (b"Action=Echo&Everything.Whole=many", "SerializationException"),
        (b"Action=Echo&Everything.Whole=1_000", "SerializationException"),
        (b"Action=Echo&Everything.Real=1_0.5", "SerializationException"),
        (b"Action=Echo&Everything.Flag=maybe", "SerializationException"),
        (b"Action=Echo&Everything.Text.inside=x", "SerializationException"),
        (b"Action=Echo&Everything=x", "SerializationException"),
        (b"Action=Echo&Everything.Moment=yesterday", "SerializationException"),
        (b"Action=Echo&Everything.Unheard=x", "ValidationException"),
        (b"Action=Echo&Other=x", "ValidationException"),
    ],
)
def test_a_broken_form(body: bytes, code: str, echo_model: ServiceModel) -> None:
    """Forms that contradict themselves, hold text of the wrong type or unknown fields are refused."""
    with pytest.raises(AwsError) as caught:
        QueryCodec(echo_model).read(echo_model.operation_model("Echo"), Request("POST", "/", "", FORM, body))
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_a_query_in_the_address(echo_model: ServiceModel) -> None:
    """A GET carries its fields in the query string, with those of a signature beside them."""
    query = "Action=Echo&Version=2020-01-01&X-Amz-Date=20200101T000000Z&X-Amz-Signature=1&Everything.Text=a+b%2Bc"
    request = Request("GET", "/", query, {})
    codec = QueryCodec(echo_model)
    assert codec.operation_name(request) == "Echo"
    assert codec.read(echo_model.operation_model("Echo"), request) == {"Everything": {"Text": "a b+c"}}


def test_an_answer_is_xml_whatever_it_holds(echo_model: ServiceModel) -> None:
    """Control characters, which XML cannot hold, become question marks; everything else arrives."""
    reply = QueryCodec(echo_model).write_error(AwsError("BadThing", "a\x00b\r\n<c>\ud7ff\ue000\uffff😀"), "id")
    answer = parsed(echo_model, "query", "Echo", reply)
    assert answer["Error"]["Message"] == "a�b\r\n<c>\ud7ff\ue000�😀"


def test_list_items_are_ordered_by_number(echo_model: ServiceModel) -> None:
    """Item 10 comes after item 9, whatever the order of the fields."""
    body = "&".join(["Action=Echo", *(f"Everything.List.member.{n}={n}" for n in (10, 2, 9, 1))]).encode()
    read = QueryCodec(echo_model).read(echo_model.operation_model("Echo"), Request("POST", "/", "", FORM, body))
    assert read["Everything"]["List"] == ["1", "2", "9", "10"]


def test_numbers_that_json_does_not_have(echo_model: ServiceModel) -> None:
    """NaN and the infinities travel as strings in JSON, both ways."""
    codec = JsonCodec(echo_model)
    operation = echo_model.operation_model("Echo")
    for value, text in ((float("inf"), "Infinity"), (float("-inf"), "-Infinity")):
        reply = codec.write(operation, {"Everything": {"Real": value}}, "id")
        assert reply.body == f'{{"Everything": {{"Real": "{text}"}}}}'.encode()
        assert codec.read(operation, Request("POST", "/", "", {}, reply.body)) == {"Everything": {"Real": value}}
    assert b'"NaN"' in codec.write(operation, {"Everything": {"Real": float("nan")}}, "id").body  # type: ignore[operator]  # bytes
