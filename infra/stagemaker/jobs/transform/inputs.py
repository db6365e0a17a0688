"""Which objects a transform job reads, and how its outputs are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.selection import manifest_entries
from stagemaker.jobs.spec import S3Uri
from stagemaker.jobs.transform.spec import Input, Output

SUFFIX = ".out"


@dataclass(frozen=True, slots=True)
class InputObject:
    """An object, and its name below the output path, still without its ending."""

    uri: S3Uri
    name: str

    def output(self, output: Output) -> S3Uri:
        """Where what the model makes of it goes."""
        return output.target.join(self.name + SUFFIX)

    def __str__(self) -> str:
        """As the data log names it."""
        return f"{self.uri.bucket}/{self.uri.key}"


def input_objects(objects: ObjectClient, given: Input) -> Iterator[InputObject]:
    """The objects in their order. Raises DownloadError for a manifest that is none, ObjectsError."""
    if given.data_type == "ManifestFile":
        prefix, entries = manifest_entries(objects, given.source)
        for entry in entries:
            yield InputObject(S3Uri(prefix.bucket, prefix.key + entry), entry.lstrip("/"))
        return
    bucket, prefix_key = given.source.bucket, given.source.key
    for found in objects.list(bucket, prefix_key):
        # The console makes "folders" as empty objects that end in a slash: they hold no data.
        if not (found.key.endswith("/") and found.size == 0):
            yield InputObject(S3Uri(bucket, found.key), output_name(found.key, prefix_key))


def output_name(key: str, prefix: str) -> str:
    """The part of `key` that its output keeps: what follows the prefix, with its folders.

    A prefix that names a folder is cut off whole; one that ends inside a name is cut after its last slash, so an
    object that is named whole keeps its last part.
    """
    rest = key[len(prefix) :]
    if prefix and not prefix.endswith("/") and rest.startswith("/"):
        return rest[1:]
    return key[prefix.rfind("/") + 1 :]
