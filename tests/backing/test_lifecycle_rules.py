from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.backing.lifecycle_rules import check_lifecycle, complete_lifecycle
from stagemaker.wire.errors import AwsError

EXPIRE: dict[str, Any] = {"Expiration": {"Days": 400}}
ABORT: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
MARKER: dict[str, Any] = {"Expiration": {"ExpiredObjectDeleteMarker": True}}
TAG = {"Key": "a", "Value": "b"}


@pytest.fixture(scope="module")
def s3(shared: Any) -> Any:
    """S3, with a bucket `data` whose lifecycle the tests replace."""
    client = shared.client("s3")
    client.create_bucket(Bucket="data")
    return client


def rule(**members: Any) -> dict[str, Any]:
    """A rule for the keys under raw/, unless it says otherwise."""
    scope = {} if "Prefix" in members or "Filter" in members else {"Filter": {"Prefix": "raw/"}}
    return {"Status": "Enabled", **scope, **members}


def moves(*steps: tuple[int, str]) -> dict[str, Any]:
    """Transitions on days of an object's life."""
    return {"Transitions": [{"Days": days, "StorageClass": name} for days, name in steps]}


def old_moves(*steps: tuple[int, str]) -> dict[str, Any]:
    """The same for old versions."""
    listed = [{"NoncurrentDays": days, "StorageClass": name} for days, name in steps]
    return {"NoncurrentVersionTransitions": listed}


def dated_moves(*steps: tuple[str, str]) -> dict[str, Any]:
    """Transitions on days of the calendar."""
    return {"Transitions": [{"Date": date, "StorageClass": name} for date, name in steps]}


def put(s3: Any, *rules: dict[str, Any]) -> list[dict[str, Any]]:
    """The lifecycle as it reads once `rules` are set."""
    s3.put_bucket_lifecycle_configuration(Bucket="data", LifecycleConfiguration={"Rules": list(rules)})
    found: list[dict[str, Any]] = s3.get_bucket_lifecycle_configuration(Bucket="data")["Rules"]
    return found


def refusal(s3: Any, *rules: dict[str, Any]) -> tuple[str, str]:
    """The code and the message with which `rules` are refused."""
    with pytest.raises(ClientError) as error:
        put(s3, *rules)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def check(*rules: str) -> None:
    """Check rules that no client would send, given as XML."""
    check_lifecycle(f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode())


@pytest.mark.parametrize(
    "given",
    [
        rule(**moves((30, "STANDARD_IA"), (60, "GLACIER"), (150, "DEEP_ARCHIVE")), **EXPIRE),
        rule(**moves((90, "GLACIER_IR"), (30, "STANDARD_IA"))),
        rule(**moves((0, "INTELLIGENT_TIERING"), (1, "GLACIER"))),
        rule(**moves((0, "DEEP_ARCHIVE")), **MARKER),
        rule(
            **dated_moves(("2030-01-01", "STANDARD_IA"), ("2030-01-02", "GLACIER")), Expiration={"Date": "2030-02-01"}
        ),
        rule(**old_moves((30, "ONEZONE_IA"), (60, "GLACIER")), NoncurrentVersionExpiration={"NoncurrentDays": 61}),
        rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 500}),
        rule(**ABORT, **MARKER, Filter={}),
        rule(**EXPIRE, Filter={"Tag": TAG}),
        rule(**EXPIRE, Filter={"And": {"Prefix": "", "ObjectSizeGreaterThan": 0, "ObjectSizeLessThan": 1}}),
        rule(**EXPIRE, ID="x" * 255, Status="Disabled"),
    ],
)
def test_sound_rules_are_kept(s3: Any, given: dict[str, Any]) -> None:
    """Rules that S3 takes are taken, whatever the order of their transitions, and read as they were sent."""
    (found,) = put(s3, given)
    for name in given.keys() - {"Transitions", "Expiration", "Filter"}:
        assert found[name] == given[name]
    assert [move["StorageClass"] for move in found.get("Transitions", [])] == [
        move["StorageClass"] for move in given.get("Transitions", [])
    ]


@pytest.mark.parametrize("name", ["STANDARD_IA", "ONEZONE_IA"])
def test_infrequent_access_is_not_for_the_young(s3: Any, name: str) -> None:
    """No rule moves an object to these classes before it is 30 days old; what was set before stays."""
    before = put(s3, rule(ID="kept", **EXPIRE))
    words = f"'Days' in Transition action must be greater than or equal to 30 for storageClass '{name}'"
    assert refusal(s3, rule(**moves((29, name)))) == ("InvalidArgument", words)
    code, message = refusal(s3, rule(**old_moves((29, name))))
    assert (code, message.split()[0]) == ("InvalidArgument", "'NoncurrentDays'")
    assert s3.get_bucket_lifecycle_configuration(Bucket="data")["Rules"] == before


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (rule(), "InvalidRequest", "At least one action needs to be specified in a rule"),
        (rule(ID="x" * 256, **EXPIRE), "InvalidArgument", "ID length should not exceed allowed limit of 255"),
        (rule(Filter={"Tag": TAG}, **ABORT), "InvalidRequest", "Upload cannot be specified with Tags."),
        (
            rule(Filter={"ObjectSizeLessThan": 9}, **ABORT),
            "InvalidRequest",
            "Upload cannot be specified with Object Size",
        ),
        (rule(Filter={"Tag": TAG}, **MARKER), "InvalidRequest", "Marker cannot be specified with Tags."),
        (rule(Expiration={"Days": 0}), "InvalidArgument", "'Days' for Expiration action must be a positive integer"),
        (rule(Expiration={"Days": -1}), "InvalidArgument", "'Days' for Expiration action must be a positive integer"),
        (rule(Expiration={"Date": "2030-01-01T10:00:00Z"}), "InvalidArgument", "'Date' must be at midnight GMT"),
        (rule(Expiration={}), "MalformedXML", "published schema"),
        (rule(Expiration={"Days": 3, "ExpiredObjectDeleteMarker": True}), "MalformedXML", "published schema"),
        (rule(NoncurrentVersionExpiration={}), "MalformedXML", "published schema"),
        (rule(NoncurrentVersionExpiration={"NoncurrentDays": 0}), "InvalidArgument", "must be a positive integer"),
        (rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0}), "InvalidArgument", "a positive integer"),
        (rule(AbortIncompleteMultipartUpload={}), "MalformedXML", "published schema"),
        (rule(**moves((-1, "GLACIER"))), "InvalidArgument", "'Days' in Transition action must be nonnegative"),
        (rule(**moves((30, "STANDARD"))), "MalformedXML", "published schema"),
        (rule(Transitions=[{"StorageClass": "GLACIER"}]), "InvalidArgument", "either 'Days' or 'Date'"),
        (rule(Transitions=[{"Days": 30}]), "MalformedXML", "published schema"),
        (rule(NoncurrentVersionTransitions=[{"StorageClass": "GLACIER"}]), "MalformedXML", "published schema"),
        (rule(Filter={"Prefix": "a", "ObjectSizeGreaterThan": 1}, **EXPIRE), "MalformedXML", "published schema"),
        (rule(Filter={"And": {"Prefix": "a"}}, **EXPIRE), "MalformedXML", "published schema"),
        (rule(Filter={"And": {"Tags": [TAG, TAG]}}, **EXPIRE), "InvalidRequest", "Duplicate Tag Keys are not allowed."),
        (rule(Filter={"ObjectSizeLessThan": 0}, **EXPIRE), "InvalidRequest", "between 1 and 1099511627776000."),
        (rule(Filter={"ObjectSizeGreaterThan": -1}, **EXPIRE), "InvalidRequest", "between 0 and 1099511627776000."),
        (
            rule(Filter={"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, **EXPIRE),
            "InvalidRequest",
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        ),
        (rule(Filter={}, Prefix="a", **EXPIRE), "InvalidRequest", "prefixes are only supported in the Filter."),
    ],
)
def test_a_rule_that_s3_would_not_take_is_refused(s3: Any, given: dict[str, Any], code: str, words: str) -> None:
    """A fault within one rule is told by S3's code, in its words where they are known."""
    found, message = refusal(s3, given)
    assert (found, words in message) == (code, True), message


MIXED = [*moves((1, "GLACIER"))["Transitions"], *dated_moves(("2030-01-01", "DEEP_ARCHIVE"))["Transitions"]]
SMALL = {"And": {"Prefix": "x", "ObjectSizeLessThan": 9}}


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (
            rule(**moves((90, "GLACIER"), (120, "STANDARD_IA"))),
            "InvalidArgument",
            """'Days' in the Transition action for StorageClass 'GLACIER' for filter '(prefix=raw/)' must be greater
            than 'Days' in the Transition action for StorageClass 'STANDARD_IA' for filter '(prefix=raw/)'""",
        ),
        (
            rule(**moves((10, "GLACIER"), (99, "DEEP_ARCHIVE")), Filter={}),
            "InvalidArgument",
            """'Days' in the 'Transition' action for StorageClass 'DEEP_ARCHIVE' for filter '()' must be 90 days more
            than 'filter '()'' in the 'Transition' action for StorageClass 'GLACIER'""",
        ),
        (rule(**moves((30, "STANDARD_IA"), (59, "GLACIER_IR"))), "InvalidArgument", "must be 30 days more than"),
        (rule(**old_moves((30, "STANDARD_IA"), (59, "GLACIER"))), "InvalidArgument", "must be 30 days more than"),
        (
            rule(**dated_moves(("2030-01-01", "GLACIER"), ("2030-01-01", "DEEP_ARCHIVE"))),
            "InvalidArgument",
            "must be greater than 'Date' in the Transition action for StorageClass 'GLACIER'",
        ),
        (
            rule(**moves((30, "GLACIER"), (90, "GLACIER")), Filter={"Tag": TAG}),
            "InvalidRequest",
            """'StorageClass' must be different for 'Transition' actions in same 'Rule' with filter
            '(tag={key=a, value=b})'""",
        ),
        (
            rule(Transitions=MIXED),
            "InvalidRequest",
            "Found mixed 'Date' and 'Days' based Transition actions in lifecycle rule for filter '(prefix=raw/)'",
        ),
        (
            rule(**moves((1, "GLACIER")), Expiration={"Date": "2030-01-01"}),
            "InvalidRequest",
            """Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for filter
            '(prefix=raw/)'""",
        ),
        (
            rule(**moves((180, "GLACIER")), Expiration={"Days": 180}, Filter=SMALL),
            "InvalidArgument",
            """'Days' in the Expiration action for filter '(prefix=x and objectsizelessthan=9)' must be greater than
            'Days' in the Transition action""",
        ),
        (
            rule(**dated_moves(("2030-01-02", "GLACIER")), Expiration={"Date": "2030-01-01"}),
            "InvalidArgument",
            """'Date' in the Expiration action for filter '(prefix=raw/)' must be greater than 'Date' in the Transition
            action""",
        ),
        (
            rule(**old_moves((30, "GLACIER")), NoncurrentVersionExpiration={"NoncurrentDays": 30}),
            "InvalidArgument",
            """'NoncurrentDays' in the NoncurrentVersionExpiration action for filter '(prefix=raw/)' must be greater
            than 'NoncurrentDays' in the NoncurrentVersionTransition action""",
        ),
    ],
)
def test_steps_must_follow_one_another(s3: Any, given: dict[str, Any], code: str, words: str) -> None:
    """Objects only grow colder, stay where they are for a while, and are deleted last."""
    found, message = refusal(s3, given)
    assert (found, " ".join(words.split()) in message) == (code, True), message


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ([], "MalformedXML", "published schema"),
        ([rule(**EXPIRE)] * 1001, "InvalidRequest", "must not exceed the allowed limit of 1000 rules."),
        (
            [rule(ID="a", **EXPIRE), rule(ID="a", **ABORT)],
            "InvalidArgument",
            "Rule ID must be unique. Found same ID for more than one rule",
        ),
        (
            [rule(**EXPIRE, Prefix="a"), rule(**EXPIRE)],
            "InvalidRequest",
            "Filter element can only be used in Lifecycle V2.",
        ),
        (
            [rule(**EXPIRE), rule(**EXPIRE, Prefix="a")],
            "InvalidRequest",
            "Base level prefix cannot be used in Lifecycle V2",
        ),
        (
            [rule(**EXPIRE, Prefix="ab"), rule(**EXPIRE, Prefix="b"), rule(**EXPIRE, Prefix="a")],
            "InvalidRequest",
            "Found overlapping prefixes 'a' and 'ab' for same action type 'Expiration'",
        ),
        (
            [rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}, Prefix="")],
            "InvalidRequest",
            "NewerNoncurrentVersions element can only be used in Lifecycle V2.",
        ),
    ],
    ids=["none", "too many", "same id", "filter after prefix", "prefix after filter", "overlap", "too new"],
)
def test_rules_must_go_together(s3: Any, given: list[dict[str, Any]], code: str, words: str) -> None:
    """So are faults of the rules together: their number, their IDs, and rules of the older form."""
    found, message = refusal(s3, *given)
    assert (found, words in message) == (code, True), message


def test_a_thousand_rules_are_taken(s3: Any) -> None:
    """The limit itself is allowed, in either form."""
    assert len(put(s3, *(rule(Filter={"Prefix": f"{number:04}"}, **EXPIRE) for number in range(1000)))) == 1000
    assert len(put(s3, *(rule(Prefix=f"{number:04}", **EXPIRE) for number in range(1000)))) == 1000


@pytest.mark.parametrize(
    "body",
    [
        "<Rule><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>",
        "<Rule><Filter/><Expiration><Days>1</Days></Expiration></Rule>",
        "<Rule><Filter/><Status>enabled</Status><Expiration><Days>1</Days></Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Expiration><Days>soon</Days></Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Expiration><Days>4294967296</Days></Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Expiration><Date>1 Jan 2030</Date></Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Expiration><Date>0001-01-01T00:00:00+05:00</Date></Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Expiration>1</Expiration></Rule>",
        "<Rule><Filter/><Status>Enabled</Status><Deletion><Days>1</Days></Deletion></Rule>",
        "<Rule><Filter/><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>",
        "<Rule>",
    ],
    ids=[
        "no scope",
        "no status",
        "status",
        "word",
        "too large",
        "date",
        "before time",
        "empty",
        "unknown",
        "twice",
        "open",
    ],
)
def test_what_is_not_in_the_schema_is_refused(body: str) -> None:
    """A document that no client library would send is malformed, and never a failure of the stage."""
    with pytest.raises(AwsError) as error:
        check(body)
    assert error.value.code == "MalformedXML"


def test_a_rule_without_filter_and_prefix_is_refused(s3: Any) -> None:
    """One of the two must say which objects a rule is for; boto3 lets both be left out."""
    assert refusal(s3, {"Status": "Enabled", **EXPIRE})[0] == "MalformedXML"


def test_entities_are_not_expanded() -> None:
    """A document type is refused before what it declares can be used."""
    with pytest.raises(AwsError, match="MalformedXML"):
        check_lifecycle(b'<!DOCTYPE x [<!ENTITY a "aaaa">]><LifecycleConfiguration>&a;</LifecycleConfiguration>')


def test_rules_get_an_id(s3: Any) -> None:
    """A rule without an ID gets one of its own; others keep theirs."""
    found = put(s3, rule(**EXPIRE), rule(ID="", **ABORT), rule(ID="mine", **ABORT))
    assert found[2]["ID"] == "mine"
    assert [len(each["ID"]) for each in found[:2]] == [48, 48]
    assert found[0]["ID"] != found[1]["ID"]


def test_a_rule_s_own_prefix_is_kept(s3: Any) -> None:
    """A rule of the older form reaches the keys of its prefix, and no others."""
    (found,) = put(s3, rule(Prefix="raw/", **EXPIRE))
    assert found["Filter"] == {"Prefix": "raw/"}


def test_completing_keeps_what_was_sent() -> None:
    """Values come through completion as they are, characters that XML escapes among them."""
    sent = "<Rule><ID>a</ID><Filter><Prefix>é&amp;&lt;</Prefix></Filter><Status>Enabled</Status></Rule>"
    completed = complete_lifecycle(f"<LifecycleConfiguration>{sent}</LifecycleConfiguration>".encode()).decode()
    assert sent in completed
