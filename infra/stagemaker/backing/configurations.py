"""Settings of buckets and objects: checked as S3 checks them, before any backing gets to see them."""

from __future__ import annotations

from stagemaker.backing.access_block import complete_access_block
from stagemaker.backing.bucket_policy import check_bucket_policy
from stagemaker.backing.call import Call
from stagemaker.backing.lifecycle_rules import check_lifecycle, complete_lifecycle
from stagemaker.backing.s3_tags import check_bucket_tags, check_object_tags, check_tagging_header

_OF_BUCKETS = {"policy", "tagging", "lifecycle", "publicAccessBlock"}
_OF_OBJECTS = {"tagging"}


def sets_configuration(call: Call) -> bool:
    """Whether `checked_configuration` looks at the body of `call`, which then must be at hand as a whole."""
    of = _OF_OBJECTS if call.key else _OF_BUCKETS
    return call.service == "s3" and call.method == "PUT" and bool(call.bucket) and bool(of & call.query.keys())


def checked_configuration(call: Call, body: bytes) -> bytes:
    """The body of an S3 call as the backing should get it; that of other calls than settings' as it is.

    Raises AwsError in S3's words when S3 would refuse the settings, or the tags of an object to be.
    """
    check_tagging_header(call.headers.get("x-amz-tagging", ""))
    if not sets_configuration(call):
        return body
    if call.key:
        check_object_tags(body)
    elif "policy" in call.query:
        check_bucket_policy(call.bucket, body)
    elif "tagging" in call.query:
        check_bucket_tags(body)
    elif "lifecycle" in call.query:
        check_lifecycle(body)
        return complete_lifecycle(body)
    else:
        return complete_access_block(body)
    return body
