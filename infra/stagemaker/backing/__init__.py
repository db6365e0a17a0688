"""The services that the stage does not write itself: S3, IAM, STS, KMS, SNS, SQS, EventBridge ...

`stagemaker.backing.embedded` runs them in this process. Nothing here checks who calls: the gateway
does, and is the only way in.
"""

from stagemaker.backing.port import Backing, BackingError

__all__ = ["PRIVATE_PATHS", "Backing", "BackingError"]

PRIVATE_PATHS = ("/_ministack/", "/_localstack/", "/_aws/", "/_alb/", "/v2/")
"""Paths by which a backing's HTTP server answers to anybody. The gateway refuses them.

Only prefixes that no S3 path can have (a bucket's name has three letters or more and no underscore):
`/health`, `/latest/` and `/oauth2/` may be buckets. The embedded backing has no HTTP server and
serves none of them; they count where the backing is a server of its own.
"""
