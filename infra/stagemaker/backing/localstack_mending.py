"""What LocalStack 4.14.0 does otherwise than AWS, put right on the way there and back."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
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


def is_put_events(call: Call) -> bool:
    """Whether a call puts events on a bus. LocalStack lets anybody speak as an AWS service."""
    return call.service == "events" and call.headers.get("x-amz-target") == "AWSEvents.PutEvents"


def claimed_sources(body: bytes) -> tuple[bytes, list[int], int]:
    """A PutEvents request without the entries that claim to be of an AWS service, which those are, and of how many.

    A request that cannot be read goes on as it is, and LocalStack says what is wrong with it.
    """
    try:
        document: Any = json.loads(body)
        entries = list(document["Entries"])
        claimed = [index for index, entry in enumerate(entries) if str(entry.get("Source", "")).startswith("aws.")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return body, [], 0
    if claimed:
        kept = [entry for index, entry in enumerate(entries) if index not in claimed]
        body = json.dumps({**document, "Entries": kept}).encode()
    return body, claimed, len(entries)


def with_refused(body: bytes, claimed: Collection[int], count: int) -> bytes:
    """The answer to a PutEvents of `count` entries from the one to those that LocalStack saw."""
    seen: list[Any] = json.loads(body)["Entries"] if body else []
    refused = {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
    for index in range(count):
        if index in claimed:
            seen.insert(index, refused)
    failed = sum("ErrorCode" in entry for entry in seen)
    return json.dumps({"FailedEntryCount": failed, "Entries": seen}).encode()


def own_queue_urls(call: Call, body: bytes, endpoint: str) -> bytes:
    """An answer of SQS in which a queue's address is the stage's: LocalStack's host is no way in for clients."""
    target = call.headers.get("x-amz-target", "").rpartition(".")[2]
    head = body[:300]
    if target in _QUEUE_URL_ANSWERS or any(f"<{each}Response".encode() in head for each in _QUEUE_URL_ANSWERS):
        return _QUEUE_URL.sub(endpoint.encode() + rb"/\1", body)
    return body
