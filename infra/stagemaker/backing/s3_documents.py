"""The XML documents in which S3's clients send settings, such as tags and lifecycle rules."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from xml.etree import ElementTree as ET

from stagemaker.wire.errors import AwsError

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DISPLAY_NAME = b"<DisplayName>ministack</DisplayName>"


class _Builder(ET.TreeBuilder):
    """Refuses a document type, where entities would be declared."""

    def doctype(self, *_: object) -> None:
        raise malformed()


def malformed() -> AwsError:
    """What S3 answers to a document that its schema does not allow."""
    return AwsError(
        "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
    )


def read_document(body: bytes, root: str) -> ET.Element:
    """The root element, which must be called `root`; tags without their namespaces. Raises MalformedXML."""
    try:
        document = ET.fromstring(body, ET.XMLParser(target=_Builder()))  # noqa: S314 - no document type, no entities
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: unknown encodings
        raise malformed() from error
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    if document.tag != root:
        raise malformed()
    return document


def write_document(document: ET.Element) -> bytes:
    """`document`, of tags without namespaces, in S3's namespace."""
    document.set("xmlns", NAMESPACE)
    written: bytes = ET.tostring(document, encoding="utf-8", xml_declaration=True)
    return written


def nameless_owners(headers: MutableMapping[str, Any], content: Any) -> Any:
    """`content`, an answer of ministack's, with owners that have an ID alone.

    S3 stopped giving a DisplayName in November 2025 (notice in the S3 API reference, `Owner`); ministack
    gives its own name.
    """
    if not isinstance(content, bytes) or _DISPLAY_NAME not in content or not content.lstrip().startswith(b"<?xml"):
        return content
    content = content.replace(_DISPLAY_NAME, b"")
    for name in headers:
        if name.lower() == "content-length":
            headers[name] = str(len(content))
    return content
