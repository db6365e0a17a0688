"""The library behind: checked at the start, quiet, and alone on this machine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import stagemaker.backing
from stagemaker.backing import ministack_patches
from stagemaker.backing.ministack_patches import TOUCHED, _check, _loopback, load
from stagemaker.backing.port import BackingError

SOURCES = sorted(Path(stagemaker.backing.__file__).parent.glob("*.py"))

_RUN = """
import asyncio, json, os, socket, sys, threading
from pathlib import Path
import psutil
from stagemaker.backing.embedded import EmbeddedBacking
from stagemaker.wire.message import Request

async def main():
    backing = EmbeddedBacking(Path(sys.argv[1]), "123456789012", "us-east-1", 4566)
    await backing.start()
    target = {"x-amz-target": "AWSEvents.ListRules", "content-type": "application/x-amz-json-1.1"}
    for request in (
        Request("PUT", "/data", "", {}), Request("PUT", "/data/k", "", {}, b"x"), Request("GET", "/none", "", {}),
        Request("POST", "/", "", {}, b"Action=CreateUser&UserName=u&Version=2010-05-08"),
        Request("POST", "/", "", {}, b"Action=CreateTopic&Name=t&Version=2010-03-31"),
        Request("POST", "/", "", target, b"{}"),
    ):
        reply = await backing.send(request, region="us-east-1")
    found = {
        "sockets": [str(each) for each in psutil.Process().net_connections() if each.status == "LISTEN"],
        "status": reply.status,
        "environment": {name: os.environ.get(name) for name in ("AUTH", "LOG_LEVEL", "SERVICES", "S3_PERSIST")},
    }
    await backing.stop()
    Path(sys.argv[2]).write_text(json.dumps(found))

asyncio.run(main())
"""


def test_it_says_nothing_listens_to_nothing_and_leaves_the_environment_alone(tmp_path: Path) -> None:
    """No banner, no log lines, no socket of its own, and no trace of its settings, whatever the user's are."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "AUTH": "true",
        "LOG_LEVEL": "DEBUG",
        "SERVICES": "lambda",
        "S3_PERSIST": "1",
    }
    result = tmp_path / "result.json"
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, str(tmp_path / "backing"), str(result)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    found = json.loads(result.read_text())
    assert found["sockets"] == []
    assert found["status"] == 200
    assert found["environment"] == {name: environment[name] for name in found["environment"]}


@pytest.mark.parametrize("module", list(TOUCHED))
def test_the_table_is_true(module: str) -> None:
    """Every name in the table exists in the installed version."""
    _check(module, TOUCHED[module].split())
    assert getattr(load("123456789012", "us-east-1", 4566), module) is not None


def test_a_missing_name_is_an_error_that_names_it() -> None:
    """Another version of ministack is refused at the start, in words that help."""
    with pytest.raises(BackingError, match=r"ministack\.services\.s3 has no _gone.*ministack==1\.5\.33"):
        _check("s3", ["_buckets", "_gone"])


def _private_names(module: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of each private name that is taken from something called as ministack's modules are."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner := owner.lstrip("_")) in TOUCHED:
                yield owner, node.attr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_table_is_complete(source: Path) -> None:
    """Each private name of ministack's that the code uses stands in the table."""
    used = set(_private_names(ast.parse(source.read_text())))
    assert {each for each in used if each[1] not in TOUCHED[each[0]].split()} == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_only_one_module_replaces_names(source: Path) -> None:
    """Replacing what is ministack's is the business of one module."""
    replaced = [
        node.targets[0].attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and getattr(node.targets[0].value, "id", "") in TOUCHED
    ]
    assert (source.stem == Path(ministack_patches.__file__).stem) is bool(replaced)


@pytest.mark.parametrize("url", ["http://192.0.2.7/hook", "https://example.com/", "http://localhost.example.com/"])
def test_deliveries_stay_on_the_machine(url: str) -> None:
    """SNS and EventBridge deliver over HTTP to loopback addresses only."""
    ministack = load("123456789012", "us-east-1", 4566)
    with pytest.raises(PermissionError, match="nothing leaves the machine"):
        ministack.sns._http_post_sync(url, "{}", "Notification")
    with pytest.raises(PermissionError, match="nothing leaves the machine"):
        ministack.eventbridge._http_open(urllib.request.Request(url))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/", "http://localhost/x", "http://[::1]:80/", "http://hook.localhost/"]
)
def test_deliveries_on_the_machine(url: str) -> None:
    """A lab's own listener may be told."""
    assert _loopback(url) == url
