"""Lab 01's judgements on lakes that no wrong work of the lab produces."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker_labs.checking import Wrong
from stagemaker_labs.isolation import ask

LAB = Path(__file__).parents[2] / "labs" / "01-s3-repositories"
SOURCE = LAB.parents[1] / "datasets" / "churn" / "customers.csv"
RAW = "raw/churn/ingest_date=2999-12-31/customers.csv"
PART = "curated/churn/area_code=area_code_408/part.csv"
BUCKET = "arn:aws:s3:::lake"

Statement = dict[str, Any]
ColumnsAndRows = tuple[list[str], list[list[str]]]


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """The lab's checks.py as a module."""
    spec = importlib.util.spec_from_file_location("lab_01_checks", LAB / "checks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_of(card: dict[str, str] | None) -> str:
    """All words of a card; empty when there is none."""
    return " | ".join((card or {}).values())


# The lifecycle


def rule(**members: Any) -> dict[str, Any]:
    """An enabled rule for every key, with `members` put over it."""
    return {"ID": "r", "Status": "Enabled", "Filter": {}, **members}


def cards_of(*rules: dict[str, Any]) -> dict[str, str]:
    """What lifecycle.py finds wrong with `rules`, by finding; nothing for what is right."""
    answer = ask(
        LAB / "lifecycle.py", {"rules": list(rules), "sizes": {RAW: 364_969, PART: 95_000, "curated/x": 10}}, timeout=20
    )
    return {name: words_of(card) for name, card in answer.items() if card}


COLD = {"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}
OLD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
UPLOADS = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
REST = rule(**OLD, **UPLOADS)
TAG = {"Key": "team", "Value": "data"}


@pytest.mark.parametrize(
    "rules",
    [
        [rule(**COLD, **OLD, **UPLOADS)],
        [{"ID": "old form", "Status": "Enabled", "Prefix": "raw/", **COLD}, REST],
        [rule(Filter={"And": {"Prefix": "raw/", "ObjectSizeGreaterThan": 1000}}, **COLD), REST],
        [rule(Transitions=[{"Days": 0, "StorageClass": "INTELLIGENT_TIERING"}]), REST],
        [rule(**COLD), REST, rule(Filter={"Prefix": "tmp/"}, Expiration={"Days": 1})],
        [rule(**COLD), REST, rule(Expiration={"ExpiredObjectDeleteMarker": True})],
        [rule(**COLD), REST, rule(Status="Disabled", Expiration={"Days": 1})],
        [rule(Filter={"Prefix": "raw/"}, Transitions=[{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}]), REST],
        [rule(**COLD), *(rule(Filter={"Prefix": prefix}, **OLD, **UPLOADS) for prefix in ("raw/", "curated/"))],
    ],
)
def test_honest_lifecycles_pass(rules: list[dict[str, Any]]) -> None:
    """Any set of rules with the effect passes, however it is written."""
    assert cards_of(*rules) == {}


@pytest.mark.parametrize(
    ("rules", "finding", "words"),
    [
        ([], "raw_grows_cold", "still to be written"),
        ([rule(Status="Disabled", **COLD), REST], "raw_grows_cold", "Status is Disabled"),
        ([rule(Filter={"Tag": TAG}, **COLD), REST], "raw_grows_cold", "wants a tag"),
        ([rule(Filter={"And": {"Prefix": "raw/", "Tags": [TAG]}}, **COLD)], "raw_grows_cold", "wants a tag"),
        ([rule(Filter={"ObjectSizeGreaterThan": 1_000_000}, **COLD)], "raw_grows_cold", "its sizes"),
        ([rule(Filter={"ObjectSizeLessThan": 364_969}, **COLD)], "raw_grows_cold", "its sizes"),
        ([rule(Filter={"Prefix": "raw/churn/ingest_date=2026-11-23/"}, **COLD)], "raw_grows_cold", "coming days"),
        (
            [rule(Transitions=[{"Date": "2027-01-01", "StorageClass": "GLACIER_IR"}])],
            "raw_grows_cold",
            "a fixed date",
        ),
        ([rule(Filter={"Prefix": PART}, **OLD)], "old_versions_expire", "leave out objects of raw/"),
        ([rule(Filter={"Prefix": "raw/"}, **UPLOADS)], "uploads_aborted", "leave out objects of curated/"),
        ([rule(Filter={"Tag": TAG}, Expiration={"Days": 9})], "current_data_kept", "deletes current objects of raw/"),
        ([rule(Expiration={"Date": "2027-01-01"})], "current_data_kept", "Expiration 2027-01-01"),
        (
            [rule(Filter={"Prefix": "curated/"}, Transitions=[{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}])],
            "current_data_kept",
            "to DEEP_ARCHIVE",
        ),
    ],
)
def test_lifecycles_that_miss_their_effect(rules: list[dict[str, Any]], finding: str, words: str) -> None:
    """A rule that is off, too narrow or too wide is found, and the card says in which way."""
    assert words in cards_of(*rules)[finding]


# The bucket policy


def statement(**members: Any) -> Statement:
    """A Deny of all plain calls for everyone, with `members` put over it."""
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [BUCKET, f"{BUCKET}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        **members,
    }


def policy_words(statements: Iterable[Statement], answered: Iterable[str] = ()) -> str:
    """What policy.py says of `statements` when S3 answered the actions `answered` and refused the others."""
    actions = {"s3:ListBucket": BUCKET, "s3:GetObject": f"{BUCKET}/k", "s3:PutObject": f"{BUCKET}/k"}
    calls = {name: {"resource": resource, "refused": name not in answered} for name, resource in actions.items()}
    return words_of(ask(LAB / "policy.py", {"statements": list(statements), "calls": calls}, timeout=20)["card"])


def without(name: str, **members: Any) -> Statement:
    """The statement without one of its elements."""
    return {key: value for key, value in statement(**members).items() if key != name}


@pytest.mark.parametrize(
    "statements",
    [
        [statement()],
        [statement(Principal={"AWS": "*"}, Condition={"BoolIfExists": {"AWS:securetransport": ["false"]}})],
        [statement(Resource=BUCKET), statement(Resource=f"{BUCKET}/*", Action=["s3:Get*", "S3:putobject"])],
        [without("Action", NotAction="s3:DeleteBucketPolicy")],
        [without("Resource", NotResource="arn:aws:s3:::other")],
        [statement(Principal={"AWS": "arn:aws:iam::123456789012:user/me"}), statement()],
    ],
)
def test_policies_for_everyone_pass(statements: list[Statement]) -> None:
    """Whatever way a policy is written, a Deny that everyone meets is one."""
    assert policy_words(statements) == ""


@pytest.mark.parametrize(
    "statements",
    [
        [without("Principal", NotPrincipal={"AWS": "arn:aws:iam::123456789012:user/me"})],
        [statement(Principal={"AWS": ["arn:aws:iam::123456789012:root"]})],
        [statement(Condition={"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:username": "me"}})],
        [statement(Resource=BUCKET), statement(Resource=f"{BUCKET}/*", Principal={"Service": "ec2.amazonaws.com"})],
    ],
)
def test_policies_for_some_are_found(statements: list[Statement]) -> None:
    """Plain calls of the learner's own are refused, and somebody else's might not be."""
    assert "those of all others are not" in policy_words(statements)


@pytest.mark.parametrize(
    ("statements", "answered", "words"),
    [
        ([], ["s3:ListBucket", "s3:GetObject", "s3:PutObject"], "there is no bucket policy"),
        ([statement(Resource=f"{BUCKET}/*")], ["s3:ListBucket"], "names the objects alone"),
        ([statement(Action="s3:GetObject")], ["s3:ListBucket", "s3:PutObject"], "leaves out others"),
        (
            [statement(Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}})],
            ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
            "the condition is not",
        ),
        ([statement(Action=["s3:GetObject", "s3:ListBucket"])], [], "none denies s3:PutObject"),
        ([statement(Resource=BUCKET), statement(Resource=f"{BUCKET}/[k]")], [], "none denies s3:GetObject"),
    ],
)
def test_why_plain_calls_were_answered(statements: list[Statement], answered: list[str], words: str) -> None:
    """The card names the element that lets them pass, also when S3 refused for another right that a write needs."""
    assert words in policy_words(statements, answered)


# The curated table


@pytest.fixture(scope="module")
def table() -> ColumnsAndRows:
    """The customer table as text: its columns and its rows."""
    columns, *rows = (line.split(",") for line in SOURCE.read_text(encoding="utf-8").splitlines())
    return columns, rows


Change = Callable[[list[str], dict[str, list[list[str]]]], None]


@pytest.fixture
def curate(table: ColumnsAndRows, tmp_path: Path) -> Callable[[Change], str]:
    """Write the table by area code, as `change` leaves the header and each area's rows; what curated.py says of it."""

    def judge(change: Change) -> str:
        header, rows = table[0].copy(), [row.copy() for row in table[1]]
        areas: dict[str, list[list[str]]] = {}
        for row in rows:
            areas.setdefault(row[2], []).append(row)
        change(header, areas)
        parts = []
        for value, kept in areas.items():
            lines = [header, *kept] if header else kept
            path = tmp_path / value
            path.write_bytes("\n".join(map(",".join, lines)).encode("latin-1"))
            parts.append({"key": f"curated/churn/area_code={value}/part.csv", "value": value, "path": str(path)})
        question = {"source": str(SOURCE), "column": "area_code", "parts": parts}
        return words_of(ask(LAB / "curated.py", question, timeout=20)["card"])

    return judge


def drop_column(place: int) -> Change:
    """Leave out one column."""

    def change(header: list[str], areas: dict[str, list[list[str]]]) -> None:
        for row in (header, *(row for rows in areas.values() for row in rows)):
            del row[place]

    return change


def turn_around(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write columns and rows in the opposite order."""
    for rows in areas.values():
        rows.reverse()
        for row in rows:
            row.reverse()
    header.reverse()


def shorten_numbers(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write 10.0 as 10, and leave an empty line."""
    for rows in areas.values():
        rows[:] = [[cell.removesuffix(".0") for cell in row] for row in rows]
        rows.append([""])


@pytest.mark.parametrize("change", [lambda *_: None, drop_column(2), turn_around, shorten_numbers])
def test_honest_curated_tables_pass(curate: Callable[[Change], str], change: Change) -> None:
    """With or without the partition's column, in any order, numbers in any form."""
    assert curate(change) == ""


def insert_index(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write pandas' index in front."""
    header.insert(0, "")
    for rows in areas.values():
        for number, row in enumerate(rows):
            row.insert(0, str(number))


def change_cell(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Change the minutes of one customer."""
    areas["area_code_408"][4][6] = "1.5"


def move_row(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Put one customer into another area's file."""
    areas["area_code_415"].append(areas["area_code_408"].pop())


def repeat_row(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write one customer twice."""
    areas["area_code_510"].append(areas["area_code_510"][0])


def leave_out_area(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Forget one part."""
    del areas["area_code_510"]


def cut_line(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """End one file within a line."""
    del areas["area_code_408"][-1][5:]


def spoil_bytes(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write bytes that are no UTF-8."""
    areas["area_code_408"][0][0] = "\xff"


def leave_no_header(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write no header."""
    header.clear()


def empty_part(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Write files of one empty line."""
    header[:] = [""]


def rename_area(header: list[str], areas: dict[str, list[list[str]]]) -> None:
    """Name a folder otherwise than the rows do."""
    areas["408"] = areas.pop("area_code_408")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (leave_no_header, "the header row was left out"),
        (empty_part, "the header row was left out"),
        (drop_column(6), "columns are missing: `total_day_minutes`"),
        (insert_index, "the table's index was written too"),
        (change_cell, "no customer of the table"),
        (move_row, "a customer whose area_code is area_code_408"),
        (rename_area, "the folder's name does not come from"),
        (repeat_row, "1 customers stand there more than once | every customer once | rows were repeated"),
        (leave_out_area, "995 customers are missing: 995 of area_code area_code_510"),
        (cut_line, "the file was cut or damaged"),
        (spoil_bytes, "no CSV: 'utf-8' codec"),
    ],
)
def test_damaged_curated_tables_are_found(curate: Callable[[Change], str], change: Change, words: str) -> None:
    """The card names the file and what is wrong with it."""
    assert words in curate(change)


# What is asked of S3


def refusal(code: str, message: str = "") -> ClientError:
    """S3's answer to a call that it does not carry out."""
    status = 403 if code in {"AccessDenied", "403"} else 404
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Call")


class RefusingS3:
    """An S3 client whose calls raise `error`, but for those that `answers` names."""

    def __init__(self, error: ClientError, **answers: Any) -> None:
        self._error, self._answers = error, answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**_: object) -> Any:
            if name in self._answers:
                return self._answers[name]
            raise self._error

        return call


def lake_of(checks: ModuleType, s3: RefusingS3) -> Any:
    """The checks' lake on such a client."""
    lab = SimpleNamespace(datasets=LAB.parents[1] / "datasets")
    return checks.Lake(SimpleNamespace(bucket="lake", lab=lab, client=lambda _: s3))


BY_POLICY = "User: me is not authorized to perform: it with an explicit deny in a resource-based policy"


def test_bucket_that_denies_its_owner_everything(checks: ModuleType) -> None:
    """A policy that refuses every call, HeadBucket without a word, is the learner's mistake and told as such."""

    class LockedS3(RefusingS3):
        def head_bucket(self, **_: object) -> None:
            raise refusal("403", "Forbidden")

    with pytest.raises(Wrong) as caught:
        checks.test_owner_gets_in(lake_of(checks, LockedS3(refusal("AccessDenied", BY_POLICY))))
    assert "locks out its author" in caught.value.card.likely


def test_key_without_permissions_is_no_finding(checks: ModuleType) -> None:
    """When the key's own policies refuse, or the bucket is somebody else's, the check could not be made."""
    by_identity = refusal("AccessDenied", "because no identity-based policy allows the s3:ListBucket action")
    with pytest.raises(ClientError):
        checks.test_owner_gets_in(lake_of(checks, RefusingS3(by_identity)))


def test_missing_bucket_is_a_finding(checks: ModuleType) -> None:
    """Nothing was made yet."""
    with pytest.raises(Wrong) as caught:
        checks.test_owner_gets_in(lake_of(checks, RefusingS3(refusal("404"))))
    assert caught.value.card.found == "no bucket of that name"


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey", "PreconditionFailed"])
def test_probe_tells_refused_from_answered(checks: ModuleType, code: str) -> None:
    """A missing key and a condition that does not hold are answers: the call was let in."""
    refused = checks.probe(RefusingS3(refusal(code), list_objects_v2={}), "lake")
    assert refused == {
        "s3:ListBucket": False,
        "s3:GetObject": code == "AccessDenied",
        "s3:PutObject": code == "AccessDenied",
    }


def test_probe_passes_on_what_is_neither(checks: ModuleType) -> None:
    """A proxy that refuses, or a signature that does not match, says nothing about the policy."""
    with pytest.raises(ClientError):
        checks.probe(RefusingS3(refusal("SignatureDoesNotMatch")), "lake")


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({}, "it was deleted"),
        ({"PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "IgnorePublicAcls": False}}, "IgnorePublicAcls"),
    ],
)
def test_public_access_blocks_that_are_off(checks: ModuleType, blocks: dict[str, Any], words: str) -> None:
    """A block that is False, absent or deleted with the others is off."""
    s3 = RefusingS3(
        refusal("NoSuchPublicAccessBlockConfiguration"), **({"get_public_access_block": blocks} if blocks else {})
    )
    with pytest.raises(Wrong) as caught:
        checks.test_public_access_blocked(lake_of(checks, s3))
    assert words in caught.value.card.found


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"project": "churn", "owner": " "}, "missing: owner, data-classification; there: project, owner"),
        ({"project": "churn", "owner": "me", "data-classification": "public"}, "data-classification = public"),
    ],
)
def test_tags_that_say_too_little(checks: ModuleType, tags: dict[str, str], words: str) -> None:
    """An empty value is none, and customers' data are not public."""
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    s3 = RefusingS3(refusal("NoSuchTagSet"), get_bucket_tagging={"TagSet": tag_set})
    with pytest.raises(Wrong) as caught:
        checks.test_tags(lake_of(checks, s3))
    assert caught.value.card.found == words


def test_suspended_versioning_is_found(checks: ModuleType) -> None:
    """Suspended is not Enabled: overwrites lose what was there."""
    s3 = RefusingS3(refusal("404"), get_bucket_versioning={"Status": "Suspended"})
    with pytest.raises(Wrong) as caught:
        checks.test_versioning_on(lake_of(checks, s3))
    assert caught.value.card.found == "Suspended"


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_object_in_an_archive_is_found(checks: ModuleType, storage_class: str) -> None:
    """What nobody can read at once is told before anyone tries to read it."""
    lake = lake_of(checks, RefusingS3(refusal("404")))
    lake.objects = {RAW: {"Key": RAW, "Size": 1, "StorageClass": storage_class}}
    with pytest.raises(Wrong) as caught:
        lake.must_be_readable(RAW)
    assert caught.value.card.found == f"stored as {storage_class}"


@pytest.mark.parametrize(
    ("newest_first", "shown"),
    [
        (["good", "bad", "good"], True),
        (["good", "good", "worse", "bad", "good"], True),
        (["good", "bad"], False),
        (["good", "good", "good"], False),
        (["bad", "good", "good"], False),
        ([], False),
    ],
)
def test_history_that_shows_a_restoration(checks: ModuleType, newest_first: list[str], shown: bool) -> None:
    """The newest bytes were there before, and others in between."""
    assert checks.shows_restoration(newest_first) is shown


def test_days_that_have_begun(checks: ModuleType) -> None:
    """Today counts wherever the learner lives, a later day and a date that does not exist do not."""
    today = datetime.now(UTC).date()
    assert checks.is_past_day(today.isoformat())
    assert checks.is_past_day((today - timedelta(days=400)).isoformat())
    assert not checks.is_past_day((today + timedelta(days=2)).isoformat())
    assert not checks.is_past_day(f"{date.min:%Y}-02-30")


def test_newest_day_is_judged(checks: ModuleType) -> None:
    """A later delivery is a file of its own; keys of another form and days to come do not count."""
    lake = lake_of(checks, RefusingS3(refusal("404")))
    days = ("2026-01-31", "2026-02-01", "2999-01-01")
    keys = ["raw/x.csv", *(f"raw/churn/ingest_date={day}/customers.csv" for day in days)]
    lake.objects = {key: {"Key": key, "Size": 1} for key in keys}
    assert lake.raw_key == "raw/churn/ingest_date=2026-02-01/customers.csv"


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (b"a,b\r\n1,2\r\n", "the lines end in CR LF"),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", "byte-order mark stands in front, the lines end in CR LF"),
        (b"a,b\n1", "the file was cut"),
        (b"a,b\n1,2.0\n", "line by line different"),
        (b"other", "another file"),
    ],
)
def test_why_raw_bytes_differ(checks: ModuleType, stored: bytes, words: str) -> None:
    """The card names what a program did to the file."""
    assert words in checks.why_different(b"a,b\n1,2\n", stored)


def test_guide_lists_the_checks(checks: ModuleType) -> None:
    """The guide's list is that of checks.py, in its order and its words."""
    guide = (LAB / "README.md").read_text(encoding="utf-8")
    told = [line[2:] for line in guide.splitlines() if line.startswith("- `test_")]
    found = [f"`{name}`: {inspect.getdoc(member)}" for name, member in vars(checks).items() if name.startswith("test_")]
    assert told == found
