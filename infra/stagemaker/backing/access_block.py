"""A bucket's public access block, as PutPublicAccessBlock sends it."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from stagemaker.backing.s3_documents import malformed, read_document, write_document

_ROOT = "PublicAccessBlockConfiguration"
_MEMBERS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def complete_access_block(body: bytes) -> bytes:
    """`body` with all four settings, as S3 keeps it: what a call does not name is off. Raises MalformedXML."""
    given = [(element.tag, (element.text or "").strip().lower()) for element in read_document(body, _ROOT)]
    values = dict(given)
    if not given or len(given) > len(values) or not values.keys() <= set(_MEMBERS):
        raise malformed()
    if not set(values.values()) <= {"true", "false"}:
        raise malformed()
    whole = Element(_ROOT)
    for name in _MEMBERS:
        SubElement(whole, name).text = values.get(name, "false")
    return write_document(whole)
