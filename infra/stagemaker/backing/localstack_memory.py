"""Is this still the LocalStack that holds the account? A mark in LocalStack, and the same mark in our folder.

LocalStack keeps its state in memory: after a restart it is another, empty one at the same address.
"""

from __future__ import annotations

import json
import uuid
from enum import Enum
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

from stagemaker.backing.port import BackingError
from stagemaker.wire.message import Reply

MARK_ACCOUNT = "990000000099"
"""An account of LocalStack's, which has many, that holds nothing but marks: no client of ours sees it."""

_API_VERSION = "2010-05-08"


class Iam(Protocol):
    """Makes an IAM call as the root of an account."""

    async def __call__(self, account: str, action: str, **parameters: str) -> Reply:
        """The answer. Raises AwsError when LocalStack does not answer."""
        ...


class Found(Enum):
    """What LocalStack is to this state folder."""

    SAME = "it holds the account as it was left"
    FIRST = "this folder has no account yet"
    EMPTY = "it was started anew"
    OTHERS = "another stage has taken it over"


class Memory:
    """`file` keeps the mark, and which services have been used in which regions."""

    def __init__(self, file: Path, account: str, iam: Iam) -> None:
        self._file = file
        self._name = f"stagemaker.{account}"
        self._iam = iam
        self._mark, self._used = self._read()

    @property
    def used(self) -> list[tuple[str, str]]:
        """Services and regions that hold something, or did."""
        return sorted(self._used)

    def note(self, *used: tuple[str, str]) -> None:
        """Calls to these services in these regions are about to be made, or have been."""
        if not self._used.issuperset(used):
            self._used.update(used)
            self._write()

    async def look(self) -> Found:
        """Compare the marks. Raises AwsError when LocalStack does not answer."""
        there = await self._mark_there()
        if self._mark is None:
            return Found.FIRST
        if there == self._mark:
            return Found.SAME
        return Found.OTHERS if there else Found.EMPTY

    async def claim(self) -> None:
        """Set a new mark, there and here."""
        mark = uuid.uuid4().hex
        tag = {"Tags.member.1.Key": "mark", "Tags.member.1.Value": mark}
        reply = await self._iam(MARK_ACCOUNT, "TagUser", UserName=self._name, **tag)
        if reply.status == 404:
            reply = await self._iam(MARK_ACCOUNT, "CreateUser", UserName=self._name, **tag)
        if reply.status != 200:
            raise BackingError(f"LocalStack refuses to be marked: {reply.body!r}")
        self._mark = mark
        self._write()

    async def _mark_there(self) -> str | None:
        reply = await self._iam(MARK_ACCOUNT, "GetUser", UserName=self._name)
        if reply.status == 404:
            return None
        assert isinstance(reply.body, bytes)
        if reply.status != 200:
            raise BackingError(f"LocalStack does not tell whose it is: {reply.body!r}")
        document = ET.fromstring(reply.body)  # noqa: S314 - LocalStack's answer, not a client's words
        return next((each.text for each in document.iterfind(".//{*}Tags/{*}member/{*}Value")), None)

    def _read(self) -> tuple[str | None, set[tuple[str, str]]]:
        try:
            document = json.loads(self._file.read_text())
            return str(document["mark"]), {(str(service), str(region)) for service, region in document["used"]}
        except FileNotFoundError:
            return None, set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackingError(f"{self._file} is damaged: {error}") from error

    def _write(self) -> None:
        if self._mark is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps({"mark": self._mark, "used": self.used}))
        temporary.replace(self._file)
