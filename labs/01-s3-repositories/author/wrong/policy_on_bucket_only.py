"""The policy names the bucket and not its objects, which are read and written without TLS.

check: test_plain_http_refused
words: Resource names the bucket alone
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pandas as pd

bucket, source = os.environ["LAB_BUCKET"], Path(os.environ["LAB_DATA"]) / "churn" / "customers.csv"
s3 = boto3.client("s3")

s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
tags = {"project": "churn", "owner": "data-team", "data-classification": "confidential"}
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})

arn = f"arn:aws:s3:::{bucket}"
statement = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": arn,
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

raw_key = f"raw/churn/ingest_date={datetime.now(UTC).date()}/customers.csv"
good = s3.put_object(Bucket=bucket, Key=raw_key, Body=source.read_bytes(), ChecksumAlgorithm="SHA256")["VersionId"]
s3.put_object(Bucket=bucket, Key=raw_key, Body=source.read_bytes()[:1000])
s3.copy_object(Bucket=bucket, Key=raw_key, CopySource={"Bucket": bucket, "Key": raw_key, "VersionId": good})

for code, part in pd.read_csv(source, dtype=str).groupby("area_code"):
    body = part.drop(columns="area_code").to_csv(index=False).encode()
    s3.put_object(Bucket=bucket, Key=f"curated/churn/area_code={code}/part.csv", Body=body)

cold = {"Filter": {"Prefix": "raw/"}, "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}
old = {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 90}}
open_uploads = {"Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
rules = [{"Status": "Enabled", **rule} for rule in (cold, old, open_uploads)]
s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
