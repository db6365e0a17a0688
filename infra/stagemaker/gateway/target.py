"""Which service is called, in which region, from what the request shows. Never by its host alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from stagemaker.sagemaker.runtime.api import Runtime
from stagemaker.wire.message import Request

_SCOPE = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([a-z0-9\-]+)/([a-z0-9\-]+)/aws4_request")
_HOST = re.compile(r"(?:^|\.)([a-z0-9\-]+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com", re.IGNORECASE)

# Of unsigned calls: the prefix of X-Amz-Target, and the services behind AWS's own host names.
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs", "GraniteServiceVersion20100801": "monitoring"}


@dataclass(frozen=True, slots=True)
class Target:
    """`service` is the signing name (`sagemaker` also for its runtimes, `monitoring` for CloudWatch)."""

    service: str
    region: str
    signed: bool


def find_target(request: Request, default_region: str) -> Target:
    """The target of `request`. Calls that carry no signature and no other sign are S3's."""
    if match := _SCOPE.search(request.headers.get("authorization", "")):
        return Target(match.group(4), match.group(3), signed=True)
    query = parse_qs(request.query, keep_blank_values=True)
    if match := _SCOPE.search("Credential=" + query.get("X-Amz-Credential", [""])[0]):
        return Target(match.group(4), match.group(3), signed=True)
    region = default_region
    if host := _HOST.search(request.headers.get("host", "")):
        region = host.group(2).lower()
    if prefix := request.headers.get("x-amz-target", "").rpartition(".")[0]:
        return Target(_TARGETS.get(prefix, prefix.split("_")[0].lower()), region, signed=False)
    if request.path.startswith("/service/GraniteServiceVersion20100801/"):
        return Target("monitoring", region, signed=False)
    if not request.query and Runtime.claims(request):  # S3 has no such call
        return Target("sagemaker", region, signed=False)
    return Target("s3", region, signed=False)
