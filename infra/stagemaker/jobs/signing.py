"""AWS Signature Version 4 for the runner's own calls, in the standard library alone.

Importing boto3 costs a process more than half a second, more than most jobs of a lab take to train.
Source: "Create a signed AWS API request" in the IAM user guide.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

from stagemaker.ports import Credentials

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
ALGORITHM = "AWS4-HMAC-SHA256"


def sign_s3(
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    credentials: Credentials,
    region: str,
    *,
    payload_hash: str = UNSIGNED_PAYLOAD,
    extra: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, str]]:
    """The encoded target and the headers of a signed S3 request. `path` is not encoded yet.

    `extra` are more headers to sign, in lower case: S3 wants every x-amz-* header signed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": host, "x-amz-content-sha256": payload_hash, "x-amz-date": stamp, **(extra or {})}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    encoded_path = quote(path, safe="/~")
    encoded_query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    signed = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            method,
            encoded_path,
            encoded_query,
            "".join(f"{name}:{headers[name]}\n" for name in sorted(headers)),
            signed,
            payload_hash,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return f"{encoded_path}?{encoded_query}" if encoded_query else encoded_path, headers
