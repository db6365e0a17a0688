"""Errors of calls that never reached a service, in the form that the service would use."""

from __future__ import annotations

from stagemaker.identity.refusals import Family, family_of
from stagemaker.wire.error_reply import ErrorForm, error_reply
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Reply, Request

_FORMS = {Family.S3: ErrorForm.S3, Family.QUERY: ErrorForm.QUERY}


def render_error(error: AwsError, service: str, request: Request, request_id: str) -> Reply:
    """S3's XML, the query services' XML, or AWS JSON for everything else."""
    content_type = "application/x-amz-json-1.1" if "x-amz-target" in request.headers else "application/json"
    form = _FORMS.get(family_of(request, service), ErrorForm.JSON)
    return error_reply(error, form, request_id, method=request.method, path=request.path, content_type=content_type)
