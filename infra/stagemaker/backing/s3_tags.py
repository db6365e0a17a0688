"""What S3 refuses to take as the tags of a bucket or an object. Ministack takes nearly anything.

Limits and characters: S3 API reference, "Tag", and user guide, "Categorizing your objects using tags".
The words are those that S3 was seen to answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from stagemaker.backing.s3_documents import malformed, read_document
from stagemaker.wire.errors import AwsError

_LONGEST_KEY, _LONGEST_VALUE = 128, 256  # characters
_MARKS = "_.:/=+-@"  # allowed beside letters, numbers and spaces of any script
_RESERVED = "aws:"

Tags = Sequence[tuple[str, str]]
"""Keys and values in the order in which they came."""


@dataclass(frozen=True, slots=True)
class _Holder:
    most: int
    too_many: str
    reserved: str


_BUCKET = _Holder(50, "Bucket tag count cannot be greater than 50", "System tags cannot be added/updated by requester")
_OBJECT = _Holder(10, "Object tags cannot be greater than 10", "Your TagKey cannot be prefixed with aws:")


def check_bucket_tags(body: bytes) -> None:
    """Check the document of PutBucketTagging. Raises MalformedXML, InvalidTag, BadRequest."""
    _check_set(_read(body), _BUCKET)


def check_object_tags(body: bytes) -> None:
    """Check the document of PutObjectTagging. Raises MalformedXML, InvalidTag, BadRequest."""
    _check_set(_read(body), _OBJECT)


def check_tagging_header(header: str) -> None:
    """Check `x-amz-tagging`, the tags of an object to be. Raises InvalidArgument, InvalidTag, BadRequest."""
    tags = parse_qsl(header, keep_blank_values=True)
    if len(dict(tags)) < len(tags) or any(not key for key, _ in tags):
        raise AwsError(
            "InvalidArgument",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
            "without tag name duplicates.",
        )
    _check_set(tags, _OBJECT)


def _read(body: bytes) -> Tags:
    document = read_document(body, "Tagging")
    if [element.tag for element in document] != ["TagSet"]:
        raise malformed()
    tags = []
    for tag in document[0]:
        if tag.tag != "Tag" or sorted(element.tag for element in tag) != ["Key", "Value"]:
            raise malformed()
        tags.append((tag.findtext("Key", ""), tag.findtext("Value", "")))
    return tags


def _check_set(tags: Tags, holder: _Holder) -> None:
    if len(tags) > holder.most:
        raise AwsError("BadRequest", holder.too_many)
    seen: set[str] = set()
    for key, value in tags:
        if not 1 <= len(key) <= _LONGEST_KEY or not _is_plain(key):
            raise AwsError("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > _LONGEST_VALUE or not _is_plain(value):
            raise AwsError("InvalidTag", "The TagValue you have provided is invalid")
        if key in seen:
            raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key")
        if key.startswith(_RESERVED):
            raise AwsError("InvalidTag", holder.reserved)
        seen.add(key)


def _is_plain(text: str) -> bool:
    return all(each in _MARKS or unicodedata.category(each)[0] in "LNZ" for each in text)
