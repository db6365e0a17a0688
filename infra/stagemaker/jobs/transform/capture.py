"""Data capture of a transform job: manifests of what went in and of what came out."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.spec import S3Uri


def write_capture(
    objects: ObjectClient, target: S3Uri, inputs: Sequence[S3Uri], outputs: Sequence[S3Uri], scratch: Path
) -> None:
    """Put `<target>/{input,output}/yyyy/mm/dd/hh/<uuid>.json` (UTC), a ManifestFile each. Raises ObjectsError."""
    hour = time.strftime("%Y/%m/%d/%H", time.gmtime())
    name = f"{uuid.uuid4()}.json"
    for side, uris in (("input", inputs), ("output", outputs)):
        scratch.write_text(json.dumps(manifest(uris)))
        try:
            objects.upload(scratch, target.join(side, hour, name))
        finally:
            scratch.unlink()


def manifest(uris: Sequence[S3Uri]) -> list[object]:
    """The prefix that the objects share, up to a slash, and what follows it of each. `uris` are of one bucket."""
    keys = [uri.key for uri in uris]
    first, last = min(keys), max(keys)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    prefix = first[: first.rfind("/", 0, same) + 1]
    return [{"prefix": str(S3Uri(uris[0].bucket, prefix))}, *(key[len(prefix) :] for key in keys)]
