"""In a network namespace that has only loopback: all that clients ask for is answered or refused on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PROGRAM = """
import json, os, urllib.error, urllib.request
import boto3
from sagemaker.core.helper.session_helper import Session

found = {}
session = Session()
found["account"] = session.account_id()
found["bucket"] = session.default_bucket()
os.environ.pop("AWS_ENDPOINT_URL")
found["caller"] = boto3.client("sts").get_caller_identity()["Account"]
for name, url in (
    ("telemetry", "https://sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com/telemetry?x-accountId=1"),
    ("elsewhere", "https://example.com/"),
):
    try:
        found[name] = urllib.request.urlopen(url).status
    except urllib.error.HTTPError as error:
        found[name] = error.code
    except urllib.error.URLError as error:
        found[name] = str(error.reason)
print(json.dumps(found))
"""


def test_nothing_needs_the_network(tmp_path: Path) -> None:
    """SDK v3's hard-wired calls and a client without endpoint are served; telemetry and the rest refused and logged."""
    python = os.environ.get("CLIENTS_PYTHON")
    if not python:
        pytest.skip("CLIENTS_PYTHON is not set: run these tests with `make test-clients`")
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "--net", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT RUN: this machine lets nobody make a network namespace (unshare --net)")
    command = [unshare, "--net", sys.executable, str(HERE / "in_namespace.py"), str(tmp_path / "state")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [*command, python, "-W", "ignore", "-c", PROGRAM], env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert found == {
        "account": "123456789012",
        "bucket": "sagemaker-us-east-1-123456789012",
        "caller": "123456789012",
        "telemetry": 403,
        "elsewhere": "Tunnel connection failed: 403 Refused by Stagemaker",
    }
    for line in (
        "the proxy refused a connection to example.com",
        "the proxy leads a connection to sts.us-east-1.amazonaws.com to the stage",
        "the proxy leads a connection to sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com to the stage",
    ):
        assert line in done.stdout
