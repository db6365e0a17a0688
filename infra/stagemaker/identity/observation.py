"""What is learnt from the answers of IAM and S3 as they pass."""

from __future__ import annotations

from dataclasses import replace

from stagemaker.identity.actions import Call
from stagemaker.identity.backing import parse_xml, read_body, text_of
from stagemaker.identity.buckets import Buckets
from stagemaker.identity.directory import Directory
from stagemaker.identity.keyring import Keyring, UserKey
from stagemaker.identity.keys import AccessKey
from stagemaker.wire.message import Reply

_READS = ("Get", "List", "Simulate", "Generate")
_BUCKET_WRITES = frozenset(
    {
        "CreateBucket",
        "DeleteBucket",
        "PutBucketPolicy",
        "DeleteBucketPolicy",
        "PutPublicAccessBlock",
        "DeletePublicAccessBlock",
    }
)

# Services that create roles and buckets themselves, behind the gateway, and go on doing so after their answer.
_BUILDERS = frozenset({"cloudformation", "cloudcontrolapi", "servicecatalog"})


def is_observed(call: Call) -> bool:
    """Whether anything is to be learnt from the answer to `call`."""
    if call.service == "s3":
        return call.operation in _BUCKET_WRITES
    return call.service in _BUILDERS or (call.service == "iam" and not call.operation.startswith(_READS))


class Observer:
    """Keeps the keyring and the cached policies true."""

    def __init__(self, keyring: Keyring, directory: Directory, buckets: Buckets) -> None:
        self._keyring = keyring
        self._directory = directory
        self._buckets = buckets

    async def observe(self, call: Call, reply: Reply) -> Reply:
        """Learn from `reply` and give it back. Must be done before the client sees it.

        A failed call may have changed something all the same, so caches are dropped whatever the
        status. Raises AwsError (500) when a secret cannot be written.
        """
        if not is_observed(call):
            return reply
        if call.service == "s3":
            self._buckets.invalidate(call.bucket)
            return reply
        self._directory.invalidate()
        if call.service in _BUILDERS:
            self._buckets.invalidate()
        elif reply.status == 200:
            return await self._learn(call, reply)
        return reply

    async def _learn(self, call: Call, reply: Reply) -> Reply:
        parameters = call.parameters
        match call.operation:
            case "CreateAccessKey":
                body = await read_body(reply)
                self._keep_key(body)
                return replace(reply, body=body)
            case "UpdateAccessKey":
                self._keyring.set_active(str(parameters["AccessKeyId"]), active=parameters["Status"] == "Active")
            case "DeleteAccessKey":
                self._keyring.drop_user_key(str(parameters["AccessKeyId"]))
            case "DeleteUser":
                self._keyring.drop_user(str(parameters["UserName"]))
            case "UpdateUser":
                if new := parameters.get("NewUserName"):
                    self._keyring.rename_user(str(parameters["UserName"]), str(new))
        return reply

    def _keep_key(self, body: bytes) -> None:
        answer = parse_xml(body)
        key = AccessKey(text_of(answer, ".//AccessKeyId"), text_of(answer, ".//SecretAccessKey"))
        self._keyring.put_user_keys(UserKey(key, text_of(answer, ".//AccessKey/UserName")))
