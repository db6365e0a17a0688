"""What the runtime API answers when it does not answer with a model's answer.

Codes, statuses and fields are those of the API's model; the texts are AWS's where a public thread shows them
(`Received client error (415) from primary with message ...`, the time-out, the limit between containers), and
plain words of ours where none does: a container that breaks off, an answer that is too large, nobody there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from stagemaker.sagemaker.runtime.connection import (
    LARGEST_ANSWER,
    ContainerAnswer,
    ContainerError,
    TimedOutError,
    TooLargeError,
)
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply

LARGEST_BETWEEN = 5 * 1024 * 1024
"""Bytes that a container of a pipeline may hand to the next."""

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """The endpoint that an error is about, for its texts and ARNs."""

    account: str
    region: str
    endpoint: str

    @property
    def log_group(self) -> str:
        """Where the containers' output is."""
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"

    @property
    def _see(self) -> str:
        region = self.region
        return (
            f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:"
            f"group={self.log_group} in account {self.account} for more information."
        )

    def model_error(self, text: str, status: int, message: str) -> ModelError:
        """A 424: `text` says what happened, `status` and `message` are the container's own."""
        arn = f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.log_group}"
        return ModelError(f"{text} {self._see}", status, message, arn)


class RuntimeApiError(AwsError):
    """`ValidationError`, the runtime API's word for a request that cannot be carried out."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationError", message)


class UnavailableError(AwsError):
    """`ServiceUnavailable`: nobody there, or too much under way. Clients try again."""

    def __init__(self, message: str) -> None:
        super().__init__("ServiceUnavailable", message, 503)


class ModelError(AwsError):
    """The container's answer was not 2XX, or it gave none (`original_status` 0)."""

    def __init__(self, message: str, original_status: int, original_message: str, log_stream_arn: str) -> None:
        super().__init__("ModelError", message, 424)
        self.original_status = original_status
        self.original_message = original_message
        self.log_stream_arn = log_stream_arn


def not_found(place: Place) -> RuntimeApiError:
    """AWS says the same of an endpoint that is not there and of one that is not InService yet."""
    return RuntimeApiError(f"Endpoint {place.endpoint} of account {place.account} not found.")


def unsuccessful(place: Place, container: str, answer: ContainerAnswer) -> ModelError:
    """The container answered, and not with 2XX."""
    whose = "client" if 400 <= answer.status < 500 else "server"
    message = answer.body.decode("utf-8", "replace")
    text = f'Received {whose} error ({answer.status}) from {container} with message "{message}".'
    return place.model_error(text, answer.status, message)


def unanswered(place: Place, container: str, error: ContainerError) -> ModelError:
    """The container gave no answer that could be handed on."""
    if isinstance(error, TooLargeError):
        megabytes = LARGEST_ANSWER // _MEGABYTE
        message = f"The response from container {container} has exceeded the maximum limit of {megabytes} MB."
    elif isinstance(error, TimedOutError):
        message = (
            f"Your invocation timed out while waiting for a response from container {container}. "
            "Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
        )
    else:
        message = f"Container {container} gave no response: {error}."
    return place.model_error(f'Received server error (0) from {container} with message "{message}".', 0, message)


def too_large_between(place: Place, container: str, following: str, answer: ContainerAnswer) -> ModelError:
    """A container of a pipeline answered more than the next may be given."""
    text = (
        f"Received response from {container} with status code {answer.status}. However, the request payload from "
        f"{container} to {following} is {len(answer.body)} bytes, which has exceeded the maximum limit of "
        f"{LARGEST_BETWEEN // _MEGABYTE} MB."
    )
    return place.model_error(text, answer.status, text)


def write_error(error: AwsError, request_id: str) -> Reply:
    """`error` in rest-json, with the members that the API's model gives to its errors."""
    document: dict[str, str | int] = {"Message": error.message}
    if isinstance(error, ModelError):
        document |= {
            "LogStreamArn": error.log_stream_arn,
            "OriginalMessage": error.original_message,
            "OriginalStatusCode": error.original_status,
        }
    headers = {"content-type": "application/json", "x-amzn-requestid": request_id, "x-amzn-errortype": error.code}
    return Reply(error.status, headers, json.dumps(document).encode())
