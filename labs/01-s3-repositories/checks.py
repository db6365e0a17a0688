"""What lab 01 asks of the account: the bucket and who gets in, what lies in it and how, what becomes of it.

Who gets in is tried: the same calls over TLS and without. What needs no account is judged in processes of its own:
what the curated table holds by `curated.py`, the lifecycle by `lifecycle.py`, why a call was answered by `policy.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from stagemaker_labs.checking import ASK_LIMIT, Account, after, wrong

RAW, CURATED = "raw/churn/", "curated/churn/"
RAW_KEY = re.compile(r"raw/churn/ingest_date=(\d{4}-\d{2}-\d{2})/customers\.csv")
CURATED_KEY = re.compile(r"curated/churn/(?P<column>[^=/]+)=(?P<value>[^/]+)/[^/]+\.csv")
COMING_RAW = "raw/churn/ingest_date=2999-12-31/customers.csv"
"""A raw file that is still to come: the rules must also reach the partitions of later days."""

PROBE_KEY = "raw/churn/no-such-object"
NO_ETAG = f'"{"0" * 32}"'
"""No object has it, so a write on the condition that the key has this ETag is judged like any other, and never done."""

MOST_PARTS = 100
"""More folders than this for 4,000 customers are files of a few kilobytes, each a request of its own."""

MOST_VERSIONS, LARGEST_VERSION = 50, 8 * 1024 * 1024
"""How far back the history of an object is read, and bytes of a version that is read at all."""

NEVER_SET = {
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "ServerSideEncryptionConfigurationNotFoundError",
}
ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
STRENGTH = {"": 0, "AES256": 1, "aws:kms": 2, "aws:kms:dsse": 3}
TAGS: Mapping[str, set[str]] = {"project": set(), "owner": set(), "data-classification": {"confidential", "restricted"}}
"""The tags, with the values that they may have; an empty set: any but an empty text."""


def code_of(error: ClientError) -> str:
    """S3's code of an error."""
    return str(error.response["Error"]["Code"])


class Lake:
    """The learner's bucket as it stands in the account, asked once for each run of the checks."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.bucket = account.bucket
        self.arn = f"arn:aws:s3:::{account.bucket}"
        self.s3 = account.client("s3")
        self.source = account.lab.datasets / "churn" / "customers.csv"

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer of an operation on the bucket; empty when what it asks for was never set.

        The bucket's own policy may refuse the call: that is the learner's doing.
        """
        try:
            answer = getattr(self.s3, operation)(Bucket=self.bucket, **parameters)
        except ClientError as error:
            if code_of(error) in NEVER_SET:
                return {}
            if is_refused_by_policy(error):
                self.locked_out(error.operation_name)
            raise
        return dict(answer)

    def locked_out(self, action: str) -> NoReturn:
        """Fail: the bucket's policy refuses its owner."""
        wrong(
            looked_at=f"{action} on s3://{self.bucket} with its owner's key, over TLS",
            found="AccessDenied, with an explicit deny in the bucket policy",
            expected="the owner gets in over TLS",
            likely="a Deny without a condition, or with the condition turned around, locks out its author too",
            next="delete the policy and write it again; the guide says under `Locked out` who still can",
        )

    @cached_property
    def statements(self) -> list[dict[str, Any]]:
        """The statements of the bucket policy."""
        policy = json.loads(self.ask("get_bucket_policy").get("Policy", "{}"))
        statements = policy.get("Statement", [])
        return statements if isinstance(statements, list) else [statements]

    @cached_property
    def objects(self) -> dict[str, dict[str, Any]]:
        """The current objects that hold anything, by key, as ListObjectsV2 tells them."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {entry["Key"]: entry for page in pages for entry in page.get("Contents", []) if entry["Size"]}

    @cached_property
    def raw_key(self) -> str:
        """The newest day's raw file; empty when there is none."""
        days = {match[1]: key for key in self.objects if (match := RAW_KEY.fullmatch(key)) and is_past_day(match[1])}
        return days[max(days)] if days else ""

    @cached_property
    def parts(self) -> dict[str, re.Match[str] | None]:
        """All objects of the curated table, by key; None for a key that names no partition."""
        return {key: CURATED_KEY.fullmatch(key) for key in self.objects if key.startswith(CURATED)}

    @cached_property
    def lifecycle(self) -> dict[str, Any]:
        """The cards of `lifecycle.py`, by finding, on a raw file that is still to come and on the curated parts."""
        rules = self.ask("get_bucket_lifecycle_configuration").get("Rules", [])
        parts = {key: self.objects[key]["Size"] for key in self.parts} or {f"{CURATED}part.csv": 1}
        question = {"rules": rules, "sizes": {COMING_RAW: self.source.stat().st_size, **parts}}
        return self.account.isolated("lifecycle.py", json.loads(json.dumps(question, default=str)))

    def must_be_readable(self, key: str) -> None:
        """Fail if the object lies in an archive."""
        if self.objects[key].get("StorageClass") in ARCHIVED:
            wrong(
                looked_at=f"s3://{self.bucket}/{key}",
                found=f"stored as {self.objects[key]['StorageClass']}",
                expected="a class that can be read at once",
                likely="what is archived answers InvalidObjectState until it is restored, for minutes to days",
                next="upload it without StorageClass: a lifecycle rule moves it when it is old",
            )

    def history(self, key: str) -> list[dict[str, Any]]:
        """The versions and delete markers of `key`, newest first."""
        answer = self.ask("list_object_versions", Prefix=key, MaxKeys=MOST_VERSIONS)
        entries = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
        found = [entry for entry in entries if entry["Key"] == key]
        return sorted(found, key=lambda entry: (entry["IsLatest"], entry["LastModified"]), reverse=True)

    def content(self, key: str, version: str | None = None) -> bytes:
        """The bytes of an object, or of one version of it."""
        chosen = {"VersionId": version} if version else {}
        body = self.ask("get_object", Key=key, **chosen)["Body"]
        with body:
            return bytes(body.read())


def is_past_day(text: str) -> bool:
    """Whether `text` is a date that has begun somewhere on earth."""
    try:
        return date.fromisoformat(text) <= (datetime.now(UTC) + timedelta(hours=14)).date()
    except ValueError:
        return False


def is_refused_by_policy(error: ClientError) -> bool:
    """Whether S3 says that the bucket's own policy denies the call, and not a policy of the key's."""
    return code_of(error) == "AccessDenied" and "in a resource-based policy" in str(error)


def probe(s3: Any, bucket: str) -> dict[str, bool]:
    """Whether S3 refuses to list the bucket, to read and to write an object; nothing is changed by it.

    Raises ClientError for an answer that is neither a refusal nor what an authorised caller is told.
    """
    key = {"Bucket": bucket, "Key": PROBE_KEY}
    refused = {}
    for action, call, parameters in (
        ("s3:ListBucket", s3.list_objects_v2, {"Bucket": bucket, "MaxKeys": 1}),
        ("s3:GetObject", s3.get_object, key),
        ("s3:PutObject", s3.put_object, {**key, "IfMatch": NO_ETAG}),
    ):
        try:
            call(**parameters)
            refused[action] = False
        except ClientError as error:
            refused[action] = code_of(error) == "AccessDenied"
            if code_of(error) not in {"AccessDenied", "NoSuchKey", "PreconditionFailed"}:
                raise
    return refused


def without_tls(account: Account) -> Any:
    """An S3 client that speaks plain HTTP to AWS's own host; a stage has that host behind its proxy."""
    import boto3
    from botocore.config import Config

    options: dict[str, Any] = {
        "ignore_configured_endpoint_urls": True,
        "proxies": {"http": account.proxy} if account.proxy else None,
        "connect_timeout": ASK_LIMIT,
        "read_timeout": ASK_LIMIT,
        "retries": {"total_max_attempts": 2, "mode": "standard"},
    }
    config = Config(**options)
    return boto3.client("s3", region_name=account.region, use_ssl=False, config=config)


@pytest.fixture(scope="module")
def lake(account: Account) -> Lake:
    """The learner's bucket."""
    return Lake(account)


def test_owner_gets_in(lake: Lake) -> None:
    """the bucket is there, and lets its owner in over TLS"""
    try:
        lake.ask("head_bucket")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            wrong(
                looked_at=f"s3://{lake.bucket}",
                found="no bucket of that name",
                expected="the lake's bucket",
                likely="the bucket is still to be made, or has another name",
                next="create_bucket(Bucket=os.environ['LAB_BUCKET'])",
            )
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
    lake.ask("list_objects_v2", MaxKeys=1)
    for action, refused in probe(lake.s3, lake.bucket).items():
        if refused:
            lake.locked_out(action)
    lake.ask("get_bucket_policy")


@after(test_owner_gets_in)
def test_public_access_blocked(lake: Lake) -> None:
    """all four blocks of public access are on"""
    blocks = lake.ask("get_public_access_block").get("PublicAccessBlockConfiguration", {})
    off = [name for name in BLOCKS if not blocks.get(name)]
    if off:
        wrong(
            looked_at=f"the public access block of {lake.bucket}",
            found=f"off: {', '.join(off)}" if blocks else "no public access block: it was deleted",
            expected="all four on",
            likely="a call sets all four at once: one that it does not name is off from then on",
            next="put_public_access_block with all four as True",
        )


@after(test_owner_gets_in)
def test_versioning_on(lake: Lake) -> None:
    """the bucket keeps old versions"""
    status = lake.ask("get_bucket_versioning").get("Status")
    if status != "Enabled":
        wrong(
            looked_at=f"versioning of {lake.bucket}",
            found=status or "never turned on",
            expected="Enabled",
            likely="an overwrite now replaces the bytes for good"
            if status is None
            else "while versioning is suspended an overwrite replaces the version `null` for good",
            next="put_bucket_versioning, before the first upload",
        )


@after(test_owner_gets_in)
def test_plain_http_refused(lake: Lake) -> None:
    """calls without TLS are refused, whoever makes them"""
    calls = {
        action: {"refused": refused, "resource": lake.arn if action == "s3:ListBucket" else f"{lake.arn}/{PROBE_KEY}"}
        for action, refused in probe(without_tls(lake.account), lake.bucket).items()
    }
    card = lake.account.isolated("policy.py", {"statements": lake.statements, "calls": calls})["card"]
    if card:
        wrong(**card)


@after(test_owner_gets_in)
def test_raw_partitioned(lake: Lake) -> None:
    """the raw file lies in the folder of the day on which it came"""
    if lake.raw_key:
        lake.must_be_readable(lake.raw_key)
        return
    expected = f"{RAW}ingest_date=YYYY-MM-DD/customers.csv, of a day that is not in the future"
    history = lake.ask("list_object_versions", Prefix=RAW)
    gone = [each["Key"] for each in history.get("DeleteMarkers", []) if each["IsLatest"]]
    deleted = [key for key in gone if RAW_KEY.fullmatch(key)]
    if deleted:
        wrong(
            looked_at=f"s3://{lake.bucket}/{deleted[-1]}",
            found="its newest version is a delete marker, so nobody finds the object",
            expected="the right bytes as the newest version",
            likely="a delete without a version id takes nothing back: it puts a marker on top of the bad version",
            next="copy the good version over it: copy_object with its VersionId in CopySource",
        )
    stored = sorted(key for key in lake.objects if key.startswith("raw/"))
    wrong(
        looked_at=f"s3://{lake.bucket}/raw/",
        found=", ".join(stored[:3]) or "no object",
        expected=expected,
        likely="without a partition in the key the next delivery overwrites this one, and a reader must read everything"
        if stored
        else "the upload is still to be written, or went to another key",
        next=f"upload customers.csv to {RAW}ingest_date=.../customers.csv",
    )


@after(test_raw_partitioned)
def test_raw_identical(lake: Lake) -> None:
    """the raw file is the source, byte for byte"""
    source, stored = lake.source.read_bytes(), lake.content(lake.raw_key)
    if stored == source:
        return
    older = [each for each in lake.history(lake.raw_key)[1:] if each.get("Size") == len(source)]
    good = [each["VersionId"] for each in older if lake.content(lake.raw_key, each["VersionId"]) == source]
    if good:
        likely = f"the bad overwrite is not undone: version {good[0]} holds the right bytes, the newest does not"
        step = "copy the good version over the object: copy_object with its VersionId in CopySource"
    else:
        likely, step = why_different(source, stored), "upload the file itself: raw data are kept as they came"
    wrong(
        looked_at=f"s3://{lake.bucket}/{lake.raw_key}",
        found=f"{len(stored):,} bytes, not the {len(source):,} bytes of customers.csv",
        expected="the bytes of customers.csv",
        likely=likely,
        next=step,
    )


def why_different(source: bytes, stored: bytes) -> str:
    """The likely reason for which `stored` is not `source`."""
    text = stored.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if text == source:
        added = [
            words
            for words, is_there in (
                ("a byte-order mark stands in front", stored.startswith(b"\xef\xbb\xbf")),
                ("the lines end in CR LF", b"\r\n" in stored),
            )
            if is_there
        ]
        return f"a program read the table and wrote it anew: {', '.join(added)}"
    if source.startswith(stored):
        return "the file was cut"
    if len(text.splitlines()) == len(source.splitlines()):
        return "a program read the table and wrote it anew, line by line different"
    return "another file was uploaded"


@after(test_raw_identical)
def test_raw_checksum(lake: Lake) -> None:
    """S3 keeps the raw file's SHA-256, and it is the source's"""
    head = lake.ask("head_object", Key=lake.raw_key, ChecksumMode="ENABLED")
    checksum = head.get("ChecksumSHA256", "")
    if checksum == base64.b64encode(hashlib.sha256(lake.source.read_bytes()).digest()).decode():
        return
    others = sorted(name for name in head if name.startswith("Checksum") and name != "ChecksumType")
    parts = head.get("ChecksumType") == "COMPOSITE"
    wrong(
        looked_at=f"the checksums that S3 keeps of {lake.raw_key}",
        found=checksum or ", ".join(others) or "no checksum",
        expected="ChecksumSHA256 of the whole file",
        likely="the file was sent in parts, so this is a checksum of checksums"
        if parts
        else "clients add a CRC by themselves; a SHA-256 has to be asked for, a note in the metadata is not verified",
        next="put_object(..., ChecksumAlgorithm='SHA256'), and the good bytes once more",
    )


@after(test_owner_gets_in)
def test_curated_partitioned(lake: Lake) -> None:
    """the curated table lies in folders, one for each value of one column"""
    expected = f"{CURATED}COLUMN=VALUE/part.csv for every object, COLUMN one of the table's"
    if not lake.parts:
        wrong(
            looked_at=f"s3://{lake.bucket}/{CURATED}",
            found="no object that holds anything",
            expected=expected,
            likely="the table is still to be written, or went to another prefix",
            next=f"write one CSV for each area code, to {CURATED}area_code=.../part.csv",
        )
    flat = [key for key, match in lake.parts.items() if match is None]
    if flat:
        wrong(
            looked_at=f"s3://{lake.bucket}/{flat[0]}",
            found="no `column=value` folder in the key"
            if "=" not in flat[0]
            else "not the one level of folders that the lab asks for",
            expected=expected,
            likely="a reader who wants one area code must open every file: only folders name what is inside",
            next="put `area_code=VALUE` into the key, and delete what lies there under other keys",
        )
    columns = sorted({match["column"] for match in lake.parts.values() if match})
    header = lake.source.read_text(encoding="utf-8").partition("\n")[0].split(",")
    if len(columns) > 1 or columns[0] not in header:
        wrong(
            looked_at=f"the folders under {CURATED}",
            found=f"partitioned by {', '.join(columns)}",
            expected=f"one column of the table, such as {header[2]}",
            likely="files of an earlier attempt are still there"
            if len(columns) > 1
            else "the name in the folder is not the column's",
            next="delete what does not belong there, and name the folders as the column is named",
        )
    if len(lake.parts) > MOST_PARTS:
        size = sum(lake.objects[key]["Size"] for key in lake.parts)
        wrong(
            looked_at=f"s3://{lake.bucket}/{CURATED}",
            found=f"{len(lake.parts):,} objects, of {size:,} bytes in all",
            expected=f"{MOST_PARTS} at most",
            likely=f"`{columns[0]}` has too many values: small files cost more requests than they save reading",
            next="partition by a column of few values that readers ask for: area_code, or state",
        )
    for key in lake.parts:
        lake.must_be_readable(key)


@after(test_curated_partitioned)
def test_customers_once(lake: Lake) -> None:
    """the curated table holds every customer once, each in the right folder"""
    matches = {key: match for key, match in lake.parts.items() if match}
    paths = {key: lake.account.download(lake.bucket, key) for key in matches}
    parts = [{"key": key, "value": unquote(match["value"]), "path": str(paths[key])} for key, match in matches.items()]
    column = next(iter(matches.values()))["column"]
    asked = {"source": str(lake.source), "column": column, "parts": parts}
    card = lake.account.isolated("curated.py", asked)["card"]
    if card:
        wrong(**card)


@after(test_raw_partitioned, test_curated_partitioned)
def test_encrypted(lake: Lake) -> None:
    """every object is encrypted as the bucket's default says"""
    configured = lake.ask("get_bucket_encryption").get("ServerSideEncryptionConfiguration", {})
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in configured.get("Rules", [])]
    default = str(defaults[0].get("SSEAlgorithm", "")) if defaults else ""
    if not default:
        wrong(
            looked_at=f"the default encryption of {lake.bucket}",
            found="none",
            expected="AES256 (SSE-S3) or aws:kms (SSE-KMS)",
            likely="no default was set, and this account adds none by itself",
            next="put_bucket_encryption",
        )
    for key in (lake.raw_key, *lake.parts):
        found = str(lake.ask("head_object", Key=key).get("ServerSideEncryption", ""))
        if STRENGTH.get(found, 0) < STRENGTH.get(default, 0):
            wrong(
                looked_at=f"s3://{lake.bucket}/{key}",
                found=f"encrypted with {found or 'a key that S3 does not know'}; the bucket's default is {default}",
                expected=f"{default}, or stronger",
                likely="a new default counts for new objects only: what was there before stays as it was written",
                next="set the default before the first upload; what is there already, copy over itself",
            )


@after(test_versioning_on, test_raw_identical, test_customers_once)
def test_restored(lake: Lake) -> None:
    """a bad overwrite was undone, and the history shows it"""
    for key in (lake.raw_key, *lake.parts):
        if shows_restoration(digests(lake, key)):
            return
    history = lake.history(lake.raw_key)
    versions = [each["VersionId"] for each in history if "Size" in each]
    markers = len(history) - len(versions)
    wrong(
        looked_at=f"the versions of {lake.raw_key} and of {len(lake.parts)} curated parts",
        found=f"{len(versions)} of the raw file{f' and {markers} delete markers' if markers else ''}: "
        "nowhere a version of other bytes between two of the right ones",
        expected="the right version, a bad one over it, the right bytes again as the newest",
        likely="nothing was overwritten yet, or the bad version was deleted for good, and the history no longer tells",
        next="overwrite customers.csv with a broken file, then copy_object the old version (VersionId) over it",
    )


def digests(lake: Lake, key: str) -> list[str]:
    """A digest of each version of `key`, newest first. Delete markers and versions too large to read are left out."""
    versions = [each for each in lake.history(key) if each.get("Size", LARGEST_VERSION) < LARGEST_VERSION]
    if len(versions) < 3:  # what cannot show anything need not be read
        return []
    return [hashlib.sha256(lake.content(key, each["VersionId"])).hexdigest() for each in versions]


def shows_restoration(newest_first: Sequence[str]) -> bool:
    """Whether the newest bytes were there before, with other bytes in between."""
    between = False
    for digest in newest_first[1:]:
        if digest == newest_first[0] and between:
            return True
        between = between or digest != newest_first[0]
    return False


@after(test_owner_gets_in)
def test_raw_grows_cold(lake: Lake) -> None:
    """raw files move to a colder storage class after some days"""
    judge(lake, "raw_grows_cold")


@after(test_owner_gets_in)
def test_old_versions_expire(lake: Lake) -> None:
    """old versions are deleted after some days, of raw and of curated objects"""
    judge(lake, "old_versions_expire")


@after(test_owner_gets_in)
def test_uploads_aborted(lake: Lake) -> None:
    """uploads that never end are aborted"""
    judge(lake, "uploads_aborted")


@after(test_owner_gets_in)
def test_current_data_kept(lake: Lake) -> None:
    """no rule takes current data away: nothing expires, and curated files can be read at once"""
    judge(lake, "current_data_kept")


def judge(lake: Lake, finding: str) -> None:
    """Fail with the card that `lifecycle.py` gave for `finding`, if it gave one."""
    card = lake.lifecycle[finding]
    if card:
        wrong(**card)


@after(test_owner_gets_in)
def test_tags(lake: Lake) -> None:
    """the bucket's tags say whose it is and how sensitive its data are"""
    tags = {tag["Key"]: tag["Value"] for tag in lake.ask("get_bucket_tagging").get("TagSet", [])}
    missing = [name for name in TAGS if not tags.get(name, "").strip()]
    looked_at = f"the tags of the bucket {lake.bucket}"
    if missing:
        wrong(
            looked_at=looked_at,
            found=f"missing: {', '.join(missing)}; there: {', '.join(tags) or 'no tag'}",
            expected=f"{', '.join(TAGS)}, each with a value",
            likely="put_bucket_tagging replaces all tags: the last call's are the only ones"
            if tags
            else "no tags were set, or on objects only: those of the bucket are tags of their own",
            next="put_bucket_tagging with all tags in one TagSet",
        )
    for name, values in TAGS.items():
        if values and tags[name] not in values:
            wrong(
                looked_at=looked_at,
                found=f"{name} = {tags[name]}",
                expected=" or ".join(sorted(values)),
                likely="each row is one customer's habits: that is nothing for everyone in the company",
                next=f"set {name} to one of these",
            )
