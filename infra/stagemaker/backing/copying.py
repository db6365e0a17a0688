"""Copies that S3 refuses because they would change nothing."""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from stagemaker.wire.errors import AwsError

if TYPE_CHECKING:
    from stagemaker.backing.call import Call
    from stagemaker.backing.ministack_patches import Ministack

_CHANGES = (
    "x-amz-checksum-algorithm",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
"""Beginnings of the headers that ask for a change, be it to what the object has already."""


def check_copy(ministack: Ministack, call: Call) -> None:
    """Raise InvalidRequest for a CopyObject of an object onto itself that asks for no change.

    With a version named it is a way to bring that back. A bucket's own default encryption may differ from
    the object's, so it counts as a change.
    """
    source = call.headers.get("x-amz-copy-source")
    if source is None or call.method != "PUT" or "uploadId" in call.query:
        return
    path, _, version = source.partition("?")
    bucket, key = call.bucket, call.key
    if version or unquote(path).removeprefix("/") != f"{bucket}/{key}":
        return
    s3 = ministack.s3
    record = s3._buckets.get(bucket)
    if record is None or key not in record["objects"]:  # which is the error then
        return
    replaces = call.headers.get("x-amz-metadata-directive", "").upper() == "REPLACE"
    asks = any(name.startswith(_CHANGES) for name in call.headers)
    if not (replaces or asks or bucket in s3._bucket_encryption):
        raise AwsError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
