"""Lab 01, the reference in boto3: a data lake for the churn data, protected and aged."""

# %% What the workbench gives. Outside of it this stops at once, before any account is touched.
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pandas as pd
from botocore.exceptions import ClientError

bucket, data = os.environ["LAB_BUCKET"], Path(os.environ["LAB_DATA"])
today = datetime.now(UTC).date().isoformat()

s3 = boto3.client("s3")
region = s3.meta.region_name

# %% Task 1: the bucket. What counts only for later writes comes first: versioning and default encryption.
if bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
    print(f"{bucket} is there already")
elif region == "us-east-1":
    s3.create_bucket(Bucket=bucket)
else:
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
s3.put_bucket_encryption(
    Bucket=bucket,
    ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
)
s3.put_public_access_block(
    Bucket=bucket,
    PublicAccessBlockConfiguration={
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    },
)
tags = {"project": "churn", "owner": "data-team", "data-classification": "confidential"}
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})

# %% Task 2: no call without TLS, whoever makes it. The bucket and its objects are two resources.
arn = f"arn:aws:s3:::{bucket}"
tls_only = {
    "Sid": "TlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [arn, f"{arn}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls_only]}))

# The proof: the same client, told to do without TLS.
try:
    boto3.client("s3", endpoint_url=f"http://s3.{region}.amazonaws.com").list_objects_v2(Bucket=bucket)
    print("without TLS: answered, so the policy is wrong")
except ClientError as error:
    print("without TLS:", error.response["Error"]["Message"])

# %% Task 3: the raw file as it came. boto3 sends the SHA-256 along; S3 refuses bytes that do not have it.
source = data / "churn" / "customers.csv"
raw_key = f"raw/churn/ingest_date={today}/customers.csv"
good = s3.put_object(Bucket=bucket, Key=raw_key, Body=source.read_bytes(), ChecksumAlgorithm="SHA256")
print(f"{raw_key}: version {good['VersionId']}, SHA-256 {good['ChecksumSHA256']}")

# %% Task 4: the curated table, by area code. As text, so that no value is rewritten; the column goes into the key.
customers = pd.read_csv(source, dtype=str)
written = set()
for code, part in customers.groupby("area_code"):
    key = f"curated/churn/area_code={code}/part.csv"
    s3.put_object(Bucket=bucket, Key=key, Body=part.drop(columns="area_code").to_csv(index=False).encode())
    written.add(key)
    print(f"{key}: {len(part)} customers")

# What an earlier attempt left there would be read with the rest. Its versions stay, so nothing is lost by this.
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="curated/churn/"):
    for entry in page.get("Contents", []):
        if entry["Key"] not in written:
            s3.delete_object(Bucket=bucket, Key=entry["Key"])

# %% Task 5: the accident, half of the file; and the way back, the good version copied on top of it.
s3.put_object(Bucket=bucket, Key=raw_key, Body=source.read_bytes()[: source.stat().st_size // 2])
s3.copy_object(
    Bucket=bucket, Key=raw_key, CopySource={"Bucket": bucket, "Key": raw_key, "VersionId": good["VersionId"]}
)
for version in s3.list_object_versions(Bucket=bucket, Prefix=raw_key)["Versions"][:3]:
    print(version["VersionId"], version["Size"], "bytes", "(newest)" if version["IsLatest"] else "")

# %% Task 6: all rules in one call, since each call replaces what was there.
s3.put_bucket_lifecycle_configuration(
    Bucket=bucket,
    LifecycleConfiguration={
        "Rules": [
            {
                "ID": "raw-grows-cold",
                "Status": "Enabled",
                "Filter": {"Prefix": "raw/"},
                "Transitions": [
                    {"Days": 30, "StorageClass": "STANDARD_IA"},
                    {"Days": 180, "StorageClass": "GLACIER_IR"},
                ],
            },
            {
                "ID": "old-versions-expire",
                "Status": "Enabled",
                "Filter": {},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
            },
        ]
    },
)
