"""What a `scene.py` strikes with: the administrator takes away what a learner made."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from stagemaker_labs.checking import Account
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.targets import Target


def delete_bucket(account: Account) -> None:
    """Delete LAB_BUCKET with all versions, delete markers and unfinished uploads; nothing when there is no such bucket.

    Raises Problem when the bucket's own policy locks the administrator out, ClientError for all else that S3 refuses.
    """
    s3, bucket = account.client("s3"), account.bucket
    try:
        # First of all: a policy may deny the rest.
        s3.delete_bucket_policy(Bucket=bucket)
        _abort_uploads(s3, bucket)
        _delete_versions(s3, bucket)
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "AccessDenied":
            raise _locked_out(account, error) from error
        if code != "NoSuchBucket":
            raise


def _abort_uploads(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _delete_versions(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        # A page has at most 1000 entries, which is what DeleteObjects takes.
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if entries:
            named = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
            s3.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})


def _locked_out(account: Account, error: ClientError) -> Problem:
    run = Target(account.target).said("stagemaker run")
    reset = Target(account.target).said(f"stagemaker reset {account.lab.number}")
    return Problem(
        "the lab's bucket could not be deleted",
        Card(
            looked_at=f"{error.operation_name} on s3://{account.bucket} with the administrator's key",
            found="AccessDenied",
            expected="no such bucket",
            likely="the bucket's policy locks out everybody but the root",
            next=f"{run} --root -- aws s3api delete-bucket-policy --bucket {account.bucket}, then: {reset}",
        ),
    )
