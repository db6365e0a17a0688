"""Errors as AWS answers them."""

from __future__ import annotations


class AwsError(Exception):
    """An error that reaches the client: an AWS error code, a message, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class ValidationError(AwsError):
    """`ValidationException`, the code of most refusals."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class UnsupportedError(AwsError):
    """The stage does not do this, and says so rather than pretend.

    The code is AWS's own for an operation that a service does not know, so no client retries it.
    """

    def __init__(self, message: str) -> None:
        super().__init__("UnknownOperationException", message)


class NotHonouredError(ValidationError):
    """A member of a request that the stage knows but cannot honour."""

    def __init__(self, member: str, why: str) -> None:
        super().__init__(f"Stagemaker cannot honour {member}: {why}")
