"""ministack, the library behind the embedded backing: everything of it that the stage relies on.

Its service modules are called directly. Its HTTP server is not used: that is where its private paths,
banner, listeners and clean-up of containers are. What the modules lack is mended here by replacing
names of theirs, so each name that the stage touches is in `TOUCHED`, and `load` refuses a ministack
that lacks one.
"""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import ipaddress
import logging
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stagemaker.backing import managed_policies, multipart
from stagemaker.backing.bodies import StoredBody
from stagemaker.backing.changes import Changes
from stagemaker.backing.checksums import ALGORITHMS, checksum
from stagemaker.backing.encryption import default_encryption
from stagemaker.backing.port import BackingError

VERSION = "1.5.33"

_STATE = "get_state load_persisted_state reset handle_request"
TOUCHED: Mapping[str, str] = {
    "app": "AUTH _handle_s3_control_request",
    "persistence": "_json_default _json_object_hook",
    "responses": "request_scope",
    "eventbridge": f"{_STATE} _http_open _put_events start_scheduler",
    "iam": f"{_STATE} _access_keys _aws_managed_policies _make_aws_managed_record _now _seed_aws_managed_policies",
    "kms": f"{_STATE} _create_alias _create_key _resolve_key",
    "s3": (
        f"{_STATE} S3_NS _NEW_BUCKET_PUBLIC_ACCESS_BLOCK _bucket_default_sse_headers _bucket_encryption "
        "_bucket_versioning _buckets _check_put_preconditions _check_sse_c_part _complete_multipart_upload "
        "_completed_multipart_uploads _compute_s3_checksum _delete_persisted_object _fire_s3_event_async "
        "_maybe_replicate _multipart_uploads _new_bucket_public_access_block _object_acl _object_annotations "
        "_object_legal_hold _object_retention _object_tags _object_versions _parse_range _persist_delete_marker "
        "_persist_displaced_version _persist_version_state _record_object_version _reschedule_restores "
        "_stored_sse_headers _xml_body cors_preflight cors_response_headers format_head_response fromstring "
        "is_standard_object_request md5_hash now_iso"
    ),
    "secretsmanager": _STATE,
    "sns": f"{_STATE} _HOST _PORT _http_post_sync",
    "sqs": _STATE,
    "ssm": _STATE,
}
"""Modules, and the names of theirs that are read, called or replaced."""

_PLACES = {"app": "ministack.app", "persistence": "ministack.core.persistence", "responses": "ministack.core.responses"}
"""Where modules are that are not in `ministack.services`."""

_IMPORT_ENVIRONMENT = {"AUTH": "false", "S3_PERSIST": "0", "PERSIST_STATE": "0", "LOCALSTACK_PERSISTENCE": "0"}
"""Read by ministack once, at its import: checks and files are the stage's own."""


class Ministack:
    """The library; its modules are attributes, imported and mended when they are first needed.

    One per process: their state is in globals. `changes` is what ministack has changed, as far as its
    hooks tell, since `take_changes`.
    """

    def __init__(self) -> None:
        self.changes = Changes()
        self.port = 0
        self.taken = False
        self.imported: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in TOUCHED:
            raise AttributeError(name)
        module = self.imported.get(name)
        if module is None:
            with _undisturbed(), _without_its_server():
                module = importlib.import_module(_place(name))
            _refuse(name, [each for each in TOUCHED[name].split() if not hasattr(module, each)])
            _quieten()
            self.imported[name] = module
            if mend := _MENDS.get(name):
                mend(self, module)
        return module

    @contextmanager
    def working_for(self, account: str, region: str) -> Iterator[None]:
        """Within the block ministack works for `account` in `region`, whatever key signed a request."""
        with self.responses.request_scope(account, region):
            yield

    def take_changes(self) -> Changes:
        """The `changes` so far, which start anew."""
        taken, self.changes = self.changes, Changes()
        return taken


def load(account: str, region: str, port: int) -> Ministack:
    """ministack, checked. Raises BackingError that names what is missing.

    `account` and `region` are what it falls back on outside a call; `port` is the stage's, for the links
    in SNS messages.
    """
    os.environ.update(MINISTACK_ACCOUNT_ID=account, MINISTACK_REGION=region)
    os.environ.pop("MINISTACK_AUTOCREATE_AWS_MANAGED", None)  # would make unknown managed policies that allow all
    ministack = _load()
    ministack.port = port
    return ministack


@cache
def _load() -> Ministack:
    # The table was tested against the pinned version; reading the sources of another one costs 50 ms.
    if importlib.metadata.version("ministack") != VERSION:
        for name, names in TOUCHED.items():
            _check(name, names.split())
    ministack = Ministack()
    if ministack.app.AUTH:  # imported by somebody else, before us
        raise BackingError("ministack is in this process already, with AUTH=true")
    return ministack


def _place(name: str) -> str:
    return _PLACES.get(name, f"ministack.services.{name}")


def _check(name: str, names: list[str]) -> None:
    """Look for `names` in a module's source: importing all modules at the start would cost 0.1 s.

    A first look; when the module is imported, its names are compared for certain.
    """
    try:
        spec = importlib.util.find_spec(_place(name))
    except ImportError as error:
        raise BackingError(f"the embedded backing needs ministack {VERSION}: {error}") from error
    source = Path(spec.origin).read_text() if spec and spec.origin else ""
    # Defined, assigned or imported at the top level, the last by itself on a line or not.
    where = r"^(?:(?:async )?def |from .* import .*?\b|    |){}\b"
    _refuse(name, [each for each in names if not re.search(where.format(each), source, re.MULTILINE)])


def _refuse(name: str, missing: list[str]) -> None:
    if missing:
        found = importlib.metadata.version("ministack")
        raise BackingError(
            f"the embedded backing is written for ministack {VERSION}, and {found} is installed: "
            f"{_place(name)} has no {', '.join(missing)}. Install ministack=={VERSION}."
        )


_SERVER_MODULES = ("", ".config", ".protocol", ".protocol.events", ".protocol.h11", ".protocol.ws_stream")


class _Unused(types.ModuleType):
    """Has any class that is asked for, and none that does anything."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


@contextmanager
def _without_its_server() -> Iterator[None]:
    """Import without hypercorn, ministack's own HTTP server: 45 ms for something that is never started here."""
    placeholders = {f"hypercorn{name}": _Unused(f"hypercorn{name}") for name in _SERVER_MODULES}
    before = {name: sys.modules.get(name) for name in placeholders}
    sys.modules.update({name: module for name, module in placeholders.items() if before[name] is None})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Import with our settings, and without its `logging.basicConfig` (which does nothing once there is a handler)."""
    before = {name: os.environ.get(name) for name in _IMPORT_ENVIRONMENT}
    os.environ.update(_IMPORT_ENVIRONMENT)
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _quieten() -> None:
    """Its loggers (`s3`, `iam` ...) report to `stagemaker.backing.ministack`, which by default tells nobody."""
    ours = logging.getLogger("stagemaker.backing.ministack")
    ours.addHandler(logging.NullHandler())
    ours.propagate = False
    ours.setLevel(logging.WARNING)
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack.") and isinstance(logger := getattr(module, "logger", None), logging.Logger):
            logger.parent = ours


def _mend_s3(ministack: Ministack, s3: Any) -> None:
    # Bodies that lie on the disk (see bodies.py).
    s3.md5_hash = _of_stored_bodies(s3.md5_hash, StoredBody.md5)
    s3._compute_s3_checksum = _compute_checksum
    s3._complete_multipart_upload = lambda *arguments: multipart.complete(ministack, *arguments)
    # Which keys to write to the disk (see object_index.py). ministack calls the first of these for each
    # new version, and the others where it would write or delete files of its own.
    s3._record_object_version = _noting(ministack, s3._record_object_version)
    for name in ("_persist_delete_marker", "_persist_version_state", "_delete_persisted_object"):
        setattr(s3, name, _noting(ministack, _nothing))
    s3._persist_displaced_version = _nothing
    # As on AWS since 2023, whoever authenticates: new buckets block public access, and all objects are encrypted.
    block = {"_public_access_block": s3._NEW_BUCKET_PUBLIC_ACCESS_BLOCK}
    s3._new_bucket_public_access_block = block.copy
    explicit = s3._bucket_default_sse_headers
    s3._bucket_default_sse_headers = lambda bucket: default_encryption(ministack, explicit(bucket))


def _mend_iam(ministack: Ministack, iam: Any) -> None:
    # Managed policies that it lacks, now and after each reset.
    seed = iam._seed_aws_managed_policies

    def seed_all() -> None:
        seed()
        managed_policies.add(iam)

    iam._seed_aws_managed_policies = seed_all
    managed_policies.add(iam)


def _mend_sns(ministack: Ministack, sns: Any) -> None:
    sns._HOST, sns._PORT = "127.0.0.1", str(ministack.port)
    post = sns._http_post_sync
    sns._http_post_sync = lambda endpoint, *rest: post(_loopback(endpoint), *rest)


def _mend_eventbridge(_: Ministack, eventbridge: Any) -> None:
    open_request = eventbridge._http_open

    def open_loopback(request: Any, *rest: Any) -> Any:
        _loopback(request.full_url)
        return open_request(request, *rest)

    eventbridge._http_open = open_loopback


_MENDS: Mapping[str, Callable[[Ministack, Any], None]] = {
    "s3": _mend_s3,
    "iam": _mend_iam,
    "sns": _mend_sns,
    "eventbridge": _mend_eventbridge,
}


def _of_stored_bodies(original: Callable[..., Any], method: Callable[[StoredBody], Any]) -> Callable[[bytes], Any]:
    return lambda data: method(data) if isinstance(data, StoredBody) else original(data)


def _compute_checksum(algorithm: str, body: bytes) -> str | None:
    """`s3._compute_s3_checksum`: base64, None for an algorithm that S3 does not know."""
    algorithm = (algorithm or "").upper().replace("_", "")
    if algorithm not in ALGORITHMS:
        return None
    return body.checksum(algorithm) if isinstance(body, StoredBody) else checksum(algorithm, [body])


def _noting(ministack: Ministack, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def noted(bucket: str, key: str, *rest: Any) -> Any:
        ministack.changes.keys.add((bucket, key))
        return function(bucket, key, *rest)

    return noted


def _nothing(*_: object) -> None:
    """In place of what wrote ministack's own files."""


def _loopback(url: str) -> str:
    """`url`, if its host is this machine. Raises PermissionError."""
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    if not local:
        raise PermissionError(f"nothing leaves the machine: {url} is not a loopback address")
    return url
