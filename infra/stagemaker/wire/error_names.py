"""What one error is called in each of AWS's protocols.

The services that once spoke only the query protocol (CloudWatch, IAM, STS ...) have two names for an
error: the code of the query protocol (`InvalidParameterValue`) and the name of the exception's shape
(`InvalidParameterValueException`). JSON and CBOR answers carry the second in the body, and the first
in the header `x-amzn-query-error`, which is what botocore shows as the error's code.
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore.model import ServiceModel, StructureShape

from stagemaker.wire.errors import AwsError

_QUERY_CODES = {
    "ValidationException": "ValidationError",
    "UnknownOperationException": "InvalidAction",
    "AccessDeniedException": "AccessDenied",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
    "ThrottlingException": "Throttling",
}
"""Errors that no model lists: any service answers them, under one name in JSON and another in query."""


@dataclass(frozen=True, slots=True)
class ErrorNames:
    """`shape` for JSON and CBOR, `query` for XML, `fault` is `Sender` (4xx) or `Receiver` (5xx)."""

    shape: str
    query: str
    fault: str


def error_names(model: ServiceModel, error: AwsError) -> ErrorNames:
    """The names of `error`, whose code may be either of its two names."""
    fault = "Sender" if error.status < 500 else "Receiver"
    for shape in model.error_shapes:
        if isinstance(shape, StructureShape) and error.code in {shape.name, shape.error_code}:
            return ErrorNames(shape.name, str(shape.error_code), fault)
    for name, query_code in _QUERY_CODES.items():
        if error.code in {name, query_code}:
            return ErrorNames(name, query_code, fault)
    return ErrorNames(error.code, error.code, fault)


def query_error_header(model: ServiceModel, error: AwsError) -> dict[str, str]:
    """`x-amzn-query-error` for a service whose clients may still expect the codes of the query protocol."""
    if "awsQueryCompatible" not in model.metadata:
        return {}
    names = error_names(model, error)
    return {"x-amzn-query-error": f"{names.query};{names.fault}"}
