"""Augmented manifests: JSON lines whose attributes are streamed, one record each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.selection import DownloadError, Share, dealt, read_whole, shuffled
from stagemaker.jobs.spec import ChannelSource, S3Uri

_REFERENCE = "-ref"


def records(objects: ObjectClient, channel: ChannelSource, share: Share, epoch: int) -> Iterator[bytes]:
    """The attributes of every line, in the order of AttributeNames.

    An attribute that ends in `-ref` names an object, whose bytes are the record; of any other the value
    is the record, a text as it stands and anything else as JSON. Raises DownloadError, ObjectsError.
    """
    lines = [line for line in read_whole(objects, channel.source).splitlines() if line.strip()]
    for line in dealt(shuffled(lines, channel, epoch), channel, share):
        document = _document(line, channel.source)
        for name in channel.attributes:
            if name not in document:
                raise DownloadError(f"A line of the augmented manifest {channel.source} has no attribute {name}")
            value = document[name]
            yield _object(objects, value, name) if name.endswith(_REFERENCE) else _text(value)


def _document(line: bytes, uri: S3Uri) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise DownloadError(f"A line of the augmented manifest {uri} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DownloadError(f"A line of the augmented manifest {uri} is not a JSON object")
    return document


def _object(objects: ObjectClient, value: object, name: str) -> bytes:
    try:
        uri = S3Uri.parse(str(value))
    except ValueError as error:
        raise DownloadError(f"The attribute {name} must hold an S3 URI, not {value!r}") from error
    return objects.open(uri).read()


def _text(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
