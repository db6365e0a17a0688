"""S3's calls: what is done before and after ministack's handler carries them out."""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from stagemaker.backing import copying, encryption, multipart
from stagemaker.backing.bodies import Bodies, StoredBody
from stagemaker.backing.call import Call
from stagemaker.backing.changes import Changes
from stagemaker.backing.checksums import ALGORITHMS
from stagemaker.backing.configurations import checked_configuration
from stagemaker.backing.intake import receive_s3
from stagemaker.backing.ministack_patches import Ministack
from stagemaker.backing.port import Receive
from stagemaker.backing.s3_documents import nameless_owners
from stagemaker.wire.errors import AwsError

_SUBRESOURCES = {"tagging", "acl", "retention", "legal-hold", "annotation", "restore", "torrent"}
_LONGEST_KEY = 1024  # bytes in UTF-8 (S3 user guide, "Naming Amazon S3 objects")
_CONTROL = "/v20180820/"  # S3 Control: tags of buckets by ARN, access points
_COPY_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})")
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")

Answer = tuple[int, dict[str, Any], Any]
"""Status, headers and body as ministack gives them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an S3 call does, as far as bodies and the disk are concerned."""

    writes: bool
    puts_object: bool
    puts_part: bool
    creates_upload: bool
    completes: bool
    aborts: bool
    reads_object: bool

    @property
    def brings_object(self) -> bool:
        """Whether the body is (part of) an object."""
        return self.puts_object or self.puts_part

    @classmethod
    def of(cls, call: Call) -> Kind:
        """The kind of `call`."""
        at_key, query = bool(call.key) and not call.path.startswith(_CONTROL), call.query
        uploads, post, put = "uploadId" in query, call.method == "POST", call.method == "PUT"
        plain = at_key and not uploads and not _SUBRESOURCES & query.keys()
        own_bytes = put and at_key and "x-amz-copy-source" not in call.headers
        return cls(
            writes=call.method in {"PUT", "POST", "DELETE"},
            puts_object=own_bytes and plain,
            puts_part=own_bytes and uploads and "partNumber" in query,
            creates_upload=post and at_key and "uploads" in query,
            completes=post and at_key and uploads,
            aborts=call.method == "DELETE" and at_key and uploads,
            reads_object=call.method in {"GET", "HEAD"} and plain,
        )


async def take_in(ministack: Ministack, bodies: Bodies, call: Call, receive: Receive) -> bytes:
    """The body of `call`, checked. Raises AwsError, ClientGoneError."""
    kind = Kind.of(call)
    if call.method not in {"PUT", "POST"}:
        return b""
    upload = ministack.s3._multipart_uploads.get(call.asked("uploadId")) if kind.puts_part else None
    algorithm = (upload or {}).get("checksum_algorithm")
    algorithms = [algorithm] if algorithm else []
    return await receive_s3(receive, call.headers, bodies if kind.brings_object else None, algorithms)


@asynccontextmanager
async def copied_part_digested(ministack: Ministack, bodies: Bodies, call: Call) -> AsyncIterator[None]:
    """While the block runs, the digests of what an UploadPartCopy copies are known.

    ministack's handler would read all of it, up to 5 GB, in the event loop; here a thread does.
    """
    body = _copied_part(ministack.s3, call)
    if body is None:
        yield
        return
    upload = ministack.s3._multipart_uploads.get(call.asked("uploadId")) or {}
    algorithm = upload.get("checksum_algorithm")
    with bodies.reading():
        md5 = await asyncio.to_thread(body.md5)
        sums = {algorithm: await asyncio.to_thread(body.checksum, algorithm)} if algorithm else {}
    bodies.digests[body.pieces] = md5, sums
    try:
        yield
    finally:
        bodies.digests.pop(body.pieces, None)


def _copied_part(s3: Any, call: Call) -> StoredBody | None:
    """What an UploadPartCopy copies; None for other calls, and for those that the handler will refuse."""
    source = call.headers.get("x-amz-copy-source")
    if source is None or call.method != "PUT" or "uploadId" not in call.query:
        return None
    path, _, query = source.partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    version = parse_qs(query).get("versionId")
    if version:
        versions = s3._object_versions.get((bucket, key), [])
        body = next((each.get("data") for each in versions if each["version_id"] == version[0]), None)
    else:
        body = (s3._buckets.get(bucket) or {"objects": {}})["objects"].get(key, {}).get("body")
    if not isinstance(body, StoredBody):
        return None
    wanted = _COPY_RANGE.fullmatch(call.headers.get("x-amz-copy-source-range", ""))
    part: StoredBody = body[int(wanted[1]) : int(wanted[2]) + 1] if wanted else body
    return part


async def carry_out(ministack: Ministack, call: Call, body: bytes) -> Answer:
    """Let ministack handle `call`, and mend its answer. Raises AwsError."""
    s3, kind = ministack.s3, Kind.of(call)
    if call.path.startswith(_CONTROL):
        request_id = uuid.uuid4().hex.upper()[:16]
        handle = ministack.app._handle_s3_control_request
        return _answer(await handle(call.path, call.method, body, call.query, request_id, call.headers))
    if call.method == "OPTIONS":
        return _answer(s3.cors_preflight(call.bucket, call.key, call.headers))
    if kind.writes and len(call.key.encode()) > _LONGEST_KEY:
        raise AwsError("KeyTooLongError", "Your key is too long")
    body = checked_configuration(call, body)
    if kind.writes:
        encryption.name_key(ministack, call.headers)
    copying.check_copy(ministack, call)
    wanted_type = _checksum_type(call) if kind.creates_upload else None
    status, headers, content = await s3.handle_request(call.method, call.path, call.headers, body, call.query)
    if not kind.reads_object:
        content = nameless_owners(headers, content)
    if status == 200 and kind.puts_object:
        _mend_put(ministack, call, headers)
    elif status == 200 and kind.creates_upload:
        _mend_create_upload(ministack, call, headers, content, wanted_type)
    elif status == 200 and call.method == "GET" and "range" in call.headers and "versionId" in call.query:
        status, headers, content = _mend_version_range(ministack, call, (status, headers, content))
    elif status == 204 and call.method == "DELETE" and not call.key and not call.query:
        _forget_uploads(ministack, call.bucket)
    if kind.reads_object and status in {200, 206} and call.bucket in s3._bucket_versioning:
        # What was written before versioning, or while it is suspended, is the null version. PutObject does
        # not say so on AWS either: its answer names a version only while versioning is enabled.
        headers.setdefault("x-amz-version-id", "null")
    headers.update(s3.cors_response_headers(call.bucket, call.method, call.headers))
    if call.method == "HEAD" and s3.is_standard_object_request("HEAD", call.path, call.headers, call.query):
        return _answer(s3.format_head_response(call.path, call.headers, (status, headers, content)))
    return status, headers, content


def _answer(given: Any) -> Answer:
    status, headers, content = given
    return status, headers, content


def changed(call: Call, answer: Answer) -> Changes:
    """What `call` may have changed, beside what ministack's hooks tell."""
    kind, changes = Kind.of(call), Changes()
    if not kind.writes or answer[0] >= 400:
        return changes
    upload = call.asked("uploadId")
    if upload and call.method == "PUT":
        changes.parts.add((upload, int(call.asked("partNumber"))))
    elif kind.creates_upload and (match := _UPLOAD_ID.search(answer[2])):
        changes.uploads.add(match.group(1).decode())
    elif kind.completes or kind.aborts:
        changes.uploads.add(upload)
    if call.key and not call.path.startswith(_CONTROL):
        changes.keys.add((call.bucket, call.key))
    elif "delete" not in call.query:
        changes.services.add("s3")
    return changes


def _mend_put(ministack: Ministack, call: Call, headers: dict[str, Any]) -> None:
    """PutObject answers with the checksums that it checked, and does not inherit the tags of what it replaced."""
    s3 = ministack.s3
    record = s3._buckets[call.bucket]["objects"].get(call.key) or {}
    for algorithm in ALGORITHMS:
        if value := record.get("checksums", {}).get(algorithm):
            headers[f"x-amz-checksum-{algorithm.lower()}"] = value
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
    if "x-amz-tagging" not in call.headers:
        s3._object_tags.pop((call.bucket, call.key, record.get("version_id")), None)


def _checksum_type(call: Call) -> str | None:
    algorithm = call.headers.get("x-amz-checksum-algorithm") or call.headers.get("x-amz-sdk-checksum-algorithm")
    return multipart.checksum_type(algorithm.upper(), call.headers.get("x-amz-checksum-type")) if algorithm else None


def _mend_create_upload(
    ministack: Ministack, call: Call, headers: dict[str, Any], content: bytes, wanted: str | None
) -> None:
    """Note what ministack does not: the kind of checksum, and the tags of the object to be."""
    if match := _UPLOAD_ID.search(content):
        upload = ministack.s3._multipart_uploads[match.group(1).decode()]
        upload["tagging"] = call.headers.get("x-amz-tagging", "")
        if wanted:
            upload["checksum_type"] = headers["x-amz-checksum-type"] = wanted


def _mend_version_range(ministack: Ministack, call: Call, answer: Answer) -> Answer:
    """A range of a version: ministack sends the whole of it."""
    _, headers, content = answer
    found = ministack.s3._parse_range(call.headers["range"], len(content))
    if found is None:
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416)
    start, end = found
    kept = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum")}
    kept["Content-Length"] = str(end - start + 1)
    kept["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
    return 206, kept, content[start : end + 1]


def _forget_uploads(ministack: Ministack, bucket: str) -> None:
    """A bucket that is gone has no uploads in progress."""
    uploads = ministack.s3._multipart_uploads
    for upload in [upload for upload, state in uploads.items() if state["bucket"] == bucket]:
        del uploads[upload]
        ministack.changes.uploads.add(upload)
