"""Server-side encryption of objects, as far as it shows: which key S3 says it used.

Bytes are stored as they are. The key must exist in KMS, as on AWS, and an object that asks for KMS
without naming a key gets the account's key for S3, which is made when it is first needed.
"""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from stagemaker.wire.errors import AwsError

if TYPE_CHECKING:
    from stagemaker.backing.ministack_patches import Ministack

ALGORITHM = "x-amz-server-side-encryption"
KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_KMS = "aws:kms"
_S3_ALIAS = "alias/aws/s3"


def default_encryption(ministack: Ministack, configured: dict[str, str]) -> dict[str, str]:
    """What a bucket's default encryption says of a new object; SSE-S3 where nothing is `configured`."""
    if not configured:
        return {ALGORITHM: "AES256"}
    if configured[ALGORITHM] == _KMS:
        return {**configured, KEY: _key_arn(ministack, configured.get(KEY))}
    return configured


def name_key(ministack: Ministack, headers: MutableMapping[str, str]) -> None:
    """Put the ARN of the KMS key that a write asks for into its `headers`. Raises KMS.NotFoundException."""
    if headers.get(ALGORITHM) == _KMS:
        headers[KEY] = _key_arn(ministack, headers.get(KEY))


def _key_arn(ministack: Ministack, key: str | None) -> str:
    record = ministack.kms._resolve_key(key or _S3_ALIAS)
    if record is None and key is None:
        _, _, body = ministack.kms._create_key({"Description": "Default key that protects my S3 objects"})
        made = json.loads(body)["KeyMetadata"]["KeyId"]
        ministack.kms._create_alias({"AliasName": _S3_ALIAS, "TargetKeyId": made})
        ministack.changes.services.add("kms")
        record = ministack.kms._resolve_key(_S3_ALIAS)
    if record is None:
        raise AwsError("KMS.NotFoundException", f"Key '{key}' does not exist", 400)
    return str(record["Arn"])
