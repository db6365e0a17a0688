"""What checks.py is given: clients, downloads, helpers without credentials, `wrong` and `after`."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from stagemaker_labs import isolation, lab
from stagemaker_labs.checking import Account, HelperFailed, TooLarge, Wrong, after, wrong
from stagemaker_labs.isolation import ask
from stagemaker_labs.problem import Card
from stagemaker_labs.stage import Environment
from stagemaker_labs.workspace import Workspace


class Bucket(http.server.BaseHTTPRequestHandler):
    """An S3 that holds one object of ten bytes under every key, and remembers who asked."""

    asked_by: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """GetObject."""
        self.asked_by.append(self.headers["Authorization"].split("Credential=")[1].split("/")[0])
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of the base class
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of the bucket."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def account(course: Path, endpoint: str) -> Iterator[Account]:
    """The account of lab 01 for a learner and an administrator."""
    work = Workspace(lab.read(course / "labs" / "01-toy"), course / "labs" / "01-toy" / "work")
    assert work.create()
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")
    learner, admin = (
        Environment(dict(zip(names, (key, "secret", "eu-west-1", endpoint), strict=True)), "123456789012", "arn", "id")
        for key in ("LEARNER", "ADMIN")
    )
    told = {"LAB_PREFIX": "ann-lab01", "LAB_BUCKET": "b", "LAB_TARGET": "local", "LAB_DATA": str(work.data)}
    made = Account(work, learner, told, lambda: admin)
    yield made
    made.close()


def test_clients_use_the_keys_of_the_target(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The learner's and the administrator's, never the shell's; a proxy of the shell's is left alone."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "REAL")
    monkeypatch.setenv("AWS_PROFILE", "real")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    Bucket.asked_by.clear()
    monkeypatch.delenv("AWS_PROFILE")
    account.client("s3").get_object(Bucket="b", Key="k")
    account.admin_client("s3").get_object(Bucket="b", Key="k")
    assert Bucket.asked_by == ["LEARNER", "ADMIN"]
    assert account.client("s3") is account.client("s3")
    assert account.client("s3").meta.region_name == "eu-west-1"


def test_a_download_is_gone_after_the_run(account: Account) -> None:
    """Keys of every kind become files of their own; one above the limit is refused by its length."""
    keys = ["a/model.tar.gz", "a/../b", "x" * 1024, "ünï code /", ".."]
    files = [account.download("b", key) for key in keys]
    assert len(set(files)) == len(keys)
    assert all(file.read_bytes() == b"0123456789" for file in files)
    assert files[0].name.endswith("-model.tar.gz")
    with pytest.raises(TooLarge, match="s3://b/k has 10 bytes; a check reads 9"):
        account.download("b", "k", limit=9)
    account.close()
    assert not any(file.exists() for file in files)


def test_facts_of_the_account(account: Account, course: Path) -> None:
    """Names, the data as the learner sees it, and the held-back file, which lies elsewhere."""
    assert (account.account_id, account.region, account.role_arn) == ("123456789012", "eu-west-1", "arn")
    assert (account.prefix, account.bucket, account.target) == ("ann-lab01", "b", "local")
    assert account.lab.number == "01"
    held_back = account.held_back("rest")
    assert held_back == course / "datasets" / "tiny" / "heldback.csv"
    assert not held_back.is_relative_to(account.data_folder)


def helper(folder: Path, body: str) -> Path:
    """A helper script that answers `answer`."""
    script = folder / "helper.py"
    script.write_text(f"import json, os, sys\nasked = json.load(sys.stdin)\n{body}\nprint(json.dumps(answer))\n")
    return script


def test_a_helper_has_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither AWS variables nor a home in which keys could lie; it reads one question and answers it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "REAL")
    monkeypatch.setenv("STAGEMAKER_STATE", "/state")
    script = helper(tmp_path, "print('noise')\nanswer = {'env': dict(os.environ), 'twice': 2 * asked['n']}")
    answer = ask(script, {"n": 21}, timeout=20)
    assert answer["twice"] == 42
    assert set(answer["env"]) <= {*isolation.INHERITED, "HOME", "TMPDIR", "LC_CTYPE"}
    assert answer["env"]["HOME"] != os.environ.get("HOME")
    assert not Path(answer["env"]["HOME"]).exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("answer = [1]", "wrote no JSON object"),
        ("sys.exit(0)", "wrote no JSON object"),
        ("raise KeyError('x')", "failed: KeyError: 'x'"),
        ("os._exit(3)", "failed: exit code 3"),
    ],
)
def test_a_helper_that_gives_no_answer(tmp_path: Path, body: str, words: str) -> None:
    """HelperFailed says in one line why."""
    with pytest.raises(HelperFailed, match=words):
        ask(helper(tmp_path, body), {}, timeout=20)


def test_a_helper_that_takes_too_long(tmp_path: Path) -> None:
    """It is ended, with all that it started."""
    script = helper(
        tmp_path,
        "import subprocess, time\nchild = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\ntime.sleep(60)\nanswer = {{}}",
    )
    begun = time.monotonic()
    with pytest.raises(HelperFailed, match="took more than 1 s"):
        ask(script, {}, timeout=1)
    assert time.monotonic() - begun < 10
    child = Path("/proc") / (tmp_path / "pid").read_text()
    deadline = time.monotonic() + 5
    while child.exists() and ") Z " not in (child / "stat").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or ") Z " in (child / "stat").read_text()


def test_an_answer_is_used_again_for_the_same_key(account: Account) -> None:
    """Only with a key, only for the same key and the same script; otherwise the helper is asked anew."""
    script = helper(account.lab.folder, "answer = {'time': __import__('time').time_ns()}")

    def asked(key: str | None) -> int:
        return int(account.isolated("helper.py", {}, reuse_key=key)["time"])

    first = asked("a")
    assert asked("a") == first
    assert asked("b") != first
    assert asked(None) != first
    script.write_text(script.read_text() + "\n")
    assert asked("a") != first


def test_wrong_holds_a_card() -> None:
    """The five lines, the next step left to the verdict unless given."""
    with pytest.raises(Wrong) as raised:
        wrong(looked_at="a", found="b", expected="c", likely="d")
    assert raised.value.card == Card("a", "b", "c", "d", "")


def test_after_adds_up() -> None:
    """A check may stand on several others, in one decorator or more."""

    def one() -> None: ...
    def two() -> None: ...
    def three() -> None: ...

    @after(three)
    @after(one, two)
    def check() -> None: ...

    assert check.__stagemaker_after__ == (one, two, three)  # type: ignore[attr-defined]  # set by the decorator


def test_stage_is_never_imported() -> None:
    """The workbench knows the stage by its command: none of its modules imports the stage's package."""
    program = (
        "import pkgutil, importlib, sys, stagemaker_labs as package\n"
        "for module in pkgutil.iter_modules(package.__path__, 'stagemaker_labs.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'stagemaker'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_a_held_back_file_that_is_missing(account: Account) -> None:
    """A name that the lab does not list is a KeyError; a file that is gone is a problem of the lab's."""
    with pytest.raises(KeyError):
        account.held_back("other")
    broken = dataclasses.replace(account.lab, held_back={"rest": "tiny/gone.csv"})
    with pytest.raises(Exception, match="the lab's data are not complete"):
        broken.held_back_file("rest")
