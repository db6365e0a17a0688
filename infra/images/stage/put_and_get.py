"""Healthy only when an object that was put comes back: `stagemaker run --admin -- python put_and_get.py`."""

from __future__ import annotations

import uuid

import boto3


def main() -> None:
    """Put, get, and leave nothing behind. Raises what the clients raise."""
    s3 = boto3.client("s3")
    bucket, key, body = f"stagemaker-probe-{uuid.uuid4().hex[:12]}", "probe", uuid.uuid4().bytes
    s3.create_bucket(Bucket=bucket)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
            raise SystemExit("another object came back")
        s3.delete_object(Bucket=bucket, Key=key)
    finally:
        s3.delete_bucket(Bucket=bucket)
    boto3.client("sagemaker").list_training_jobs()


if __name__ == "__main__":
    main()
