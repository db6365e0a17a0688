"""The proxy: clients with hard-wired hosts stay on this machine, and everybody else's hosts are refused."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from stagemaker.environment import proxy_environment

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any

PROGRAM = """
import json, os
import boto3, botocore.exceptions
os.environ.pop("AWS_ENDPOINT_URL")
found = {"caller": boto3.client("sts").get_caller_identity()["Arn"]}
s3 = boto3.client("s3")
s3.create_bucket(Bucket="lake")
s3.put_object(Bucket="lake", Key="k", Body=b"v")
found["object"] = s3.get_object(Bucket="lake", Key="k")["Body"].read().decode()
found["jobs"] = boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
s3.put_bucket_policy(Bucket="lake", Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "Resource": ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}))
found["with TLS"] = s3.get_object(Bucket="lake", Key="k")["Body"].read().decode()
try:
    boto3.client("s3", endpoint_url="http://s3.us-east-1.amazonaws.com").get_object(Bucket="lake", Key="k")
except botocore.exceptions.ClientError as error:
    found["without TLS"] = error.response["Error"]["Code"]
print(json.dumps(found))
"""


def address(account: Account) -> tuple[str, int]:
    """Where the proxy listens."""
    running = account.stage.folder.running()
    assert running is not None
    parts = urlsplit(running["proxy"])
    return parts.hostname or "", parts.port or 0


def ask(account: Account, head: bytes) -> bytes:
    """Send `head` to the proxy; all that it answers until it closes or falls silent."""
    with socket.create_connection(address(account), timeout=5) as connection:
        connection.sendall(head)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            if b"established" in answer:
                break
        return answer


def test_unmodified_clients_without_an_endpoint(account: Account) -> None:
    """boto3 as on AWS: hard-wired hosts, virtual-hosted buckets, TLS; and a policy that wants TLS gets its way."""
    command = [sys.executable, "-m", "stagemaker", "run", "--state", str(account.stage.folder.root), "--"]
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM],
        env={**os.environ, "AWS_PROFILE": "mine"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "caller": "arn:aws:iam::123456789012:user/learner",
        "object": "v",
        "jobs": [],
        "with TLS": "v",
        "without TLS": "AccessDenied",
    }
    assert done.stderr.splitlines() == ["stagemaker: hidden from this command: your own AWS_PROFILE"]


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        b"CONNECT amazonaws.com.evil.example:443 HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ],
)
def test_other_hosts_are_refused_and_logged(account: Account, head: bytes) -> None:
    """403 with the way out, and a line in the stage's log."""
    answer = ask(account, head)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"stagemaker run" in answer
    assert "the proxy refused a connection to" in account.stage.folder.stage_log.read_text()


def test_host_header_inside_a_plain_request_cannot_lead_elsewhere(account: Account) -> None:
    """The guard looks at what is inside, whatever the first line said."""
    answer = ask(account, b"GET http://s3.amazonaws.com/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")


def test_head_without_end_is_cut_off(account: Account) -> None:
    """A client cannot fill the memory."""
    assert ask(account, b"CONNECT " + b"a" * 20000).startswith(b"HTTP/1.1 431")


def test_certificates_are_this_folders_own(account: Account) -> None:
    """The bundle vouches for AWS's names behind the proxy; without it nobody trusts them."""
    proxy = "http://{}:{}".format(*address(account))
    bundle = proxy_environment(account.stage.folder, proxy)["AWS_CA_BUNDLE"]
    host = "sts.us-east-1.amazonaws.com"
    for trusting in (True, False):
        context = ssl.create_default_context(cafile=bundle if trusting else None)
        with socket.create_connection(address(account), timeout=5) as connection:
            connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            if trusting:
                with context.wrap_socket(connection, server_hostname=host) as tls:
                    assert tls.getpeercert()
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    context.wrap_socket(connection, server_hostname=host)


def test_run_needs_a_stage_and_a_command(account: Account, tmp_path: Any) -> None:
    """Clear words and exit codes for what is missing."""
    run = [sys.executable, "-m", "stagemaker", "run", "--state"]
    nobody = subprocess.run([*run, str(tmp_path), "--", "true"], capture_output=True, text=True, check=False)
    assert (nobody.returncode, "no stage runs" in nobody.stderr) == (3, True)
    state = str(account.stage.folder.root)
    missing = subprocess.run([*run, state, "--", "no-such-program"], capture_output=True, text=True, check=False)
    assert (missing.returncode, "cannot run no-such-program" in missing.stderr) == (127, True)
