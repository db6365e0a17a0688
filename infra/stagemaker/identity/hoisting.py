"""Headers that a presigned URL carries in its query.

Whoever makes a URL may put x-amz-* headers into it, so that its user need not send them:
`?x-amz-acl=private`. S3 takes them for headers, and so must everything that judges the call.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

_OF_THE_SIGNATURE = frozenset(
    f"x-amz-{name}"
    for name in (
        "algorithm",
        "content-sha256",
        "credential",
        "date",
        "expires",
        "security-token",
        "signature",
        "signedheaders",
    )
)


def lowered(request: Request) -> Request:
    """The presigned `request` with such parameters as headers, and without what signs it.

    Raises AwsError InvalidArgument when a header is given both ways.
    """
    headers = dict(request.headers)
    kept = []
    for part in request.query.split("&"):
        [(name, value)] = parse_qsl(part, keep_blank_values=True) or [("", "")]
        header = name.lower()
        if not header.startswith("x-amz-"):
            kept.append(part)
        elif header not in _OF_THE_SIGNATURE and headers.setdefault(header, value) != value:
            raise AwsError("InvalidArgument", f"{header} is given in the query and as a header.")
    return replace(request, query="&".join(kept), headers=headers)
