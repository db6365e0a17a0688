"""The services that the embedded backing serves, and their state."""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from stagemaker.backing.call import Call
from stagemaker.backing.ministack_patches import Ministack


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is served.

    `module` is ministack's name for it; `reaches` are the services whose state its calls use, or change,
    in part later (a topic hands a message to a queue).
    """

    module: str
    reaches: tuple[str, ...] = ()


SERVICES = {
    "events": Service("eventbridge", reaches=("sns", "sqs")),
    "iam": Service("iam"),
    "kms": Service("kms"),
    "s3": Service("s3", reaches=("events", "kms", "sns", "sqs")),
    "secretsmanager": Service("secretsmanager"),
    "sns": Service("sns", reaches=("sqs",)),
    "sqs": Service("sqs"),
    "ssm": Service("ssm"),
}
"""By signing name. Only services that need no container, no socket and no other machine. Those of
ministack that would be half a truth here (Athena without an engine, Lambda, Glue ...) are left out, and
STS is the identity room's."""

_READS = (
    "Get", "List", "Describe", "Head", "BatchGet", "Check", "Decrypt", "Encrypt", "GenerateDataKey", "GenerateMac",
    "GenerateRandom", "Lookup", "ReEncrypt", "Search", "Select", "Sign", "Simulate", "Test", "Validate", "Verify",
)  # fmt: skip
"""Beginnings of the names of operations that change nothing."""


def operation(call: Call, body: bytes) -> str:
    """The operation that a call of a query or JSON service names, or empty."""
    if target := call.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    return call.asked("Action") or dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")


def may_change(operation_name: str) -> bool:
    """Whether an operation may change state. One without a name may."""
    return not operation_name.startswith(_READS)


class States:
    """What ministack holds of each service, and what of it is on the disk."""

    def __init__(self, ministack: Ministack, saved: dict[str, str]) -> None:
        self._ministack = ministack
        self._saved = saved
        self._loaded: set[str] = set()

    def module(self, service: str) -> Any:
        """The module of ministack's that is `service`."""
        return getattr(self._ministack, SERVICES[service].module)

    def is_saved(self, service: str) -> bool:
        """Whether there is state of `service` on the disk."""
        return service in self._saved

    def is_loaded(self, service: str) -> bool:
        """Whether the state of `service` is in memory."""
        return service in self._loaded

    def load(self, service: str) -> set[str]:
        """Bring the state of `service` into memory, and of what it reaches. Gives those that were not there.

        What is not on the disk has no state; its module need not be imported yet.
        """
        if service in self._loaded:
            return set()
        self._loaded.add(service)
        new = {service}.union(*(self.load(each) for each in SERVICES[service].reaches if each in self._saved))
        if service in self._saved:
            hook = self._ministack.persistence._json_object_hook
            self.module(service).load_persisted_state(json.loads(self._saved[service], object_hook=hook))
        return new

    def changed(self, services: Iterable[str]) -> dict[str, str]:
        """The states of those of `services` that are not on the disk as they are."""
        found = {}
        for service in services:
            in_memory = service in self._loaded or service not in self._saved
            if in_memory and SERVICES[service].module in self._ministack.imported:
                document = self._render(service)
                if document != self._saved.get(service):
                    found[service] = document
        return found

    def _render(self, service: str) -> str:
        for attempt in range(5):
            try:
                return json.dumps(self.module(service).get_state(), default=self._ministack.persistence._json_default)
            except RuntimeError:  # a thread of ministack's (a delivery, a schedule) changed it meanwhile
                if attempt == 4:
                    raise
        raise AssertionError

    def written(self, documents: dict[str, str]) -> None:
        """`documents` are on the disk now."""
        self._saved.update(documents)
