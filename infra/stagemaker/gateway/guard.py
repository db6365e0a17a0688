"""What never gets in: web pages, other machines' names, the backing's private paths.

The stage listens on loopback, but any web page in the user's browser can reach loopback too. A page
cannot choose the Host header of its request, so a name that was made to resolve to loopback shows. Where
a call comes from shows in three ways, as none is always there:

-   Origin: on every call that a script may read the answer of and on every POST, but not on the plain GET
    of an image, a form or a no-cors `fetch`.
-   Sec-Fetch-Site: on every call of a current browser, and no page can change it.
-   Referer: unless the page asks for none.

A browser that is too old for Sec-Fetch-Site may read an object's address, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qs, unquote, urlsplit

from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Request

_LOOPBACK = re.compile(r"(?:[a-z0-9.\-]+\.)?localhost|127\.0\.0\.1|\[::1\]", re.IGNORECASE)
_AWS = re.compile(r"(?:[a-z0-9.\-]+\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)", re.IGNORECASE)
_CONTROL = "/_stagemaker/"

# Of Fetch Metadata (W3C): the user's own doing, such as a typed address, and pages of the stage itself.
# `same-site` is another port of this machine: anybody's notebook, not the stage.
_TRUSTED_SITES = frozenset({"none", "same-origin"})


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
    _check_browser(request, host)
    path = unquote(request.path)
    if any(path == private.rstrip("/") or path.startswith(private) for private in private_paths):
        raise _denied(f"{path} is not part of AWS's API")


def _check_browser(request: Request, host: str) -> None:
    """Raise AccessDenied for a call that a page of somebody else's had a browser make."""
    for name in ("origin", "referer"):
        if (page := request.headers.get(name)) and not _same_origin(page, host):
            raise _denied(f"the call comes from a web page ({page})")
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _TRUSTED_SITES:
        raise _denied(f"the call comes from a web page (Sec-Fetch-Site: {site})")
    # All browsers call themselves Mozilla, and no AWS client does. Query services (IAM, SQS ...) take writes by GET.
    if site is None and request.headers.get("user-agent", "").startswith("Mozilla/"):
        reads = request.method in {"GET", "HEAD"} and "Action" not in parse_qs(request.query, keep_blank_values=True)
        if not reads:
            raise _denied("a browser that does not say which page it calls for (Sec-Fetch-Site) may only read objects")


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
