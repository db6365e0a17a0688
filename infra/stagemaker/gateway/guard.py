"""What never gets in: web pages, other machines' names, the backing's private paths.

The stage listens on loopback, but any web page in the user's browser can reach loopback too. A page
cannot choose the Host header of its request, nor leave out Origin, so those two tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

_LOOPBACK = re.compile(r"(?:[a-z0-9.\-]+\.)?localhost|127\.0\.0\.1|\[::1\]", re.IGNORECASE)
_AWS = re.compile(r"(?:[a-z0-9.\-]+\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)", re.IGNORECASE)
_CONTROL = "/_stagemaker/"


def check(request: Request, private_paths: Collection[str]) -> None:
    """Raise AccessDenied (403) for a call that must not get in.

    AWS's own host names are let in: they come through the proxy, and a browser resolves them elsewhere.
    """
    if not request.path.startswith("/"):
        raise _denied("the request target must be a path")
    host = request.headers.get("host", "")
    name = _without_port(host)
    if not _LOOPBACK.fullmatch(name) and not is_aws_host(name):
        raise _denied(f"the Host header names {host!r}, and this stage answers to localhost only")
    if (origin := request.headers.get("origin")) and not _same_origin(origin, host):
        raise _denied(f"the call comes from a web page ({origin})")
    path = unquote(request.path)
    if any(path == private.rstrip("/") or path.startswith(private) for private in private_paths):
        raise _denied(f"{path} is not part of AWS's API")


def is_aws_host(name: str) -> bool:
    """Whether `name`, without a port, is a host of AWS's API."""
    return _AWS.fullmatch(name) is not None


def is_control(request: Request) -> bool:
    """Whether the path is one of the stage's own (`/_stagemaker/...`)."""
    return request.path.startswith(_CONTROL)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _same_origin(origin: str, host: str) -> bool:
    return urlsplit(origin).netloc == host


def _denied(why: str) -> AwsError:
    return AwsError("AccessDenied", f"Stagemaker refuses this call: {why}.", 403)
