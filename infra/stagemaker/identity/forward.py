"""The request as the backing must see it, after it was authenticated and authorised."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from stagemaker.identity import sigv2
from stagemaker.identity.actions import Call
from stagemaker.identity.authenticator import Authenticated
from stagemaker.identity.hoisting import lowered
from stagemaker.identity.principal import PrincipalKind
from stagemaker.identity.resources import OF_ONESELF
from stagemaker.wire.message import Request

_CREDENTIAL_HEADERS = frozenset({"authorization", "x-amz-security-token"})


def forward(request: Request, authenticated: Authenticated, call: Call) -> Request:
    """`request` without its credentials, meaning to the backing's root what it meant to its caller.

    -   The signature goes, from the headers or from the URL: the backing acts as root, and must neither
        judge it again nor take the account or the caller from it.
    -   A bucket in the Host header moves to the path, so that what was authorised is what is done.
    -   IAM calls about "myself" name the user: to the backing, root is asking.
    """
    if authenticated.presigned:
        request = lowered(request)
        query = "&".join(part for part in request.query.split("&") if part.partition("=")[0] not in sigv2.PARAMETERS)
        request = replace(request, query=query)
    headers = {name: value for name, value in request.headers.items() if name not in _CREDENTIAL_HEADERS}
    request = replace(request, headers=headers)
    if call.virtual_host:
        return _path_style(request, authenticated.region, call.bucket)
    user = authenticated.principal
    names_nobody = call.service == "iam" and call.operation in OF_ONESELF and not call.parameters.get("UserName")
    if names_nobody and user.kind is PrincipalKind.USER:
        return _add_field(request, "UserName", user.name)
    return request


def _path_style(request: Request, region: str, bucket: str) -> Request:
    path = f"/{quote(bucket)}{request.path}"
    return replace(request, path=path, headers={**request.headers, "host": f"s3.{region}.amazonaws.com"})


def _add_field(request: Request, name: str, value: str) -> Request:
    field = f"{name}={quote(value, safe='')}"
    if request.method == "GET":
        return replace(request, query=f"{request.query}&{field}")
    body = request.body + (b"&" if request.body else b"") + field.encode()
    return replace(request, body=body, headers={**request.headers, "content-length": str(len(body))})
