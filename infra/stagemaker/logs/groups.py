"""CreateLogGroup, DeleteLogGroup, DescribeLogGroups, retention and tags."""

from __future__ import annotations

from typing import Any

from stagemaker.logs.arn import group_arn, group_name
from stagemaker.logs.catalogue import Catalogue, LogGroup
from stagemaker.logs.reader import StreamReader
from stagemaker.logs.token import read_name_token, write_name_token
from stagemaker.wire.errors import AwsError, NotHonouredError
from stagemaker.wire.message import Context

RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""What PutRetentionPolicy takes, from the API's documentation."""

MOST_TAGS = 50
DEFAULT_LIMIT = 50

Parameters = dict[str, Any]


class GroupCalls:
    """The operations on log groups."""

    def __init__(self, catalogue: Catalogue, reader: StreamReader) -> None:
        self.catalogue = catalogue
        self.reader = reader

    async def create(self, context: Context, parameters: Parameters) -> Parameters:
        """CreateLogGroup."""
        if "kmsKeyId" in parameters:
            raise NotHonouredError("kmsKeyId", "the stage does not encrypt logs.")
        if parameters.get("logGroupClass", "STANDARD") != "STANDARD":
            raise NotHonouredError("logGroupClass", "the stage has log groups of class STANDARD only.")
        if parameters.get("deletionProtectionEnabled"):
            raise NotHonouredError("deletionProtectionEnabled", "any log group of the stage can be deleted.")
        name = parameters["logGroupName"]
        if name.lower().startswith("aws/"):
            raise AwsError("InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.")
        self.catalogue.create_group(context.region, name, parameters.get("tags", {}))
        return {}

    async def delete(self, context: Context, parameters: Parameters) -> Parameters:
        """DeleteLogGroup."""
        self.catalogue.delete_group(self.catalogue.named_group(context.region, parameters))
        return {}

    async def describe(self, context: Context, parameters: Parameters) -> Parameters:
        """DescribeLogGroups. There are no linked accounts, so including theirs adds nothing."""
        if set(parameters.get("accountIdentifiers", ())) - {context.account}:
            raise NotHonouredError("accountIdentifiers", "the stage is one account, with no others linked to it.")
        groups = self._matching(context, parameters)
        limit = parameters.get("limit", DEFAULT_LIMIT)
        answer: Parameters = {"logGroups": [self._description(context, group) for group in groups[:limit]]}
        if len(groups) > limit:
            answer["nextToken"] = write_name_token(groups[limit - 1].name)
        return answer

    def _matching(self, context: Context, parameters: Parameters) -> list[LogGroup]:
        """One more than the limit when there are more."""
        prefix = parameters.get("logGroupNamePrefix", "")
        part = parameters.get("logGroupNamePattern", "")
        after = read_name_token(parameters["nextToken"]) if "nextToken" in parameters else ""
        limit = parameters.get("limit", DEFAULT_LIMIT) + 1
        if prefix and part:
            raise AwsError(
                "InvalidParameterException",
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            )
        if parameters.get("logGroupClass", "STANDARD") != "STANDARD":
            return []
        if "logGroupIdentifiers" not in parameters:
            return self.catalogue.groups(context.region, prefix=prefix, part=part, after=after, limit=limit)
        if prefix or part:
            raise AwsError("InvalidParameterException", "logGroupIdentifiers cannot be combined with other filters.")
        wanted = {group_name(name, context.region, context.account) for name in parameters["logGroupIdentifiers"]}
        every = self.catalogue.groups(context.region, after=after, limit=-1)
        return [group for group in every if group.name in wanted][:limit]

    def _description(self, context: Context, group: LogGroup) -> Parameters:
        arn = group_arn(group.region, context.account, group.name)
        return {
            "logGroupName": group.name,
            "creationTime": group.created,
            "retentionInDays": group.retention_days,
            "metricFilterCount": 0,
            "arn": f"{arn}:*",
            "logGroupArn": arn,
            "storedBytes": self.catalogue.stored_bytes(group) + self.reader.file_bytes(self.catalogue.streams(group)),
            "logGroupClass": "STANDARD",
            "deletionProtectionEnabled": False,
        }

    # --- retention ------------------------------------------------------------------------------

    async def put_retention(self, context: Context, parameters: Parameters) -> Parameters:
        """PutRetentionPolicy: events that are older are not shown any more."""
        group = self.catalogue.named_group(context.region, parameters)
        days = parameters["retentionInDays"]
        if days not in RETENTION_DAYS:
            choices = ", ".join(map(str, RETENTION_DAYS))
            raise AwsError(
                "InvalidParameterException",
                f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{choices}]",
            )
        self.catalogue.set_retention(group, days)
        return {}

    async def delete_retention(self, context: Context, parameters: Parameters) -> Parameters:
        """DeleteRetentionPolicy: events are kept for ever."""
        self.catalogue.set_retention(self.catalogue.named_group(context.region, parameters), None)
        return {}

    # --- tags -----------------------------------------------------------------------------------

    async def tag(self, context: Context, parameters: Parameters) -> Parameters:
        """TagLogGroup and TagResource."""
        group = self._tagged(context, parameters)
        tags = {**group.tags, **parameters["tags"]}
        if len(tags) > MOST_TAGS:
            raise AwsError("TooManyTagsException", f"A log group can have no more than {MOST_TAGS} tags.")
        self.catalogue.set_tags(group, tags)
        return {}

    async def untag(self, context: Context, parameters: Parameters) -> Parameters:
        """UntagLogGroup and UntagResource. Tags that are not there are no error."""
        group = self._tagged(context, parameters)
        gone = set(parameters["tagKeys"] if "tagKeys" in parameters else parameters["tags"])
        self.catalogue.set_tags(group, {key: value for key, value in group.tags.items() if key not in gone})
        return {}

    async def list_tags(self, context: Context, parameters: Parameters) -> Parameters:
        """ListTagsLogGroup and ListTagsForResource."""
        return {"tags": dict(self._tagged(context, parameters).tags)}

    def _tagged(self, context: Context, parameters: Parameters) -> LogGroup:
        if "resourceArn" not in parameters:
            return self.catalogue.named_group(context.region, parameters)
        arn = parameters["resourceArn"]
        if not arn.startswith("arn:"):
            raise AwsError("InvalidParameterException", f"Invalid log group ARN: {arn}")
        return self.catalogue.named_group(context.region, {"logGroupIdentifier": arn})
