from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stagemaker.logs import LogsService
from stagemaker.logs.arn import resources
from stagemaker.wire.message import Caller, Context

GROUP = "/aws/sagemaker/TrainingJobs"
ARN = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Code and message of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def names(answer: dict[str, Any]) -> list[str]:
    """The groups in an answer."""
    return [group["logGroupName"] for group in answer["logGroups"]]


def test_the_life_of_a_group(logs: Any, now: int) -> None:
    """Created, described with AWS's members, deleted, and then not there."""
    logs.create_log_group(logGroupName=GROUP, tags={"lab": "03"})
    (group,) = logs.describe_log_groups()["logGroups"]
    assert now <= group.pop("creationTime") <= now + 10_000
    assert group == {
        "logGroupName": GROUP,
        "metricFilterCount": 0,
        "arn": f"{ARN}:*",
        "logGroupArn": ARN,
        "storedBytes": 0,
        "logGroupClass": "STANDARD",
        "deletionProtectionEnabled": False,
    }
    assert refusal(logs.create_log_group, logGroupName=GROUP) == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    logs.delete_log_group(logGroupName=GROUP)
    assert logs.describe_log_groups()["logGroups"] == []
    assert refusal(logs.delete_log_group, logGroupName=GROUP) == (
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    )


def test_the_client_sees_modelled_exceptions(logs: Any) -> None:
    """Code that catches `client.exceptions.ResourceNotFoundException` works: the SDKs do."""
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.describe_log_streams(logGroupName="missing")


def test_regions_do_not_mix(service: LogsService, direct_client: Callable[..., Any]) -> None:
    """A group of one region is not there in another; the same name may be used in both."""
    east, west = (direct_client(service.api(), "logs", region=region) for region in ("us-east-1", "eu-west-1"))
    east.create_log_group(logGroupName="g")
    assert names(west.describe_log_groups()) == []
    west.create_log_group(logGroupName="g")
    assert (
        west.describe_log_groups()["logGroups"][0]["logGroupArn"] == "arn:aws:logs:eu-west-1:123456789012:log-group:g"
    )
    west.delete_log_group(logGroupName="g")
    assert names(east.describe_log_groups()) == ["g"]


def test_groups_are_listed_in_pages_by_name(logs: Any) -> None:
    """Each group is listed once, in ASCII order, however small the pages."""
    made = {f"g{number}" for number in range(7)} | {"G1", "g", "other/g1"}
    for name in made:
        logs.create_log_group(logGroupName=name)
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 3})
    assert [name for page in pages for name in names(page)] == sorted(made)
    assert names(logs.describe_log_groups(logGroupNamePrefix="g1")) == ["g1"]
    assert names(logs.describe_log_groups(logGroupNamePattern="g1")) == ["g1", "other/g1"]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:g2"
    assert names(logs.describe_log_groups(logGroupIdentifiers=["g5", arn, "missing"])) == ["g2", "g5"]
    assert names(logs.describe_log_groups(includeLinkedAccounts=True, accountIdentifiers=["123456789012"])) == sorted(
        made
    )
    assert names(logs.describe_log_groups(logGroupClass="INFREQUENT_ACCESS")) == []


def test_filters_that_contradict_each_other(logs: Any) -> None:
    """AWS's rules on which filters go together."""
    assert refusal(logs.describe_log_groups, logGroupNamePrefix="a", logGroupNamePattern="b") == (
        "InvalidParameterException",
        "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
    )
    code, _ = refusal(logs.describe_log_groups, logGroupNamePrefix="a", logGroupIdentifiers=["b"])
    assert code == "InvalidParameterException"


@pytest.mark.parametrize("token", ["rubbish", "WyJhIiwgMV0=", "W10=", "e30=", "é"])
def test_a_token_that_is_not_ours(token: str, logs: Any) -> None:
    """Refused, never read as the start: a loop over pages would not end."""
    assert refusal(logs.describe_log_groups, nextToken=token) == (
        "InvalidParameterException",
        "The specified nextToken is invalid.",
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("kmsKeyId", "arn:aws:kms:us-east-1:123456789012:key/1"),
        ("logGroupClass", "INFREQUENT_ACCESS"),
        ("deletionProtectionEnabled", True),
    ],
)
def test_what_a_group_cannot_be(member: str, value: Any, logs: Any) -> None:
    """Encryption, another class, protection: refused by name, and no group is made."""
    code, message = refusal(logs.create_log_group, logGroupName="g", **{member: value})
    assert code == "ValidationException"
    assert message.startswith(f"Stagemaker cannot honour {member}: ")
    assert logs.describe_log_groups()["logGroups"] == []


def test_names_that_are_awss_own(logs: Any) -> None:
    """`aws/...` is refused in AWS's words; `/aws/...` is anyone's."""
    assert refusal(logs.create_log_group, logGroupName="aws/cwagent") == (
        "InvalidParameterException",
        "Log groups starting with AWS/ are reserved for AWS.",
    )
    logs.create_log_group(logGroupName="/aws/cwagent")


def test_retention_is_one_of_awss_numbers(logs: Any) -> None:
    """Set, shown, refused for other numbers, taken away."""
    logs.create_log_group(logGroupName="g")
    logs.put_retention_policy(logGroupName="g", retentionInDays=30)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 30
    code, message = refusal(logs.put_retention_policy, logGroupName="g", retentionInDays=2)
    assert code == "InvalidParameterException"
    assert "Value '2' at 'retentionInDays' failed to satisfy constraint" in message
    logs.delete_retention_policy(logGroupName="g")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]


def test_tags_by_name_and_by_arn(logs: Any) -> None:
    """The old and the new calls see the same tags."""
    logs.create_log_group(logGroupName=GROUP, tags={"a": "1"})
    logs.tag_log_group(logGroupName=GROUP, tags={"b": "2"})
    logs.tag_resource(resourceArn=ARN, tags={"a": "3", "c": ""})
    assert logs.list_tags_for_resource(resourceArn=ARN)["tags"] == {"a": "3", "b": "2", "c": ""}
    logs.untag_log_group(logGroupName=GROUP, tags=["b", "never there"])
    logs.untag_resource(resourceArn=ARN, tagKeys=["c"])
    assert logs.list_tags_log_group(logGroupName=GROUP)["tags"] == {"a": "3"}


def test_a_group_has_at_most_fifty_tags(logs: Any) -> None:
    """The fifty-first is refused and none of its call is kept."""
    logs.create_log_group(logGroupName=GROUP, tags={f"k{n}": "" for n in range(49)})
    code, _ = refusal(logs.tag_resource, resourceArn=ARN, tags={"x": "", "y": ""})
    assert code == "TooManyTagsException"
    assert len(logs.list_tags_for_resource(resourceArn=ARN)["tags"]) == 49


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("nonsense", "InvalidParameterException"),
        ("arn:aws:logs:us-east-1:123456789012:destination:d", "InvalidParameterException"),
        (ARN.replace("us-east-1", "eu-west-1"), "ResourceNotFoundException"),
        (ARN.replace("123456789012", "210987654321"), "ResourceNotFoundException"),
        (f"{ARN}2", "ResourceNotFoundException"),
    ],
)
def test_an_arn_of_something_else(arn: str, code: str, logs: Any) -> None:
    """Only ARNs of this region's and account's own groups are known."""
    logs.create_log_group(logGroupName=GROUP)
    assert refusal(logs.list_tags_for_resource, resourceArn=arn)[0] == code


def test_deleting_a_group_takes_its_streams_but_no_log_file(
    logs: Any, stored: Callable[..., None], attached: Callable[..., Path], now: int
) -> None:
    """A group made anew under the name is empty; the job's file is untouched."""
    stored("put", [(now, "a")])
    file = attached("job", [(now, "b")])
    logs.delete_log_group(logGroupName=GROUP)
    logs.create_log_group(logGroupName=GROUP)
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == []
    assert file.read_text() == f"{now}\tb\n"


def test_bytes_of_a_group(logs: Any, stored: Callable[..., None], attached: Callable[..., Path], now: int) -> None:
    """Stored events count their UTF-8 bytes and 26 each; a log file counts its size."""
    stored("put", [(now, "é"), (now, "abc")])
    file = attached("job", [(now, "b")])
    (group,) = logs.describe_log_groups()["logGroups"]
    assert group["storedBytes"] == (2 + 26) + (3 + 26) + file.stat().st_size


def test_reset_forgets_everything(
    service: LogsService, logs: Any, stored: Callable[..., None], attached: Callable[..., Path], now: int
) -> None:
    """Groups of every region are gone, and the names can be used again."""
    stored("put", [(now, "a")])
    file = attached("job", [(now, "b")])
    service.attach("g", "s", file, region="eu-west-1")
    service.reset()
    assert logs.describe_log_groups()["logGroups"] == []
    stored("put", [(now, "new")])
    assert [e["message"] for e in logs.get_log_events(logGroupName=GROUP, logStreamName="put")["events"]] == ["new"]
    assert file.exists()


@pytest.mark.parametrize(
    ("operation", "parameters", "arn"),
    [
        ("DescribeLogGroups", {}, "log-group::log-stream:"),
        ("CreateLogGroup", {"logGroupName": "g"}, "log-group:g:log-stream:"),
        ("FilterLogEvents", {"logGroupIdentifier": "arn:aws:logs:us-east-1:123456789012:log-group:g"},
         "log-group:g:log-stream:"),
        ("PutLogEvents", {"logGroupName": "g", "logStreamName": "j/algo-1"}, "log-group:g:log-stream:j/algo-1"),
        ("GetLogEvents", {"logGroupName": "g", "logStreamName": "j/algo-1"}, "log-group:g:log-stream:j/algo-1"),
        ("TagResource", {"resourceArn": "arn:aws:logs:us-east-1:123456789012:log-group:g"}, "log-group:g"),
    ],
)  # fmt: skip
def test_what_a_call_is_judged_by(operation: str, parameters: dict[str, Any], arn: str) -> None:
    """The ARNs in AWS's own refusals, so that policies written for AWS decide alike."""
    context = Context("123456789012", "us-east-1", Caller("arn:aws:iam::123456789012:root"), "id")
    assert resources(operation, parameters, context) == [f"arn:aws:logs:us-east-1:123456789012:{arn}"]
