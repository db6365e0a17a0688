"""What LocalStack 4.14.0 does otherwise than AWS, put right on the way there and back."""

from __future__ import annotations

import re
from urllib.parse import unquote

from stagemaker.backing.call import Call

_QUEUE_URL_ANSWERS = ("CreateQueue", "GetQueueUrl", "ListQueues", "ListDeadLetterSourceQueues")

_QUEUE_URL = re.compile(rb"https?://[^/\s\"<>]+/(?:queue/[a-z0-9-]+/)?(\d{12}/[A-Za-z0-9_.-]+)")
"""The forms of LocalStack's SQS_ENDPOINT_STRATEGY."""

_CHANGES = ("x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-website-redirect-location")


def added_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """Headers that LocalStack needs to do what AWS does.

    An old version copied over its own key brings it back (S3 user guide, "Restoring previous versions").
    LocalStack takes that for a copy of the object to itself and refuses it, unless a storage class is named;
    the one of a copy that names none is STANDARD.
    """
    path, _, query = call.headers.get("x-amz-copy-source", "").partition("?")
    if call.service != "s3" or "versionId=" not in query or any(name in call.headers for name in _CHANGES):
        return []
    onto_itself = unquote(path).lstrip("/") == f"{call.bucket}/{call.key}"
    return [(b"x-amz-storage-class", b"STANDARD")] if onto_itself else []


def own_queue_urls(call: Call, body: bytes, endpoint: str) -> bytes:
    """An answer of SQS in which a queue's address is the stage's: LocalStack's host is no way in for clients."""
    target = call.headers.get("x-amz-target", "").rpartition(".")[2]
    head = body[:300]
    if target in _QUEUE_URL_ANSWERS or any(f"<{each}Response".encode() in head for each in _QUEUE_URL_ANSWERS):
        return _QUEUE_URL.sub(endpoint.encode() + rb"/\1", body)
    return body
