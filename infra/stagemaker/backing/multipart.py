"""CompleteMultipartUpload, in place of ministack's.

ministack's joins the parts in memory, takes them in any order and of any size, and knows one kind of
checksum. Here the object is the list of its parts' files: nothing is read or copied.
"""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError, SubElement

from stagemaker.backing.bodies import join
from stagemaker.backing.checksums import composite, full_object
from stagemaker.wire.errors import AwsError

if TYPE_CHECKING:
    from stagemaker.backing.ministack_patches import Ministack

MINIMUM_PART = 5 * 1024 * 1024
"""Bytes. Of all parts but the last (S3 user guide, "Multipart upload limits")."""

_Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class _Part:
    """A part as the request names it."""

    number: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)


def checksum_type(algorithm: str | None, requested: str | None) -> str:
    """`COMPOSITE` or `FULL_OBJECT`: as asked for, else S3's default for `algorithm`. Raises InvalidRequest."""
    default = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    wanted = (requested or default).upper()
    impossible = {("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT")}
    if wanted not in {"COMPOSITE", "FULL_OBJECT"} or (algorithm, wanted) in impossible:
        raise AwsError(
            "InvalidRequest", f"The {wanted} checksum type cannot be used with the {str(algorithm).lower()} algorithm."
        )
    return wanted


def complete(
    ministack: Ministack,
    bucket: str,
    key: str,
    body: bytes,
    query: Mapping[str, list[str]],
    headers: Mapping[str, str] | None = None,
) -> _Answer:
    """Make the object of its parts. Raises AwsError."""
    s3, headers = ministack.s3, headers or {}
    if bucket not in s3._buckets:
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    upload_id = query["uploadId"][0]
    done = s3._completed_multipart_uploads.get(upload_id)
    if done is not None and done["key"] == key:  # a client that missed the answer asks again
        answer: _Answer = done["response"]
        return answer
    upload = s3._multipart_uploads.get(upload_id)
    if upload is None or (upload["bucket"], upload["key"]) != (bucket, key):
        raise AwsError("NoSuchUpload", "The specified multipart upload does not exist.", 404)
    refusal = s3._check_sse_c_part(headers, upload) or s3._check_put_preconditions(
        headers, s3._buckets[bucket]["objects"].get(key)
    )
    if refusal:
        refused: _Answer = refusal
        return refused

    stored = [_find(part, upload) for part in _read(s3, body)]
    sizes = [part["size"] for _, part in stored]
    _check_sizes(stored, headers)
    checksum = _checksum(upload, [part for _, part in stored], headers)
    digest = hashlib.md5(usedforsecurity=False)
    for _, part in stored:
        digest.update(bytes.fromhex(part["etag"].strip('"')))
    etag = f'"{digest.hexdigest()}-{len(stored)}"'
    record = {
        "body": join([part["body"] for _, part in stored]),
        "content_type": upload["content_type"],
        "content_encoding": upload.get("content_encoding"),
        "etag": etag,
        "last_modified": s3.now_iso(),
        "size": sum(sizes),
        "metadata": upload["metadata"],
        "preserved_headers": upload["preserved_headers"],
        "storage_class": upload["storage_class"],
        "parts": [{"PartNumber": number, "Size": part["size"]} for number, part in stored],
        "checksums": checksum,
        "checksum_type": upload.get("checksum_type") if checksum else None,
    }
    prior = s3._buckets[bucket]["objects"].get(key)
    s3._buckets[bucket]["objects"][key] = record
    del s3._multipart_uploads[upload_id]
    s3._maybe_replicate(bucket, key, record, record["body"])
    version = s3._record_object_version(bucket, key, prior, record, record["body"])
    tags = dict(parse_qsl(upload.get("tagging", ""), keep_blank_values=True))
    s3._object_tags.pop((bucket, key, record.get("version_id")), None)
    if tags:
        s3._object_tags[bucket, key, record.get("version_id")] = tags
    s3._fire_s3_event_async(
        bucket, key, "s3:ObjectCreated:CompleteMultipartUpload", size=record["size"], etag=etag, version_id=version
    )
    answer_headers = {"Content-Type": "application/xml", **s3._stored_sse_headers(record)}
    if version:
        answer_headers["x-amz-version-id"] = version
    answer = 200, answer_headers, s3._xml_body(_result(s3.S3_NS, bucket, key, record, headers))
    s3._completed_multipart_uploads[upload_id] = {"key": key, "response": answer}
    return answer


def _read(s3: Any, body: bytes) -> list[_Part]:
    """The parts that the request lists."""
    malformed = AwsError(
        "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
    )
    try:
        root = s3.fromstring(body)
    except ParseError as error:
        raise malformed from error
    parts = []
    for element in root:
        if _local(element) != "Part":
            continue
        values = {_local(child): (child.text or "").strip() for child in element}
        if not values.get("PartNumber", "").isdigit() or "ETag" not in values:
            raise malformed
        checksums = {name[8:].upper(): value for name, value in values.items() if name.startswith("Checksum") and value}
        parts.append(_Part(int(values["PartNumber"]), values["ETag"].strip('"'), checksums))
    if not parts:
        raise malformed
    if any(second.number <= first.number for first, second in pairwise(parts)):
        raise AwsError(
            "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number."
        )
    return parts


def _find(part: _Part, upload: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The stored part that the request means."""
    stored: dict[str, Any] | None = upload["parts"].get(part.number)
    if (
        stored is None
        or stored["etag"].strip('"') != part.etag
        or any(stored.get("checksums", {}).get(name) != value for name, value in part.checksums.items())
    ):
        raise AwsError(
            "InvalidPart",
            "One or more of the specified parts could not be found. The part may not have been uploaded, "
            "or the specified entity tag may not match the part's entity tag.",
        )
    return part.number, stored


def _check_sizes(stored: list[tuple[int, dict[str, Any]]], headers: Mapping[str, str]) -> None:
    if any(part["size"] < MINIMUM_PART for _, part in stored[:-1]):
        raise AwsError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    declared, size = headers.get("x-amz-mp-object-size"), sum(part["size"] for _, part in stored)
    if declared is not None and declared != str(size):
        raise AwsError(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {declared} does not match what was computed: {size}",
        )


def _checksum(upload: Mapping[str, Any], parts: list[dict[str, Any]], headers: Mapping[str, str]) -> dict[str, str]:
    """The object's checksum by its algorithm, if the upload has one."""
    algorithm = upload.get("checksum_algorithm")
    if not algorithm:
        return {}
    sums = [part.get("checksums", {}).get(algorithm) or part["body"].checksum(algorithm) for part in parts]
    if upload.get("checksum_type") == "FULL_OBJECT":
        value = full_object(algorithm, [(each, part["size"]) for each, part in zip(sums, parts, strict=True)])
    else:
        value = composite(algorithm, sums)
    expected = headers.get(f"x-amz-checksum-{algorithm.lower()}")
    if expected and expected != value:
        raise AwsError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    return {algorithm: value}


def _result(namespace: str, bucket: str, key: str, record: Mapping[str, Any], headers: Mapping[str, str]) -> Element:
    root = Element("CompleteMultipartUploadResult", xmlns=namespace)
    scheme, host = headers.get("x-forwarded-proto", "https"), headers.get("host", "s3.amazonaws.com")
    values = {"Location": f"{scheme}://{host}/{bucket}/{key}", "Bucket": bucket, "Key": key, "ETag": record["etag"]}
    values |= {f"Checksum{algorithm}": value for algorithm, value in record["checksums"].items()}
    if record["checksum_type"]:
        values["ChecksumType"] = record["checksum_type"]
    for name, value in values.items():
        SubElement(root, name).text = value
    return root


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
