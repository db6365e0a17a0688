"""Emptying the account in LocalStack: it has no endpoint for that, so everything is listed and deleted.

Each service is a function that lists what there is and deletes it by AWS's own API. What the API cannot
delete at once stays as AWS leaves it: a KMS key is scheduled for deletion.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

from stagemaker.backing.port import BackingError
from stagemaker.wire.message import Reply, Request

Send = Callable[[Request, str, str], Awaitable[Reply]]
"""Makes a call (request, service, region) as the account's root."""

_GONE = {404, 409}
"""Deleted meanwhile, or not empty any more: the next look sees to it."""


class _Region:
    """The calls of one service in one region."""

    def __init__(self, send: Send, service: str, region: str) -> None:
        self._send = send
        self._service = service
        self.region = region

    async def json(self, target: str, **parameters: Any) -> dict[str, Any]:
        """A call of a JSON service."""
        version = "1.0" if target.startswith("AmazonSQS") else "1.1"
        headers = {"x-amz-target": target, "content-type": f"application/x-amz-json-{version}"}
        body = await self._body(Request("POST", "/", "", headers, json.dumps(parameters).encode()))
        document: dict[str, Any] = json.loads(body) if body else {}
        return document

    async def query(self, version: str, action: str, **parameters: str) -> ET.Element:
        """A call of a query service."""
        fields = {name.replace("__", "."): value for name, value in parameters.items()}
        body = urlencode({"Action": action, "Version": version, **fields}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return _document(await self._body(Request("POST", "/", "", headers, body)))

    async def s3(self, method: str, path: str, query: str = "", body: bytes = b"") -> ET.Element:
        """A call of S3."""
        return _document(await self._body(Request(method, path, query, {}, body)))

    async def _body(self, request: Request) -> bytes:
        reply = await self._send(request, self._service, self.region)
        assert isinstance(reply.body, bytes)
        if reply.status >= 400 and reply.status not in _GONE:
            raise BackingError(f"LocalStack cannot empty {self._service} in {self.region}: {reply.body[:500]!r}")
        return reply.body if reply.status < 400 else b""


def _document(body: bytes) -> ET.Element:
    document = ET.fromstring(body) if body.strip() else ET.Element("empty")  # noqa: S314 - LocalStack's own answer
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    return document


def _texts(document: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in document.iterfind(path)]


async def _s3(calls: _Region) -> None:
    for bucket in _texts(await calls.s3("GET", "/"), ".//Bucket/Name"):
        path = f"/{quote(bucket)}"
        uploads = await calls.s3("GET", path, "uploads")
        for upload in uploads.iterfind(".//Upload"):
            key, upload_id = upload.findtext("Key", ""), upload.findtext("UploadId", "")
            await calls.s3("DELETE", f"{path}/{quote(key)}", f"uploadId={quote(upload_id, safe='')}")
        while entries := list(_versions(await calls.s3("GET", path, "versions&max-keys=1000"))):
            delete = ET.Element("Delete")
            for key, version in entries:
                entry = ET.SubElement(delete, "Object")
                ET.SubElement(entry, "Key").text = key
                ET.SubElement(entry, "VersionId").text = version
            await calls.s3("POST", path, "delete", ET.tostring(delete))
        await calls.s3("DELETE", path)


def _versions(page: ET.Element) -> Iterator[tuple[str, str]]:
    for element in page:
        if element.tag in {"Version", "DeleteMarker"}:
            yield element.findtext("Key", ""), element.findtext("VersionId", "null")


async def _iam(calls: _Region) -> None:
    async def iam(action: str, **parameters: str) -> ET.Element:
        return await calls.query("2010-05-08", action, **parameters)

    kinds = {f"Filter__member__{n}": kind for n, kind in enumerate(("User", "Group", "Role", "LocalManagedPolicy"), 1)}
    account = await iam("GetAccountAuthorizationDetails", **kinds)
    for profile in _texts(await iam("ListInstanceProfiles"), ".//InstanceProfiles/member/InstanceProfileName"):
        for role in _texts(await iam("GetInstanceProfile", InstanceProfileName=profile), ".//Roles/member/RoleName"):
            await iam("RemoveRoleFromInstanceProfile", InstanceProfileName=profile, RoleName=role)
        await iam("DeleteInstanceProfile", InstanceProfileName=profile)
    for kind in ("User", "Group", "Role"):
        for entity in account.iterfind(f".//{kind}DetailList/member"):
            me = {f"{kind}Name": entity.findtext(f"{kind}Name", "")}
            for name in _texts(entity, f"{kind}PolicyList/member/PolicyName"):
                await iam(f"Delete{kind}Policy", PolicyName=name, **me)
            for arn in _texts(entity, "AttachedManagedPolicies/member/PolicyArn"):
                await iam(f"Detach{kind}Policy", PolicyArn=arn, **me)
            if kind == "User":
                for group in _texts(entity, "GroupList/member"):
                    await iam("RemoveUserFromGroup", GroupName=group, **me)
                for key in _texts(await iam("ListAccessKeys", **me), ".//member/AccessKeyId"):
                    await iam("DeleteAccessKey", AccessKeyId=key, **me)
                await iam("DeleteLoginProfile", **me)
            if kind != "Group":
                await iam(f"Delete{kind}PermissionsBoundary", **me)
    for kind in ("User", "Group", "Role"):  # groups once they are empty
        for name in _texts(account, f".//{kind}DetailList/member/{kind}Name"):
            await iam(f"Delete{kind}", **{f"{kind}Name": name})
    for arn in _texts(await iam("ListPolicies", Scope="Local"), ".//Policies/member/Arn"):
        versions = await iam("ListPolicyVersions", PolicyArn=arn)
        for version in versions.iterfind(".//Versions/member"):
            if version.findtext("IsDefaultVersion") != "true":
                await iam("DeletePolicyVersion", PolicyArn=arn, VersionId=version.findtext("VersionId", ""))
        await iam("DeletePolicy", PolicyArn=arn)


async def _sns(calls: _Region) -> None:
    while topics := _texts(await calls.query("2010-03-31", "ListTopics"), ".//Topics/member/TopicArn"):
        for topic in topics:
            await calls.query("2010-03-31", "DeleteTopic", TopicArn=topic)


async def _sqs(calls: _Region) -> None:
    while urls := (await calls.json("AmazonSQS.ListQueues", MaxResults=1000)).get("QueueUrls"):
        for url in urls:
            await calls.json("AmazonSQS.DeleteQueue", QueueUrl=url)


async def _events(calls: _Region) -> None:
    for archive in (await calls.json("AWSEvents.ListArchives")).get("Archives", []):
        await calls.json("AWSEvents.DeleteArchive", ArchiveName=archive["ArchiveName"])
    for bus in (await calls.json("AWSEvents.ListEventBuses")).get("EventBuses", []):
        name = bus["Name"]
        while rules := (await calls.json("AWSEvents.ListRules", EventBusName=name)).get("Rules"):
            for rule in rules:
                named = {"Rule": rule["Name"], "EventBusName": name}
                targets = (await calls.json("AWSEvents.ListTargetsByRule", **named)).get("Targets", [])
                if ids := [target["Id"] for target in targets]:
                    await calls.json("AWSEvents.RemoveTargets", Ids=ids, Force=True, **named)
                await calls.json("AWSEvents.DeleteRule", Name=rule["Name"], EventBusName=name, Force=True)
        if name != "default":
            await calls.json("AWSEvents.DeleteEventBus", Name=name)


async def _kms(calls: _Region) -> None:
    for alias in (await calls.json("TrentService.ListAliases")).get("Aliases", []):
        if not alias["AliasName"].startswith("alias/aws/"):
            await calls.json("TrentService.DeleteAlias", AliasName=alias["AliasName"])
    for key in (await calls.json("TrentService.ListKeys")).get("Keys", []):
        described = (await calls.json("TrentService.DescribeKey", KeyId=key["KeyId"]))["KeyMetadata"]
        if described["KeyManager"] == "CUSTOMER" and described["KeyState"] != "PendingDeletion":
            await calls.json("TrentService.ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)


async def _secretsmanager(calls: _Region) -> None:
    while secrets := (await calls.json("secretsmanager.ListSecrets", IncludePlannedDeletion=True)).get("SecretList"):
        for secret in secrets:
            await calls.json("secretsmanager.DeleteSecret", SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


async def _ssm(calls: _Region) -> None:
    while parameters := (await calls.json("AmazonSSM.DescribeParameters")).get("Parameters"):
        await calls.json("AmazonSSM.DeleteParameters", Names=[each["Name"] for each in parameters][:10])


EMPTYING: dict[str, Callable[[_Region], Awaitable[None]]] = {
    "events": _events,
    "sns": _sns,
    "sqs": _sqs,
    "s3": _s3,
    "secretsmanager": _secretsmanager,
    "ssm": _ssm,
    "kms": _kms,
    "iam": _iam,
}
"""By signing name, in this order: what sends before what receives, IAM last."""

GLOBAL = frozenset({"iam", "s3"})
"""Services whose list shows every region."""


async def empty(send: Send, used: list[tuple[str, str]], region: str) -> None:
    """Delete all that `used` services hold. Raises BackingError when LocalStack refuses."""
    for service, empty_service in EMPTYING.items():
        regions = {where for each, where in used if each == service}
        for where in sorted({region} if service in GLOBAL and regions else regions):
            await empty_service(_Region(send, service, where))
